"""Choosing the table of arguments for a job: which ms-swift will run it, as far as that is known before."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from prl_submit.spec.sections import RELEASE, Environment
from prl_submit.swift.cached import read_installed
from prl_submit.swift.installed import find_installed
from prl_submit.swift.table import Table, load_table

#: Says why the newest release's arguments are used, and how a user can name another release.
UNKNOWN = (
    "The job's ms-swift is unknown, so the newest bundled release is used: {}. "
    "Set environment.swift_version if another one will run."
)


def is_release(text: str) -> bool:
    """True if a text has the form of a version, as `environment.swift_version` must have."""
    return re.fullmatch(RELEASE, text) is not None


class Wanted(Struct, frozen=True):
    """What a spec says about the place where the job runs.

    `workdir` is absolute. `is_here`: the nodes see the same environment as this machine; in a container
    image they do not. `stated`: the version in `environment.swift_version`.
    """

    environment: Environment
    workdir: str
    is_here: bool


def choose_table(
    wanted: Wanted, probed: Callable[[], str | None], environ: Mapping[str, str]
) -> Table:
    """The arguments of the ms-swift that will run the job.

    These are tried in order: the ms-swift installed here, if the nodes have the same environment; the
    version that the spec states; the version that `prl-submit probe` found on the nodes, which `probed`
    returns; the newest release.
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
        return _because(f"installed, but its source cannot be read ({table})", found)
    if wanted.environment.swift_version is not None:
        return load_table(wanted.environment.swift_version)
    version = probed()
    if version is not None and is_release(version):
        return _because("probed on the nodes", load_table(version))
    newest = load_table()
    newest.origin = UNKNOWN.format(newest.version)
    return newest


def _because(why: str, table: Table) -> Table:
    """The table, with the reason for its choice added to its origin."""
    table.origin = f"{why}; {table.origin}"
    return table
