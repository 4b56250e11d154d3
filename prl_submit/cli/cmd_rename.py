"""The command `rename`."""

from __future__ import annotations

import click
import msgspec

from prl_submit.cli.console import note
from prl_submit.cli.shared_options import output_root_option, run_argument
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import Run, find_run, list_runs
from prl_submit.runs.labels import change_labels, name_fault, read_labels
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("rename")
@run_argument(many=False)
@click.argument("name", metavar="NAME")
@output_root_option
def rename(run: str, name: str, output_root: str | None) -> int:
    """Give a run a name. Every command finds the run by it, and `list` and `status` show it.

    NAME has the form of a spec's name. The directory and the scheduler's job keep theirs. An empty NAME
    ('') gives the run its first name back.
    """
    found = find_run(run, output_root_of(output_root))
    if name and (fault := name_fault(name)):
        raise PrlSubmitError(f"{name!r} is no name of a run", fault)
    taken = [other.name for other in list_runs(found.path.parent) if _has(other, name, found)]
    if taken:
        raise PrlSubmitError(
            f"{name!r} is the name of {taken[0]}" + (" and other runs" if taken[1:] else ""),
            "a name that several runs have finds none of them: take another one",
        )
    change_labels(found.path, lambda labels: msgspec.structs.replace(labels, name=name or None))
    first = found.record.name if found.record else "none"
    note(
        f"{found.name} is {name} now" if name else f"{found.name} has its first name again: {first}"
    )
    return 0


def _has(other: Run, name: str, found: Run) -> bool:
    """True if another run is shown with this name."""
    if other.path == found.path or not name:
        return False
    given = read_labels(other.path).name
    return name == (given or (other.record.name if other.record else None))


command = rename
