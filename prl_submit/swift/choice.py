"""Which ms-swift will run a job, as far as anybody can know before it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from prl_submit.spec.sections import RELEASE, Environment
from prl_submit.swift.cached import read_installed
from prl_submit.swift.installed import find_installed
from prl_submit.swift.table import Table, load_table

#: Why the newest stands, and what a user can do about it.
NOTHING_KNOWN = (
    "nothing is known of the job's ms-swift (environment.swift_version says it); the newest"
)


def is_release(text: str) -> bool:
    """Whether a text looks like a version, as `environment.swift_version` does."""
    return re.fullmatch(RELEASE, text) is not None


class Wanted(Struct, frozen=True):
    """What a spec says of where the job runs.

    `is_here`: whether the nodes see the environment that this machine sees; in an image they do not.
    """

    environment: Environment
    workdir: str
    is_here: bool
    stated: str | None


def choose_table(
    wanted: Wanted, probed: Callable[[], str | None], environ: Mapping[str, str]
) -> Table:
    """The installed one where the nodes have it too, else the stated, the probed, or the newest.

    `probed` gives the version that `prl-submit probe` found on the nodes.
    """
    installed = None
    if wanted.is_here:
        installed = find_installed(wanted.environment, wanted.workdir, environ)
    if installed is not None:
        table = read_installed(installed, environ)
        if isinstance(table, Table):
            return table
        found = load_table(installed.version)
        found.source = installed.folders[0]
        return _because(f"installed, but not to be read ({table})", found)
    if wanted.stated is not None and is_release(wanted.stated):
        return load_table(wanted.stated)
    version = probed()
    if version is not None and is_release(version):
        return _because("probed on the nodes", load_table(version))
    return _because(NOTHING_KNOWN, load_table())


def _because(why: str, table: Table) -> Table:
    table.origin = f"{why}; {table.origin}"
    return table
