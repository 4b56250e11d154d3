"""The command `status`."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Sequence
from pathlib import Path

import click

from prl_submit import backends
from prl_submit.backends.asking import states_of, statuses_of
from prl_submit.cli.console import data, document, is_terminal, note
from prl_submit.cli.run_lines import describe, result_code, status_table
from prl_submit.cli.shared_options import json_option, output_root_option, run_argument
from prl_submit.cli.watch import wait_for
from prl_submit.errors import EXIT_INTERRUPTED, EXIT_UNREACHABLE
from prl_submit.runs.directory import Run, find_run, list_runs
from prl_submit.runs.states import FINISHED, SUCCEEDED, Status, status_of
from prl_submit.system.user_paths import output_root as output_root_of

_WATCH_S = 1.0


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
    """Show the state of runs; without RUN, of all runs that have not ended."""
    root = output_root_of(output_root)
    if watch and as_json:
        raise click.UsageError("--watch redraws a table; with --json ask again instead")
    if watch:
        try:
            return _watch(runs, root)
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
    chosen = [find_run(name, root) for name in runs] if runs else list_runs(root)
    nothing = f"nothing is running under {root}"
    return show_runs(chosen, as_json, nothing, ended=bool(runs), courses=True)


def _chosen(names: Sequence[str], root: Path, seen: Container[str]) -> list[Status]:
    """The statuses of the named runs; without names, of all that have not ended or are in `seen`."""
    if names:
        return statuses_of([find_run(name, root) for name in names])
    return [
        status
        for status in statuses_of(list_runs(root))
        if status.state not in FINISHED or status.path in seen
    ]


def show_runs(
    runs: list[Run], as_json: bool, nothing: str, *, ended: bool = True, courses: bool = False
) -> int:
    """Print runs as a table or as JSON; the exit code.

    The exit code is 4 if a backend gave no answer: its runs are then shown as they were last known.
    `nothing`: what to say where there is no run; `ended`: whether ended runs are shown too; `courses`: whether
    lines below the table say how the trainings go.
    """
    states = states_of(runs)
    statuses = [
        status_of(run, state)
        for run, state in zip(runs, states, strict=True)
        if ended or state.state not in FINISHED
    ]
    if as_json:
        document({"runs": statuses})
    elif statuses:
        _print_table(statuses, courses=courses, named=ended)
    else:
        note(nothing)
    for run in () if ended else runs:
        if run.record is None:  # run.json cannot be read, so the job may still run
            note(f"{run.name}: {run.fault}")
    silences = dict.fromkeys(state.unreachable for state in states if state.unreachable)
    for silence in silences:
        note(f"error: {silence}")
    return EXIT_UNREACHABLE if silences else 0


def _print_table(statuses: list[Status], *, courses: bool, named: bool) -> None:
    """Print the table, and below it how the trainings go. `named`: the user named the runs."""
    from prl_submit.cli.course_lines import course_lines

    data(status_table(statuses))
    for line in course_lines(statuses, named=named) if courses else ():
        data(line)


def _watch(names: Sequence[str], root: Path) -> int:
    """Redraw the table on a terminal; elsewhere print a line for each change. The exit code."""
    if is_terminal() and os.environ.get("TERM") != "dumb":
        statuses = _redraw(names, root)
        for status in statuses:  # a table higher than the terminal is not shown whole
            if status.state in FINISHED and status.state != SUCCEEDED:
                note(describe(status))
    else:
        chosen = [find_run(status.path, root) for status in _chosen(names, root, set())]
        statuses = wait_for(chosen, lambda status: data(describe(status)))
    if not statuses:
        note(f"nothing is running under {root}")
    return result_code(statuses)


def _redraw(names: Sequence[str], root: Path) -> list[Status]:
    """Redraw the table until all runs in it have ended. A run that ends meanwhile stays in the table."""
    from rich.live import Live
    from rich.text import Text

    seen: set[str] = set()
    with Live(auto_refresh=False) as live:
        while True:
            statuses = _chosen(names, root, seen)
            seen |= {status.path for status in statuses}
            if statuses:
                live.update(Text.from_ansi(status_table(statuses)), refresh=True)
            if all(status.state in FINISHED for status in statuses):
                return statuses
            names_of = {status.backend for status in statuses if status.backend}
            time.sleep(max([_WATCH_S, *map(backends.pause, names_of)]))


command = status
