"""The files of a sweep's runs, written with little work for each run.

The directories are new and nothing refers to them yet, so the files are written in place. What runs have in
common is made once, and launch.lib.sh, the largest file, is one file with hard links: nobody changes it in place.
"""

from __future__ import annotations

import os
from pathlib import Path

from prl_submit.planning.plan import Plan, Planned
from prl_submit.runs.layout import LIBRARY, LOGS, PLAN, SPEC
from prl_submit.runs.plan_file import Git, encode_plan
from prl_submit.runs.record import Record
from prl_submit.runs.spec_texts import SpecTexts
from prl_submit.submission import World, file_mode, plan_file, sent_files
from prl_submit.system.files import write_new_files


class RunFiles:
    """Writes the files of one run after the other into their new directories."""

    def __init__(self, world: World, git: Git | None) -> None:
        self._world = world
        self._git = git
        self._specs = SpecTexts()
        self._library: Path | None = None

    def write(self, planned: Planned, path: Path, record: Record) -> Plan:
        """Write all files of a run but run.json; the plan for its directory. Raises OSError."""
        file = plan_file(planned, path, self._git)
        texts = sent_files(file, record, self._world)
        if self._library is not None and _is_linked(self._library, path / LIBRARY):
            del texts[LIBRARY]
        else:
            self._library = path / LIBRARY
        contents = {name: text.encode("utf-8") for name, text in texts.items()}
        contents |= {SPEC: self._specs.of(planned.tree), PLAN: encode_plan(file)}
        (path / LOGS).mkdir()
        write_new_files(path, {name: (data, file_mode(name)) for name, data in contents.items()})
        return file.plan


def _is_linked(source: Path, target: Path) -> bool:
    """Make a hard link; false where the file system has none, or no more for this file."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    return True
