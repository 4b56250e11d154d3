"""Resuming a sweep: submit what has not succeeded, and leave the rest alone.

A run that was never submitted is submitted as it was prepared. One that failed, was cancelled or lost
continues from its last checkpoint, or begins anew in its directory if there is no checkpoint. A resumed run
first gets a record with `is_waiting` true. So if this process is killed, the next resume submits it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit import backends
from prl_submit.backends.asking import refreshed, states_of
from prl_submit.backends.base import SweepItem, SweepOrder
from prl_submit.backends.waiting_runs import state_in_queue
from prl_submit.errors import PrlSubmitError
from prl_submit.planning.plan import Plan, resume_from
from prl_submit.resumption import (
    first_again,
    is_at_last_step,
    last_world,
    never_started,
    next_record,
    wait_anew,
    where_it_lies,
)
from prl_submit.runs.belonging import belonging
from prl_submit.runs.checkpoints import Checkpoint, last_complete
from prl_submit.runs.directory import Run
from prl_submit.runs.exclusive import exclusive
from prl_submit.runs.layout import CANCEL, RECORD, VERDICT, sweep_folder
from prl_submit.runs.plan_file import Git, PlanFile, git_state, read_plan
from prl_submit.runs.record import Record, SweptRun
from prl_submit.runs.states import FINISHED, LOST, SUCCEEDED, State
from prl_submit.submission import (
    World,
    first_record,
    keep_made_of,
    refuse_place,
    require_secrets,
    write_plan,
)
from prl_submit.sweeps.sweep_file import SweepFile, read_sweep, submitting
from prl_submit.sweeps.sweep_submission import (
    SubmittedSweep,
    as_it_is,
    give,
    half_way,
    write_waiting,
)
from prl_submit.system.files import remove_inside
from prl_submit.system.shared_results import share_results

#: What is said of a run that `resume RUN` has started since this command read it.
_RESUMED_ELSEWHERE = "left alone: another process has just resumed it"


class ResumedRun(Struct, frozen=True):
    """What was done with one run, in words. `has_failed`: it should have been submitted, and could not be."""

    run: str
    words: str
    has_failed: bool = False


class _Orders:
    """The runs that are to be submitted, and what their preparation needs."""

    def __init__(self, order: SweepOrder, world: World) -> None:
        self.order = order
        self.world = world
        self._commits: dict[str, Git | None] = {}

    def add(self, run: Path, plan: Plan, record: Record) -> None:
        """Add a prepared run."""
        self.order.items.append(SweepItem(run, plan, record))

    def git(self, workdir: str) -> Git | None:
        """The commit of a working directory. Git is asked once."""
        if workdir not in self._commits:
            self._commits[workdir] = git_state(workdir, self.world.shell, self.world.environ)
        return self._commits[workdir]


class ResumedSweep(Struct, frozen=True):
    """What was done with each run of a sweep. `sweep`: the runs that were given to the backend."""

    outcomes: list[ResumedRun]
    sweep: SubmittedSweep


def resume_sweep(runs: Sequence[Run], world: World, *, is_whole: bool) -> ResumedSweep:
    """Submit those of the runs, all of one sweep, that have not succeeded. Raises as `submit_sweep` does.

    `is_whole`: these are all runs of the sweep; then those without a record are submitted too.
    """
    root, place = runs[0].path.parent, _place_of(runs[0])
    folder = sweep_folder(root, place.folder)
    folder.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
    with submitting(folder), share_results():
        file = read_sweep(folder)
        most = file.max_parallel if file else None
        orders = _Orders(SweepOrder(folder, place.name, place.id, most, []), world)
        outcomes = _prepare_all([refreshed(run) for run in runs], orders)
        if is_whole and file is not None:
            outcomes += _prepare_missing(file, folder, orders)
        return ResumedSweep(outcomes, _submit(orders))


def _submit(orders: _Orders) -> SubmittedSweep:
    """Give the prepared runs to the backend; the runs as they are then."""
    order = orders.order
    if order.items:
        _keep_made_of(order, orders.world)
        try:
            give(order, orders.world)
        except BaseException as error:
            raise half_way(error, as_it_is(order)) from None
    return as_it_is(order)


def _keep_made_of(order: SweepOrder, world: World) -> None:
    """Keep the code and the data of the runs' next attempts."""
    found: dict[int, list[tuple[Path, Plan]]] = {}
    for item in order.items:
        found.setdefault(item.record.restarts, []).append((item.run, item.plan))
    for restarts, same in found.items():
        keep_made_of(same, world, restarts=restarts)


def _place_of(run: Run) -> SweptRun:
    """The run's place in its sweep. Raises PrlSubmitError if it has none."""
    place = run.require_record().sweep
    if place is None:
        raise PrlSubmitError(f"{run.name} is no run of a sweep")
    return place


def _prepare_all(runs: list[Run], orders: _Orders) -> list[ResumedRun]:
    """Prepare the runs that are to be submitted, and add them to the order; what was done with each."""
    waiting = [run for run in runs if run.record is not None and run.record.is_waiting]
    others = [run for run in runs if run not in waiting]
    states = {run.path: state for run, state in zip(others, states_of(others), strict=True)}
    outcomes = []
    for run in runs:
        try:
            done = (
                _submit_waiting(run, orders)
                if run.path not in states
                else _start_again(run, states[run.path], orders)
            )
        except PrlSubmitError as error:
            done = _not_resumed(run.name, error)
        outcomes.append(done)
    return outcomes


def _submit_waiting(run: Run, orders: _Orders) -> ResumedRun:
    """Add a run that was never given to its backend to the order, unless a living queue has it."""
    queued = state_in_queue(run)
    if queued is not None:
        return ResumedRun(run.name, f"left alone: {queued.state} {queued.reason}")
    with exclusive(run):
        if not _is_as_seen(run):
            return ResumedRun(run.name, _RESUMED_ELSEWHERE)
        file = where_it_lies(run, read_plan(run.path))
        _refuse(file.plan, orders.world)
        for name in (CANCEL, VERDICT):
            remove_inside(run.path, name)
        plan = wait_anew(file.plan)
        record = msgspec.structs.replace(run.require_record(), is_waiting=False)
        if plan != file.plan:  # its script names the jobs that it waits for
            _write(run.path, file, plan, record, orders)
        orders.add(run.path, plan, record)
    return ResumedRun(run.name, "submitted")


def _is_as_seen(run: Run) -> bool:
    """True if nobody has resumed the run since it was read: `resume RUN` has the lock of the run alone."""
    return refreshed(run).record == run.record


def _start_again(run: Run, state: State, orders: _Orders) -> ResumedRun:
    """Add a run that has ended without success to the order, after its files are those of the next attempt."""
    if run.record is None:
        return ResumedRun(run.name, f"not resumed: {run.fault}", has_failed=True)
    if state.state not in FINISHED or state.state == SUCCEEDED or state.is_ending:
        more = " (its last processes end just now)" if state.is_ending else ""
        return ResumedRun(run.name, f"left alone: {state.state}{more}")
    with exclusive(run):
        if not _is_as_seen(run):
            return ResumedRun(run.name, _RESUMED_ELSEWHERE)
        _end_what_is_left(run, state)
        file = where_it_lies(run, read_plan(run.path))
        _refuse(file.plan, orders.world)
        checkpoint = _checkpoint(run, file.plan)
        if checkpoint is None and never_started(run, state):
            plan = wait_anew(file.plan)
            record = first_again(run, plan, state)
        else:
            plan = _next_plan(file.plan, checkpoint)
            record = next_record(run, plan, state)
        remove_inside(run.path, CANCEL)
        _write(run.path, file, plan, record, orders)
        orders.add(run.path, plan, record)
    words = f"continues from {checkpoint.path.name}" if checkpoint else "begins anew"
    return ResumedRun(run.name, f"{words} ({state.state})")


def _end_what_is_left(run: Run, state: State) -> None:
    """End processes that a killed launcher or a failed node left: they would train beside the new attempt."""
    backend = backends.load(run.require_record().backend)
    if belonging(run).has_job and (state.state == LOST or backend.is_left(run)):
        backend.cancel(run, wait=True)


def _refuse(plan: Plan, world: World) -> None:
    """Raise PrlSubmitError if nothing may be started from here, or a secret is not set."""
    refuse_place(plan, world.environ)
    require_secrets(plan, world.environ)


def _checkpoint(run: Run, plan: Plan) -> Checkpoint | None:
    """The checkpoint to continue from; None if there is none. Raises PrlSubmitError if no step is left."""
    found = last_complete(run.path, last_world(run, plan))
    if found is None and run.require_record().job_id is None:
        return None  # its order was interrupted, and there is no job: it has never begun
    if found is None and (elsewhere := backends.load(plan.backend).where_files_are(run)):
        raise PrlSubmitError(f"no complete checkpoint on this machine; {elsewhere}")
    if found is not None and is_at_last_step(plan, found):
        raise PrlSubmitError(f"it is at its last step already: {found.path.name}")
    return found


def _next_plan(plan: Plan, checkpoint: Checkpoint | None) -> Plan:
    """The plan of the next attempt. An earlier resume's own checkpoint is left out if it is gone.

    The run has begun once, so the runs that it waited for have succeeded.
    """
    plan = msgspec.structs.replace(plan, after=[], after_jobs=[])
    if checkpoint is not None:
        return resume_from(plan, os.path.join(plan.run_dir, checkpoint.path.name))
    own = os.path.join(plan.run_dir, "checkpoint-")
    kept = [
        group
        for group in plan.arguments
        if group[0] != "--resume_from_checkpoint" or not group[-1].startswith(own)
    ]
    return msgspec.structs.replace(plan, arguments=kept)


def _write(run: Path, file: PlanFile, plan: Plan, record: Record, orders: _Orders) -> None:
    """Write the files of a run's next attempt, and run.json last."""
    file = msgspec.structs.replace(file, plan=plan, git=orders.git(plan.workdir))
    write_plan(run, file, record, orders.world, durable=False)
    write_waiting(run, record)


def _prepare_missing(file: SweepFile, folder: Path, orders: _Orders) -> list[ResumedRun]:
    """Add the runs that sweep.json has and that have no run.json: a submission was killed before it wrote them."""
    outcomes = []
    for entry in file.runs:
        path = folder.parent.parent / entry.run
        if os.path.lexists(path / RECORD) or not path.is_dir():
            continue
        try:
            plan_file = read_plan(path)
            _refuse(plan_file.plan, orders.world)
            record = first_record(plan_file.plan, path)
            record = msgspec.structs.replace(record, sweep=file.place_of(entry, folder))
            _write(path, plan_file, plan_file.plan, record, orders)
        except PrlSubmitError as error:
            outcomes.append(_not_resumed(entry.run, error))
            continue
        orders.add(path, plan_file.plan, record)
        outcomes.append(ResumedRun(path.name, "submitted"))
    return outcomes


def _not_resumed(run: str, error: PrlSubmitError) -> ResumedRun:
    """What is said of a run that could not be prepared."""
    hint = f" ({error.hint})" if error.hint else ""
    return ResumedRun(run, f"not resumed: {error.message}{hint}", has_failed=True)
