"""The next attempt of a run that has ended: from its last complete checkpoint, in its own directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit import backends
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.planning.changes import Change, argument_of, changed_plan, changed_values
from prl_submit.planning.plan import Plan, Planned, resume_from, with_run_dir
from prl_submit.runs import checkpoints, directory, layout
from prl_submit.runs.attempts import read_attempts
from prl_submit.runs.belonging import is_same
from prl_submit.runs.directory import Run
from prl_submit.runs.exits import read_exit, read_node_exits
from prl_submit.runs.limits import limits_of_plan
from prl_submit.runs.logs import node_logs
from prl_submit.runs.plan_file import PlanFile, Resumption, dump_spec, git_state, read_plan
from prl_submit.runs.record import Predecessor, Record, ScheduledJob, directory_of
from prl_submit.runs.signs_of_life import last_size
from prl_submit.runs.states import State
from prl_submit.runs.times import local_now
from prl_submit.submission import (
    World,
    file_mode,
    keep_made_of,
    new_token,
    order_job,
    refuse_place,
    require_secrets,
    write_plan,
)
from prl_submit.system.files import remove_inside, write_inside
from prl_submit.system.reading import PLAN_BYTES, read_record


class Changed(Struct, frozen=True):
    """What `resume --set` changes: the keys, and the plan of the run's spec with their new values."""

    planned: Planned
    keys: list[str]


def resume(
    run: Run, world: World, before: State, changed: Changed | None = None
) -> tuple[Run, checkpoints.Checkpoint]:
    """Start a finished run again from its last complete checkpoint, in its own directory.

    `before`: how the run finished; see `next_record`. Raises PrlSubmitError.
    """
    run.require_record()
    file = where_it_lies(run, read_plan(run.path))
    file, changes = (file, []) if changed is None else _with_changes(file, changed)
    refuse_place(file.plan, world.environ)
    require_secrets(file.plan, world.environ)
    checkpoint = _checkpoint_of(run, file.plan, changed.keys if changed else [])
    _say_schedule(file.plan, changes, world)
    # The run directory as the job has it: pods may have its volume mounted elsewhere.
    plan = resume_from(file.plan, os.path.join(file.plan.run_dir, checkpoint.path.name))
    # The run has begun once, so the runs that it waited for have succeeded.
    plan = msgspec.structs.replace(plan, after=[], after_jobs=[])
    record = next_record(run, plan, before)
    if changes:
        entry = Resumption(at=record.ordered_at, checkpoint=checkpoint.path.name, changes=changes)
        file = msgspec.structs.replace(file, resumes=[*file.resumes, entry])
    with _as_it_was(run, plan.traits.artefact):
        remove_inside(run.path, layout.CANCEL)
        git = git_state(plan.workdir, world.shell, world.environ)
        file = msgspec.structs.replace(file, plan=plan, git=git)
        write_plan(run.path, file, record, world)
        if changed is not None:
            write_inside(run.path, layout.SPEC, dump_spec(changed.planned.tree))
        keep_made_of([(run.path, plan)], world, restarts=record.restarts)
        record = order_job(run.path, plan, record, world)
    return msgspec.structs.replace(run, record=record), checkpoint


def wait_again(run: Run) -> Run:
    """Let a run that waited, and never got a job, wait once more: for the same runs. Raises PrlSubmitError."""
    from prl_submit.backends.waiting.start_queue import queue_run

    for name in (layout.CANCEL, layout.VERDICT):
        remove_inside(run.path, name)
    return msgspec.structs.replace(run, record=queue_run(run.path, run.require_record()))


def never_started(run: Run, before: State) -> bool:
    """True if launch.sh of the run has certainly begun on no node, so nothing of a training can be lost.

    Not where the job writes its files elsewhere, because there it may have begun.
    """
    record = run.require_record()
    if record.restarts or before.restarts or before.started_at is not None:
        return False
    if record.job_id is not None and backends.load(record.backend).where_files_are(run) is not None:
        return False
    written = any(os.path.lexists(run.path / name) for name in (layout.EXIT, layout.STEPS))
    return not (written or node_logs(run.path) or read_attempts(run.path, record))


def begin_anew(run: Run, world: World, before: State) -> Run:
    """Submit a run that never started once more, as it was prepared. Raises PrlSubmitError.

    It waits for those of its runs of --after that have not succeeded by now.
    """
    file = where_it_lies(run, read_plan(run.path))
    refuse_place(file.plan, world.environ)
    require_secrets(file.plan, world.environ)
    plan = wait_anew(file.plan)
    record = first_again(run, plan, before)
    with _as_it_was(run, plan.traits.artefact):
        for name in (layout.CANCEL, layout.VERDICT):
            remove_inside(run.path, name)
        git = git_state(plan.workdir, world.shell, world.environ)
        write_plan(run.path, msgspec.structs.replace(file, plan=plan, git=git), record, world)
        keep_made_of([(run.path, plan)], world)
        record = order_job(run.path, plan, record, world)
    return msgspec.structs.replace(run, record=record)


def first_again(run: Run, plan: Plan, before: State) -> Record:
    """The record of the first attempt of a run that never started, before its job is submitted once more.

    A run with an attempt before it would not wait for other runs any more. See `predecessors_of`.
    """
    after = [Predecessor(run=each.run, job_id=each.job_id) for each in plan.after]
    return msgspec.structs.replace(next_record(run, plan, before), restarts=0, after=after)


def wait_anew(plan: Plan) -> Plan:
    """The plan, which waits for those runs of --after that have not succeeded by now. Raises PrlSubmitError."""
    if not plan.after:
        return plan
    from prl_submit.backends.waiting import after

    return after.wait_anew(plan)


def _checkpoint_of(run: Run, plan: Plan, changed: Sequence[str] = ()) -> checkpoints.Checkpoint:
    """The checkpoint that a run goes on from. Raises PrlSubmitError where there is none, or no step is left.

    `changed`: the keys with a new value.
    """
    checkpoint = checkpoints.last_complete(run.path, last_world(run, plan))
    if checkpoint is None:
        elsewhere = backends.load(plan.backend).where_files_are(run)
        if elsewhere is not None:
            raise PrlSubmitError(
                f"{run.name} has no complete checkpoint on this machine; {elsewhere}",
                f"prl-submit collect {bash(str(run.path))} --only 'checkpoint-*', then resume",
            )
        raise PrlSubmitError(
            f"{run.name} has no complete checkpoint to go on from",
            f"start it anew: prl-submit rerun {bash(str(run.path))}",
        )
    _require_steps(run, plan, checkpoint, changed)
    return checkpoint


def _with_changes(file: PlanFile, changed: Changed) -> tuple[PlanFile, list[Change]]:
    """The plan with the new values, and what changed."""
    planned = changed.planned
    values, changes = changed_values(file.values, planned.values, changed.keys)
    plan = changed_plan(file.plan, planned.plan, changed.keys)
    return msgspec.structs.replace(file, plan=plan, values=values), changes


#: The arguments that say how long a training is, and ms-swift's default of the second.
_LENGTH = ("swift.max_steps", "swift.num_train_epochs")
_EPOCHS = 3.0


def _require_steps(
    run: Run, plan: Plan, checkpoint: checkpoints.Checkpoint, changed: Sequence[str]
) -> None:
    """Raise PrlSubmitError if no step is left to train. `changed`: the keys with a new value."""
    name, steps = checkpoint.path.name, int(argument_of(plan, "max_steps") or -1)
    if steps > 0 and _LENGTH[1] in changed:
        message = f"{_LENGTH[1]}: is ignored, because max_steps {steps} says when the training ends"
        raise PrlSubmitError(message, f"--set {_LENGTH[0]}=N")
    if changed and not set(_LENGTH).isdisjoint(changed):
        epochs = float(argument_of(plan, "num_train_epochs") or _EPOCHS)
        there, asked = (checkpoint.step, steps) if steps > 0 else (checkpoint.epoch or 0.0, epochs)
        if asked > there:
            return
        what = "step" if steps > 0 else "epoch"
        key = _LENGTH[0] if steps > 0 else _LENGTH[1]
        raise PrlSubmitError(
            f"{key}: {asked:g} leaves nothing to train: {name} is at {what} {there:g}",
            f"more than {there:g}",
        )
    if is_at_last_step(plan, checkpoint):
        raise PrlSubmitError(
            f"{run.name} is at its last step already: {name} of {checkpoint.step}",
            f"--set {_LENGTH[0]}=N trains more steps",
        )


def is_at_last_step(plan: Plan, checkpoint: checkpoints.Checkpoint) -> bool:
    """True if no step is left to train.

    An earlier `resume --set swift.max_steps` may have made the training longer than its checkpoint says.
    """
    steps = int(argument_of(plan, "max_steps") or -1)
    return checkpoint.step == (steps if steps > 0 else checkpoint.max_steps)


def _say_schedule(plan: Plan, changes: list[Change], world: World) -> None:
    """Say that the learning rate changes where the schedule gets another length."""
    kind = argument_of(plan, "lr_scheduler_type") or "cosine"
    if not kind.startswith("constant") and any(change.key in _LENGTH for change in changes):
        world.tell(
            f"note: the schedule of the learning rate ({kind}) has another length now, so the learning rate "
            "changes where the training goes on"
        )


def last_world(run: Run, plan: Plan) -> int:
    """The number of processes of the run's last attempt. If the plan leaves it open, launch.sh has written it."""
    size = last_size(run.path) if plan.unstated else None
    return plan.world_size if size is None else size[0] * size[1]


def next_record(run: Run, plan: Plan, before: State) -> Record:
    """The record of a resumed run's next attempt, before its job has started.

    `restarts` counts every attempt before it: those that `before` tells of, because the scheduler may
    have started the job again, and those whose files are left. So no earlier file passes for the next
    attempt's. The token is a new one, because a scheduler that remembers the old job would find that one
    by the old token.
    """
    last = run.require_record()
    return msgspec.structs.replace(
        last,
        token=new_token(),
        restarts=max(last.restarts, before.restarts, *_attempts_left(run.path)) + 1,
        job_id=None,
        place=ScheduledJob(),
        released_at=None,
        resumed_at=[*last.resumed_at, local_now()],
        started_at=last.started_at or before.started_at,
        directory=directory_of(run.path),
        limits=limits_of_plan(plan),
    )


def where_it_lies(run: Run, file: PlanFile) -> PlanFile:
    """The plan for the directory in which the run is now, since the user may have moved it.

    Raises PrlSubmitError where the run cannot go on there.
    """
    plan = file.plan
    before = Path(plan.run_dir)
    if plan.output_mount:
        if before.name != run.path.name:
            raise PrlSubmitError(
                f"{run.name} was renamed; on the volume of its pods it is {before.name}",
                f"give it that name again: mv {bash(str(run.path))} {before.name}",
            )
        plan = msgspec.structs.replace(plan, output_root=str(run.path.parent))
        return msgspec.structs.replace(file, plan=plan)
    if before == run.path or is_same(before, run.path):
        return file
    if plan.traits.inherits_environment and not os.path.isdir(plan.workdir):
        raise PrlSubmitError(
            f"{run.name} was moved here from {before}, and its working directory {plan.workdir} is gone",
            f"start it anew: prl-submit rerun {bash(str(run.path))} --set workdir=DIR",
        )
    root = str(run.path.parent)
    values = [
        msgspec.structs.replace(item, value=root) if item.key == "output" else item
        for item in file.values
    ]
    plan = with_run_dir(msgspec.structs.replace(plan, output_root=root), str(run.path))
    return msgspec.structs.replace(file, plan=plan, values=values)


@contextlib.contextmanager
def _as_it_was(run: Run, artefact: str | None) -> Iterator[None]:
    """Put the files of the last attempt back if the new attempt was refused, so that it has no record."""
    names = [
        layout.SPEC,
        layout.PLAN,
        layout.LAUNCH,
        layout.LIBRARY,
        layout.CANCEL,
        layout.VERDICT,
        layout.JOB,
        *([artefact] if artefact else []),
    ]
    before = {name: _read(run.path / name) for name in names}
    try:
        yield
    except BaseException:
        left = directory.read_run(run.path)
        if left is None or left.record == run.record:
            with contextlib.suppress(OSError):  # a full disk, of which the user is told already
                for name, data in before.items():
                    _put_back(run.path, name, data)
        raise


def _put_back(run: Path, name: str, data: bytes | None) -> None:
    """Give a file its content of before; None: there was no such file."""
    if data is None:
        remove_inside(run, name)
    else:
        write_inside(run, name, data, file_mode(name))


def _read(path: Path) -> bytes | None:
    """A file's content; None where there is no such file."""
    try:
        return read_record(path, PLAN_BYTES)
    except FileNotFoundError:
        return None


def _attempts_left(path: Path) -> list[int]:
    """The numbers of the earlier attempts that left a file in the run directory."""
    records = [
        read_exit(path, 0),
        *(record for _, record in read_node_exits(path, 0)),
    ]
    return [record.restarts for record in records if record is not None] or [0]
