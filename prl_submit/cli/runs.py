"""list, status, wait, cancel: questions and orders about runs that exist."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Sequence
from pathlib import Path

import click

from prl_submit import backends
from prl_submit.cli.console import data, document, is_terminal, note
from prl_submit.cli.options import (
    force_owner_option,
    json_option,
    output_root_option,
    run_argument,
)
from prl_submit.cli.options import output_root as output_root_of
from prl_submit.cli.watching import (
    describe,
    interrupted,
    refreshed,
    result_code,
    states_of,
    status_table,
    statuses_of,
    typed,
    wait_for,
)
from prl_submit.errors import (
    EXIT_INTERRUPTED,
    EXIT_UNREACHABLE,
    BackendRefusedError,
    PrlSubmitError,
    format_error,
)
from prl_submit.runs.belonging import refuse_copies, refuse_strangers
from prl_submit.runs.directory import CANCEL, Run, find_run, list_runs
from prl_submit.runs.states import FINISHED, LOST, SUCCEEDED, Status, status_of

_WATCH_S = 1.0


@click.command("list")
@output_root_option
@json_option
def list_(output_root: str | None, as_json: bool) -> int:
    """List the runs under the output root, newest last."""
    root = output_root_of(output_root)
    return _show(list_runs(root), as_json, f"no runs under {root}")


@click.command("status")
@run_argument(many=True)
@click.option(
    "--watch",
    is_flag=True,
    help="Look again and again until all have ended; exit 1 if one did not succeed.",
)
@output_root_option
@json_option
def status(runs: tuple[str, ...], watch: bool, output_root: str | None, as_json: bool) -> int:
    """Show what runs are doing; without RUN, all that are not finished."""
    root = output_root_of(output_root)
    if watch and as_json:
        raise click.UsageError("--watch redraws a table; with --json ask again instead")
    if watch:
        try:
            return _watch(runs, root)
        except KeyboardInterrupt:
            return EXIT_INTERRUPTED
    chosen = [find_run(name, root) for name in runs] if runs else list_runs(root)
    return _show(chosen, as_json, f"nothing is running under {root}", ended=bool(runs))


def _chosen(names: Sequence[str], root: Path, seen: Container[str]) -> list[Status]:
    """The runs that are named; else all that have not ended, or whose path is in `seen`."""
    if names:
        return statuses_of([find_run(name, root) for name in names])
    return [
        status
        for status in statuses_of(list_runs(root))
        if status.state not in FINISHED or status.path in seen
    ]


def _show(runs: list[Run], as_json: bool, nothing: str, *, ended: bool = True) -> int:
    """Print runs; 4 where a backend gave no answer, and what is shown is the last that is known."""
    states = states_of(runs)
    statuses = [
        status_of(run, state)
        for run, state in zip(runs, states, strict=True)
        if ended or state.state not in FINISHED
    ]
    if as_json:
        document({"runs": statuses})
    elif statuses:
        data(status_table(statuses))
    else:
        note(nothing)
    for run in () if ended else runs:
        if run.record is None:  # it may be running
            note(f"{run.name}: {run.fault}")
    silences = dict.fromkeys(state.unreachable for state in states if state.unreachable)
    for silence in silences:
        note(f"error: {silence}")
    return EXIT_UNREACHABLE if silences else 0


def _watch(names: Sequence[str], root: Path) -> int:
    """Redraw on a terminal, elsewhere print a line per change; the result of all as exit code."""
    if is_terminal() and os.environ.get("TERM") != "dumb":
        statuses = _redraw(names, root)
        for status in statuses:  # the table may have cut the reason
            if status.state in FINISHED and status.state != SUCCEEDED:
                note(describe(status))
    else:
        chosen = [find_run(status.path, root) for status in _chosen(names, root, set())]
        statuses = wait_for(chosen, lambda status: data(describe(status)))
    if not statuses:
        note(f"nothing is running under {root}")
    return result_code(statuses)


def _redraw(names: Sequence[str], root: Path) -> list[Status]:
    """The table, again and again, until all in it have ended: a run that was seen open stays in it."""
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


@click.command("wait")
@run_argument(many=True)
@output_root_option
@json_option
def wait(runs: tuple[str, ...], output_root: str | None, as_json: bool) -> int:
    """Wait until jobs have ended; exit 1 if one did not succeed. Without RUN, all that run now."""
    found = _named_or_open(runs, output_root_of(output_root))
    try:
        statuses = wait_for(found, lambda status: note(describe(status)))
    except KeyboardInterrupt:
        return interrupted(found)
    if as_json:
        document({"runs": statuses})
    return result_code(statuses)


def _named_or_open(names: Sequence[str], root: Path) -> list[Run]:
    if names:
        return [find_run(name, root) for name in names]
    runs = list_runs(root)
    pairs = zip(runs, states_of(runs), strict=True)
    return [run for run, state in pairs if state.state not in FINISHED]


@click.command("cancel")
@run_argument(many=True, needed=True)
@click.option("--wait", is_flag=True, help="Return when nothing of the job is left.")
@force_owner_option
@output_root_option
@json_option
def cancel(
    runs: tuple[str, ...], wait: bool, force_owner: bool, output_root: str | None, as_json: bool
) -> int:
    """End jobs and everything they started; says so where a job had already ended."""
    if not runs:
        raise click.UsageError("Missing argument 'RUN...'.", click.get_current_context())
    root = output_root_of(output_root)
    found = [find_run(name, root) for name in runs]
    try:
        allowed, refused = _allowed(found, force_owner)
        ordered, faults = _order_ends(allowed)
        faults = refused + faults
        for run in ordered:
            backend = _backend_of(run)
            if backend.CANCEL_WAITS:
                note(f"{run.name}: waits until its pods are gone")
            if wait or backend.CANCEL_WAITS:
                backend.cancel(run, wait=True)
    except KeyboardInterrupt:
        return _interrupted(found)
    statuses = statuses_of([refreshed(run) for run in found])
    if as_json:
        document({"runs": statuses})
    else:
        for status in statuses:
            data(describe(status))
    if faults:
        raise faults[0]
    return 0


def _allowed(runs: Sequence[Run], force_owner: bool) -> tuple[list[Run], list[PrlSubmitError]]:
    """The runs whose jobs may be ended from here; one that may not stops no other."""
    allowed: list[Run] = []
    faults: list[PrlSubmitError] = []
    for run in runs:
        try:
            refuse_copies(run, "cancel")
            if not force_owner:
                refuse_strangers(run, "cancels it all the same")
            allowed.append(run)
        except PrlSubmitError as fault:
            if len(runs) > 1:
                note(format_error(fault))
            faults.append(fault)
    return allowed, faults


def _order_ends(runs: Sequence[Run]) -> tuple[list[Run], list[PrlSubmitError]]:
    """Tell all of them to end before any is waited for; one that cannot be ended stops no other."""
    ordered, faults = [], []
    for run, state in zip(runs, states_of(runs), strict=True):
        if state.state in FINISHED and state.state != LOST:
            note(f"{run.name} had already ended: {state.state}")
            if state.state != SUCCEEDED and _is_left(run):
                note(f"{run.name}: some of it still runs, and is ended now")
                _backend_of(run).cancel(run, wait=False)
                ordered.append(run)
        elif run.record is not None:
            # A lost job may have left processes behind, so it is cancelled all the same.
            try:
                if not _backend_of(run).cancel(run, wait=False) and state.state != LOST:
                    raise _no_job(run, run.record.backend)
                ordered.append(run)
            except PrlSubmitError as fault:
                if len(runs) > 1:
                    note(format_error(fault))
                faults.append(fault)
    return ordered, faults


def _is_left(run: Run) -> bool:
    try:
        return _backend_of(run).is_left(run)
    except PrlSubmitError as error:
        note(f"{run.name}: whether something of it still runs is not known: {error.message}")
        return False


def _interrupted(runs: Sequence[Run]) -> int:
    """What Ctrl-C says, of each: whether its end was ordered."""
    for run in runs:
        if os.path.exists(run.path / CANCEL):
            note(f"\ninterrupted: {run.name} is being cancelled: prl-submit wait {typed(run)}")
        else:
            note(f"\ninterrupted: {run.name} was not cancelled: prl-submit cancel {typed(run)}")
    return EXIT_INTERRUPTED


def _no_job(run: Run, backend: str) -> BackendRefusedError:
    return BackendRefusedError(
        f"{run.name}: {backend} lists no job of it; nothing was cancelled",
        f"ask again in a minute: prl-submit status {typed(run)}",
    )


def _backend_of(run: Run) -> backends.Backend:
    return backends.load(run.require_record().backend)


COMMANDS = {"list": list_, "status": status, "wait": wait, "cancel": cancel}
