"""Reading ms-swift's logging.jsonl."""

from __future__ import annotations

import re
from pathlib import Path

from prl_submit.files import tail_bytes
from prl_submit.runs import LOGS, kept_file

#: ms-swift 4.6.0 trainers/patcher.py `add_train_message`: "3/100" on every logged line.
_PROGRESS = re.compile(rb'"global_step/max_steps": *"([0-9]+)/([0-9]+)"')
#: The same as it prints it, for runs whose logging.jsonl is elsewhere.
_PRINTED = re.compile(rb"'global_step/max_steps': *'([0-9]+)/([0-9]+)'")
#: The last line repeats the whole log history; what is looked for stands just before it.
_TAIL = 65_536


def read_progress(run_dir: Path) -> tuple[int | None, int | None]:
    """The last logged step and the number of steps; None, None before the first."""
    known = _last(run_dir / "logging.jsonl", _PROGRESS)
    if not kept_file(run_dir / LOGS, 0).exists():
        return known
    told = _last(run_dir / LOGS / "node0.log", _PRINTED)
    return max(known, told, key=lambda progress: progress[0] or -1)


def _last(path: Path, pattern: re.Pattern[bytes]) -> tuple[int | None, int | None]:
    size = _TAIL
    while True:
        data = tail_bytes(path, size)
        found = pattern.findall(data)
        if found:
            return int(found[-1][0]), int(found[-1][1])
        if len(data) < size:
            return None, None
        size *= 16
