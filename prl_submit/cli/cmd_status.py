"""The command `status`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prl_submit.backends.asking import states_of
from prl_submit.cli.console import data, document, is_terminal, note
from prl_submit.cli.run_lines import describe, result_code
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.errors import EXIT_INTERRUPTED
from prl_submit.runs.directory import Run, find_all, list_runs
from prl_submit.runs.states import FINISHED
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.results.run_status import RunView

#: With more RUNs than this there is a table, else a page for each run. A sweep has a table.
_MOST_PAGES = 3


@click.command("status")
@run_argument(many=True)
@click.option(
    "--watch",
    is_flag=True,
    help="Repeat until all jobs have ended; exit 1 if one did not succeed.",
)
@output_root_option
@json_option
def status(runs: tuple[str, ...], watch: bool, output_root: str | None, as_json: bool) -> int:
    """Show how runs go; without RUN, all runs that have not ended. Of up to three RUNs show all that is known."""
    root = output_root_of(output_root)
    if watch and as_json:
        raise click.UsageError("--watch redraws a table; with --json ask again instead")
    named = find_all(runs, root)
    if watch:
        try:
            return _watch(named, root)
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
    return _show(named or list_runs(root), root, as_json=as_json, names=runs)


def _show(runs: list[Run], root: Path, *, as_json: bool, names: Sequence[str]) -> int:
    """Print the runs; the exit code. `names`: what the user typed; then runs that have ended are shown too."""
    from prl_submit.cli.views.run_table import STATUS
    from prl_submit.cli.views.shown_runs import ask, make_look, print_table

    named = bool(names)
    as_pages = named and len(runs) <= min(_MOST_PAGES, len(names)) and not as_json
    answer = ask(runs, ended=named, whole=as_pages)
    if as_json:
        document({"runs": [view.status for view in answer.views]})
    elif not answer.views:
        note(f"nothing is running under {root}")
    else:
        _print_heads(answer.views, names)
        if as_pages:
            from prl_submit.cli.views.run_page import print_pages

            print_pages(answer.views)
        else:
            print_table(answer.views, make_look(answer.views), STATUS)
    for run in () if named else runs:
        if run.record is None:  # run.json cannot be read, so the job may still run
            note(f"{run.name}: {run.fault}")
    return answer.say_silences()


def _print_heads(views: Sequence[RunView], names: Sequence[str]) -> None:
    """Print a line about each sweep that the user named."""
    from prl_submit.cli.views.sweep_heads import sweep_heads

    for line in sweep_heads([(view.run, view.status.state) for view in views], names):
        data(line)


def _watch(named: list[Run], root: Path) -> int:
    """Redraw the table on a terminal; elsewhere print a line for each change. The exit code."""
    from prl_submit.cli.views.live_screen import has_screen

    if is_terminal() and has_screen():
        from prl_submit.cli.views.live_table import watch_table

        statuses = watch_table(named, root)
    else:
        from prl_submit.cli.watch import wait_for

        statuses = wait_for(named or _open(root), lambda status: data(describe(status)))
    if not statuses:
        note(f"nothing is running under {root}")
    return result_code(statuses)


def _open(root: Path) -> list[Run]:
    """The runs in an output root that have not ended."""
    runs = list_runs(root)
    return [
        run for run, state in zip(runs, states_of(runs), strict=True) if state.state not in FINISHED
    ]


command = status
