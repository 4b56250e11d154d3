"""cancel."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from prl_submit import backends
from prl_submit.cli.console import data, document, note
from prl_submit.cli.run_lines import describe, typed
from prl_submit.cli.run_states import refreshed, states_of, statuses_of
from prl_submit.cli.shared_options import (
    force_owner_option,
    json_option,
    output_root_option,
    run_argument,
)
from prl_submit.errors import EXIT_INTERRUPTED, BackendRefusedError, PrlSubmitError, format_error
from prl_submit.runs.belonging import refuse_copies, refuse_strangers
from prl_submit.runs.directory import CANCEL, Run, find_run
from prl_submit.runs.states import FINISHED, LOST, SUCCEEDED
from prl_submit.spec.traits import traits_of
from prl_submit.system.user_paths import output_root as output_root_of


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
            waits = traits_of(run.require_record().backend).cancel_waits
            if waits:
                note(f"{run.name}: waits until its pods are gone")
            if wait or waits:
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


command = cancel
