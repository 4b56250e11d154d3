"""The command `resume`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from prl_submit import backends
from prl_submit.backends.asking import refreshed, states_of
from prl_submit.cli.console import note
from prl_submit.cli.run_lines import interrupted
from prl_submit.cli.shared_options import (
    follow_option,
    force_owner_option,
    json_option,
    output_root_option,
    run_argument,
    templates_option,
    wait_option,
)
from prl_submit.cli.started import after_start
from prl_submit.cli.watch import POLL_S
from prl_submit.errors import EXIT_INTERRUPTED, PrlSubmitError, format_problem
from prl_submit.planning.changes import changed_keys
from prl_submit.prepare import plan_changed
from prl_submit.resumption import Changed, begin_anew, never_started, wait_again
from prl_submit.resumption import resume as resume_run
from prl_submit.runs.belonging import belonging, refuse_copies, refuse_strangers
from prl_submit.runs.checkpoints import Checkpoint
from prl_submit.runs.directory import Run, find_runs, names_sweep
from prl_submit.runs.exclusive import exclusive
from prl_submit.runs.logs import log_sizes
from prl_submit.runs.plan_file import find_plan
from prl_submit.runs.states import FINISHED, LOST, State
from prl_submit.spec.sections import Platform
from prl_submit.submission import World
from prl_submit.system import shell
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("resume")
@run_argument(many=False)
@click.option(
    "--set",
    "sets",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a value that a resumed training can take, as swift.max_steps=200. Can be given several times.",
)
@force_owner_option
@output_root_option
@templates_option
@wait_option
@follow_option
@json_option
def resume(
    run: str,
    sets: tuple[str, ...],
    force_owner: bool,
    output_root: str | None,
    templates: Path | None,
    wait: bool,
    follow: bool,
    as_json: bool,
) -> int:
    """Continue a run that has ended from its last complete checkpoint, in the same run directory.

    A run that never started begins anew. Of a sweep, each run goes on or begins anew that has ended without success.

    --set changes values for the steps to come: how long it trains, what is kept, memory, the environment
    and what the scheduler is asked for. A value that the checkpoint fixes is refused, with the reason.
    """
    runs = find_runs(run, output_root_of(output_root))
    is_whole = names_sweep(run, runs)
    how = {"wait": wait, "follow": follow, "as_json": as_json}
    if is_whole or _waits_in_sweep(runs[0]):
        return _resume_in_sweep(
            runs, templates, is_whole=is_whole, force_owner=force_owner, has_sets=bool(sets), **how
        )
    found = runs[0]
    refuse_copies(found, "resume")
    if not force_owner:
        refuse_strangers(found, "runs that user's setup lines and plugins as you")
    _refuse_place(found)
    try:
        started, checkpoint, seen = _resume(found, templates, sets)
    except KeyboardInterrupt:
        after = refreshed(found)
        if after.record != found.record:  # the new attempt has a record, so perhaps a job
            return interrupted([after])
        note("\ninterrupted: nothing was resumed")
        return EXIT_INTERRUPTED
    if checkpoint is not None:
        note(f"continues from {checkpoint.path.name}")
    return after_start(started, "resumed", seen=seen, **how)


def _waits_in_sweep(run: Run) -> bool:
    """True for a run of a sweep that was never given to its backend."""
    return run.record is not None and run.record.is_waiting and run.record.sweep is not None


def _resume_in_sweep(runs: list[Run], templates: Path | None, **how: bool) -> int:
    from prl_submit.cli.resume_sweep import resume_in_sweep

    return resume_in_sweep(runs, templates, **how)


def _refuse_place(found: Run) -> None:
    """Raise PrlSubmitError if the backend must start nothing from here: before anything of the run is touched."""
    backend, plan = backends.load(found.require_record().backend), find_plan(found.path)
    names = Platform() if plan is None else plan.platform
    if refusal := backend.refusal_here(os.environ, names):
        raise refusal


def _resume(
    found: Run, templates: Path | None, sets: tuple[str, ...]
) -> tuple[Run, Checkpoint | None, dict[Path, int]]:
    """Start a new attempt of the run.

    Returns the run, the checkpoint from which it continues, and how long its logs were before. A run that
    waited waits again, and one that never started begins anew: then there is no checkpoint.
    """
    with exclusive(found):
        found = refreshed(found)  # another `resume` may have started an attempt meanwhile
        state = _when_it_has_ended(found)
        if state.state not in FINISHED:
            raise PrlSubmitError(f"{found.name} is {state.state}", "cancel it first, or wait")
        if found.record is not None and found.record.is_waiting:
            _refuse_changes(found, sets)
            return wait_again(found), None, {}
        is_new = found.record is not None and never_started(found, state)
        if is_new:
            _refuse_changes(found, sets)
        changed = _changed(found, sets)
        if found.record is not None:
            backend = backends.load(found.record.backend)
            # Processes that a killed launcher or a failed node left would train beside the new attempt.
            if belonging(found).has_job and (state.state == LOST or backend.is_left(found)):
                backend.cancel(found, wait=True)
        outside = World(os.environ, shell.run, templates, note)
        if is_new:
            started = begin_anew(found, outside, state)
            note(f"begins anew, because it never started ({state.state})")
            return started, None, {}
        seen = log_sizes(found.path)
        started, checkpoint = resume_run(found, outside, state, changed)
    return started, checkpoint, seen


def _changed(found: Run, sets: tuple[str, ...]) -> Changed | None:
    """What --set changes. Prints the warnings about it; raises SpecError with all that is wrong."""
    if not sets:
        return None
    planned, keys = plan_changed(found.path, sets), changed_keys(sets)
    for problem in planned.problems:
        if problem.key in keys:
            note(format_problem(problem))
    return Changed(planned, keys)


def _refuse_changes(found: Run, sets: tuple[str, ...]) -> None:
    """Raise PrlSubmitError for --set with a run that never began: nothing of its training is there to keep."""
    if sets:
        raise PrlSubmitError(
            f"{found.name} never began, so it has no training in which a value could change",
            f"start a new one: prl-submit rerun {found.name} --set …",
        )


def _when_it_has_ended(run: Run) -> State:
    """The run's state. A job that has failed and is about to end is waited for first."""
    state = states_of([run])[0]
    if state.is_ending:
        note(f"{run.name}: waits until its processes have ended: {state.reason}")
    while state.is_ending:
        time.sleep(POLL_S)
        state = states_of([run])[0]
    return state


command = resume
