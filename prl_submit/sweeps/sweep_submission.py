"""From the plans of a sweep to prepared runs, which the backend is given together.

The order of writing is one that a crash forgives: all directories with their files; sweep.json; run.json of
each run, with `is_waiting` true; then the orders. Before sweep.json there is nothing that `list` shows and
no job. From then on a resume of the sweep submits what was not submitted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit import backends
from prl_submit.backends.base import SweepItem, SweepOrder
from prl_submit.backends.waiting_runs import state_in_queue
from prl_submit.errors import (
    BackendRefusedError,
    BackendUnreachableError,
    PrlSubmitError,
    RefusedError,
)
from prl_submit.launch.quote import bash
from prl_submit.planning.plan import Plan, Planned
from prl_submit.runs.directory import Run, allocate_many, read_run, run_with
from prl_submit.runs.layout import RECORD, SPEC
from prl_submit.runs.plan_file import dump_spec, git_state
from prl_submit.runs.record import Record, encode_record
from prl_submit.runs.times import local_now
from prl_submit.spec.nodes import Node, mapping
from prl_submit.submission import (
    World,
    explain,
    first_record,
    keep_made_of,
    new_token,
    placed,
    point_latest,
    refuse_place,
    remove_run,
    require_secrets,
)
from prl_submit.sweeps.run_files import RunFiles
from prl_submit.sweeps.sweep_file import (
    SweepFile,
    SweptEntry,
    make_folder,
    submitting,
    write_sweep,
)
from prl_submit.sweeps.sweep_plans import PlannedRun, SweepPlans
from prl_submit.system.files import write_atomic, write_inside
from prl_submit.system.shared_results import share_results


class SubmittedSweep(Struct, frozen=True):
    """A sweep whose runs were submitted, or some of them. `runs`: all of them, as run.json is now."""

    name: str
    folder: Path
    runs: list[Run]

    @property
    def submitted(self) -> int:
        """How many runs the backend was given, or the waiting queue; also those whose job is in doubt."""
        return sum(_is_submitted(run) for run in self.runs)

    @property
    def in_doubt(self) -> int:
        """How many runs were ordered of which nobody knows yet whether they have a job."""
        return sum(run.record is not None and run.record.is_in_doubt for run in self.runs)

    @property
    def in_words(self) -> str:
        """How far the submission came: `5 of 8 runs of lr were submitted`, and of how many that is not known."""
        doubt = self.in_doubt
        done = f"{self.submitted - doubt} of {len(self.runs)} runs of {self.name} were submitted"
        return f"{done}, and of {doubt} more it is not known yet" if doubt else done


def _is_submitted(run: Run) -> bool:
    """True if the run was given to its backend, or to a waiting queue that lives."""
    if run.record is None:
        return False
    return not run.record.is_waiting or state_in_queue(run) is not None


def submit_sweep(plans: SweepPlans, world: World) -> SubmittedSweep:
    """Make the directories of all good runs and submit them. Raises PrlSubmitError.

    If nothing was submitted, nothing is left behind. If some runs were, the error says how many, and a
    KeyboardInterrupt carries the SubmittedSweep.
    """
    planned = [run.planned for run in plans.good]
    for plan in _different(planned):
        refuse_place(plan, world.environ)
        require_secrets(plan, world.environ)
    root = Path(planned[0].plan.output_root)
    try:
        folder = make_folder(root, plans.name)
    except OSError as error:
        raise PrlSubmitError(explain(error, root), "see `output:` or --output-root") from None
    with submitting(folder), share_results():
        prepared: list[Path] = []
        try:
            order = _prepare(plans, folder, world, prepared)
        except BaseException as error:
            _remove_all(folder, prepared)
            if isinstance(error, OSError):
                raise PrlSubmitError(explain(error, root)) from None
            raise
        return _submit_new(order, planned, world)


def _different(planned: Sequence[Planned]) -> list[Plan]:
    """One plan of each environment that the runs of a sweep have."""
    found = {msgspec.json.encode(item.plan.environment): item.plan for item in planned}
    return list(found.values())


def _prepare(plans: SweepPlans, folder: Path, world: World, prepared: list[Path]) -> SweepOrder:
    """Write the files of all runs; the order for the backend. Each directory is added to `prepared`."""
    runs = plans.good
    first = runs[0].planned.plan
    prepared += allocate_many(Path(first.output_root), len(runs))
    git = git_state(first.workdir, world.shell, world.environ)
    entries = [_entry(run, path) for run, path in zip(runs, prepared, strict=True)]
    sweep = SweepFile(
        name=plans.name,
        id=new_token(),
        backend=first.backend,
        submitted_at=local_now(),
        keys=plans.keys,
        max_parallel=plans.sweep.max_parallel,
        workdir=first.workdir,
        runs=entries,
    )
    items: list[SweepItem] = []
    files = RunFiles(world, git)
    for run, path, entry in zip(runs, prepared, entries, strict=True):
        record = first_record(run.planned.plan, path)
        record = msgspec.structs.replace(record, sweep=sweep.place_of(entry, folder))
        items.append(SweepItem(path, files.write(run.planned, path, record), record))
    keep_made_of([(item.run, item.plan) for item in items], world)
    write_atomic(folder / SPEC, dump_spec(_spec_tree(plans)))
    write_sweep(folder, sweep)
    for item in items:
        write_waiting(item.run, item.record)
    return SweepOrder(folder, sweep.name, sweep.id, sweep.max_parallel, items)


def _entry(run: PlannedRun, path: Path) -> SweptEntry:
    at = run.combination
    return SweptEntry(index=at.index, run=path.name, name=at.name, values=at.values)


def write_waiting(run: Path, record: Record) -> None:
    """Write the record of a run that is prepared and not yet given to its backend."""
    record = msgspec.structs.replace(record, is_waiting=True)
    write_inside(run, RECORD, encode_record(record), durable=False)


def _spec_tree(plans: SweepPlans) -> Node:
    """The sweep's spec with all its bases and overrides, from which the same sweep can be made from anywhere."""
    first = plans.runs[0]
    tree, plan = _without_swept(first.planned.tree, first.combination.layer), first.planned.plan
    spec = mapping(plans.asked.sections.tree)
    folders = {"workdir": plan.workdir, "output": plan.output_root}
    own = {key: Node(text, tree.origin) for key, text in folders.items()}
    return Node({"name": spec["name"], **mapping(tree), **own, "sweep": spec["sweep"]}, tree.origin)


def _without_swept(tree: Node, layer: Node) -> Node:
    """The tree without the values of one combination, and without those that prl-submit itself sets."""
    if not isinstance(tree.value, dict):
        return tree
    swept = mapping(layer)
    kept = {}
    for key, node in tree.value.items():
        if node.origin.layer == "default" and not isinstance(node.value, dict):
            continue
        if key not in swept:
            kept[key] = _without_swept(node, Node({}, layer.origin))
        elif isinstance(swept[key].value, dict):
            kept[key] = _without_swept(node, swept[key])
    return Node(kept, tree.origin)


def _submit_new(order: SweepOrder, planned: Sequence[Planned], world: World) -> SubmittedSweep:
    """Give a new sweep's runs to the backend; the sweep. What was not submitted at all is removed again."""
    try:
        records = give(order, world)
    except BaseException as error:
        sweep = as_it_is(order)
        is_certain = isinstance(
            error, (BackendRefusedError, BackendUnreachableError, KeyboardInterrupt)
        )
        if sweep.submitted == 0 and is_certain:
            _remove_all(order.folder, [item.run for item in order.items])
            raise _placed_error(error, planned[0]) from None
        point_latest(order.items[-1].run)
        raise half_way(error, sweep) from None
    point_latest(order.items[-1].run)
    if any(record.is_waiting for record in records):
        return as_it_is(order)  # a queue may have started some since
    runs = [run_with(item.run, record) for item, record in zip(order.items, records, strict=True)]
    return SubmittedSweep(order.name, order.folder, runs)


def give(order: SweepOrder, world: World) -> list[Record]:
    """Give prepared runs to their backend, or to the waiting queue; the records in run.json.

    Raises as `Backend.submit_many` does.
    """
    if any(item.plan.needs_queue for item in order.items):
        from prl_submit.backends.waiting.start_queue import queue_sweep

        return queue_sweep(order)
    backend = backends.load(order.items[0].plan.backend)
    return backend.submit_many(order, world.tell)


def as_it_is(order: SweepOrder) -> SubmittedSweep:
    """The runs of an order as their run.json is now."""
    runs = [read_run(item.run) for item in order.items]
    return SubmittedSweep(order.name, order.folder, [run for run in runs if run is not None])


def _placed_error(error: BaseException, planned: Planned) -> BaseException:
    """The error with the line of the spec that it is about, where that is known."""
    return placed(error, planned) if isinstance(error, RefusedError) else error


def half_way(error: BaseException, sweep: SubmittedSweep) -> BaseException:
    """What is raised where some runs of a sweep may have been submitted: the error, with how many."""
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt(sweep)
    if not isinstance(error, PrlSubmitError):
        return error
    done = sweep.in_words
    hint = f"`prl-submit resume {bash(sweep.name)}` submits the rest"
    told = PrlSubmitError(
        f"{error.message}; {done}", f"{error.hint}; then {hint}" if error.hint else hint
    )
    told.exit_code = error.exit_code
    return told


def _remove_all(folder: Path, runs: Sequence[Path]) -> None:
    """Remove the directories of a sweep of which nothing was submitted: run.json first, so no run is listed half."""
    for run in runs:
        with contextlib.suppress(OSError):
            os.unlink(run / RECORD)
    for run in runs:
        remove_run(run)
    shutil.rmtree(folder, ignore_errors=True)
