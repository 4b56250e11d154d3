"""The command `cancel`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from prl_submit import backends
from prl_submit.backends.asking import refreshed, states_of, statuses_of
from prl_submit.backends.base import Backend
from prl_submit.backends.waiting.release import cancel_waiting
from prl_submit.cli.console import data, document, note
from prl_submit.cli.run_lines import describe, typed
from prl_submit.cli.shared_options import (
    force_owner_option,
    json_option,
    output_root_option,
    run_argument,
)
from prl_submit.errors import EXIT_INTERRUPTED, BackendRefusedError, PrlSubmitError, format_error
from prl_submit.runs.belonging import refuse_copies, refuse_strangers
from prl_submit.runs.directory import Run, find_all
from prl_submit.runs.layout import CANCEL
from prl_submit.runs.states import CANCELLED, FINISHED, LOST, SUCCEEDED, State
from prl_submit.spec.traits import traits_of
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("cancel")
@run_argument(many=True, needed=True)
@click.option("--wait", is_flag=True, help="Return only when no process of the job is left.")
@force_owner_option
@output_root_option
@json_option
def cancel(
    runs: tuple[str, ...], wait: bool, force_owner: bool, output_root: str | None, as_json: bool
) -> int:
    """End jobs and all processes that they started.

    A job that has already ended is no error. Of several runs, one that cannot be cancelled stops no
    other.
    """
    if not runs:
        raise click.UsageError("Missing argument 'RUN...'.", click.get_current_context())
    root = output_root_of(output_root)
    found = find_all(runs, root)
    try:
        allowed, refused = _for_each(found, lambda run: _is_allowed(run, force_owner))
        states = {run.path: state for run, state in zip(allowed, states_of(allowed), strict=True)}
        # First those that wait, or their queue would start them in the room that the others leave.
        allowed.sort(key=lambda run: not (run.record is not None and run.record.is_waiting))
        due, failed = _for_each(allowed, lambda run: _is_due(run, states[run.path]))
        ordered, unknown = _order_ends(due, states)
        failed += unknown
        _wait_for_ends(ordered, wait)
    except KeyboardInterrupt:
        return _interrupted(found)
    if as_json:
        from prl_submit.cli.views.shown_runs import detailed

        again = [refreshed(run) for run in found]
        document({"runs": detailed(again, statuses_of(again))})
    else:
        for status in statuses_of([refreshed(run) for run in allowed]):
            data(describe(status))
    faults = refused + failed
    return faults[0].exit_code if faults else 0


def _for_each(
    runs: Sequence[Run], act: Callable[[Run], bool]
) -> tuple[list[Run], list[PrlSubmitError]]:
    """Call `act` for each run: the runs for which it returned true, and the errors it raised.

    An error is printed at once and does not stop the other runs.
    """
    accepted: list[Run] = []
    faults: list[PrlSubmitError] = []
    for run in runs:
        try:
            if act(run):
                accepted.append(run)
        except PrlSubmitError as fault:
            note(format_error(fault))
            faults.append(fault)
    return accepted, faults


def _is_allowed(run: Run, force_owner: bool) -> bool:
    """True. Raises PrlSubmitError for a copied run, and for another user's without --force-owner."""
    refuse_copies(run, "cancel")
    if not force_owner:
        refuse_strangers(run, "cancels it all the same")
    return True


def _is_due(run: Run, state: State) -> bool:
    """True if the run has something that must be ended. A run that was never submitted is cancelled at once."""
    if run.record is None:
        return False
    if run.record.is_waiting:
        return not cancel_waiting(run)  # else it was started at this moment
    if state.state in FINISHED and state.state != LOST:
        note(f"{run.name} had already ended: {state.state}")
        reason = None if state.state == SUCCEEDED else _why_cancel_an_ended(run, state)
        if reason is not None:
            note(f"{run.name}: {reason}")
        return reason is not None
    return True


def _order_ends(
    runs: Sequence[Run], states: Mapping[Path, State]
) -> tuple[list[Run], list[PrlSubmitError]]:
    """Tell the jobs to end, without waiting for the end: the runs that were told, and the errors."""
    answers: dict[Path, bool | PrlSubmitError] = {}
    for backend, same in _by_backend([refreshed(run) for run in runs]):
        found = backend.cancel_many(same, wait=False)
        answers |= {run.path: answer for run, answer in zip(same, found, strict=True)}

    def was_told(run: Run) -> bool:
        answer = answers[run.path]
        if isinstance(answer, PrlSubmitError):
            raise answer
        # A lost job is cancelled too, because some of its processes may still run.
        if not answer and states[run.path].state not in FINISHED:
            raise _no_job(run, run.require_record().backend)
        return True

    return _for_each(runs, was_told)


def _by_backend(runs: Sequence[Run]) -> list[tuple[Backend, list[Run]]]:
    """The backends of the runs, each with its runs."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.require_record().backend, []).append(run)
    return [(backends.load(name), same) for name, same in found.items()]


def _why_cancel_an_ended(run: Run, state: State) -> str | None:
    """Why a job that has ended badly is cancelled all the same; None if nothing is left to cancel."""
    if _is_left(run):
        return "some of it still runs, and is ended now"
    if state.state != CANCELLED and _backend_of(run).may_start_again(run):
        return "it could be started again, which is forbidden now"
    return None


def _is_left(run: Run) -> bool:
    """True if something of an ended job still runs; False also where the backend cannot say."""
    try:
        return _backend_of(run).is_left(run)
    except PrlSubmitError as error:
        note(f"{run.name}: whether something of it still runs is not known: {error.message}")
        return False


def _wait_for_ends(runs: Sequence[Run], wait: bool) -> None:
    """Wait until the jobs have ended, if the user asked for that or the backend must wait."""
    for backend, same in _by_backend(runs):
        must_wait = traits_of(same[0].require_record().backend).cancel_waits
        for run in same if must_wait else ():
            note(f"{run.name}: waits until its pods are gone")
        if wait or must_wait:
            for answer in backend.cancel_many(same, wait=True):
                if isinstance(answer, PrlSubmitError):
                    raise answer


def _interrupted(runs: Sequence[Run]) -> int:
    """Say after Ctrl-C which jobs were already told to end; the exit code."""
    for run in runs:
        if os.path.exists(run.path / CANCEL):
            note(f"\ninterrupted: {run.name} is being cancelled: prl-submit wait {typed(run)}")
        else:
            note(f"\ninterrupted: {run.name} was not cancelled: prl-submit cancel {typed(run)}")
    return EXIT_INTERRUPTED


def _no_job(run: Run, backend: str) -> BackendRefusedError:
    """The error for a job that its backend does not know."""
    return BackendRefusedError(
        f"{run.name}: {backend} lists no job of it; nothing was cancelled",
        f"ask again in a minute: prl-submit status {typed(run)}",
    )


def _backend_of(run: Run) -> Backend:
    return backends.load(run.require_record().backend)


command = cancel
