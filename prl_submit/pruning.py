"""What `prune` does with one run: it decides what is deleted, and deletes it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from prl_submit import backends
from prl_submit.backends.asking import refreshed, states_of
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.runs import checkpoint_files
from prl_submit.runs.belonging import BROUGHT, belonging, stranger
from prl_submit.runs.checkpoint_files import FaultError
from prl_submit.runs.deleting import (
    delete_folder,
    delete_leftovers,
    leftovers,
    without_jobs,
)
from prl_submit.runs.directory import Run, names_in
from prl_submit.runs.disk_use import CHECKPOINT, Gone, freed_by
from prl_submit.runs.exclusive import exclusive
from prl_submit.runs.layout import RUN_NAME
from prl_submit.runs.plan_file import read_plan
from prl_submit.runs.prune_choice import Keep, Saved, choose
from prl_submit.runs.signs_of_life import last_size
from prl_submit.runs.states import CANCELLED, FINISHED, LOST, SUCCEEDED, State
from prl_submit.system.owners import user_name

#: The name of a run directory, and of nothing else that could be deleted by mistake.
_RUN_NAME = re.compile(RUN_NAME)


class Deleted(Struct, frozen=True):
    """A folder that was deleted, or would be. `bytes`: what that frees on the disk."""

    name: str
    bytes: int


class Pruned(Struct, frozen=True):
    """What happened to a run. `kept`: why each other checkpoint stays. `left`: why nothing was done, in words.

    `elsewhere`: where the job has more files, which stay there.
    """

    run: str
    path: str
    deleted: list[Deleted] = []
    kept: dict[str, str] = {}
    left: str | None = None
    elsewhere: str | None = None
    unreachable: bool = False


class PruneOrders(Struct, frozen=True):
    """What the user wants. `whole`: delete whole runs. `keep`: else, which checkpoints stay.

    `lost`: the user named the state LOST, so a run counts as ended whose job its backend does not know.
    `gone`: of a dry run: the names of files that it would have deleted so far, in all runs.
    """

    keep: Keep
    whole: bool = False
    lost: bool = False
    dry_run: bool = False
    gone: Gone | None = None


class NotPrunedError(Exception):
    """Why nothing of a run is deleted, in words."""


def prune_run(
    run: Run, state: State, orders: PruneOrders, users: Mapping[str, list[str]], *, named: bool
) -> Pruned:
    """Delete of one run what the orders say. `users`: which runs need the whole run (""), or a checkpoint.

    The state is asked for once more under the lock of `resume`, so that no attempt starts meanwhile.
    """
    unreachable = bool(state.unreachable)
    try:
        _require_ended(run, state, orders.lost)
        if orders.dry_run:
            return _prune(run, state, orders, users, named)
        with ExitStack() as locks:
            locks.enter_context(exclusive(run))
            run = refreshed(run)
            state = states_of([run])[0]
            _require_ended(run, state, orders.lost)
            locks.enter_context(without_jobs(run.path))
            return _prune(run, state, orders, users, named)
    except NotPrunedError as why:
        left = str(why)
    except BackendUnreachableError as error:
        left, unreachable = error.message, True
    except PrlSubmitError as error:
        left = error.message.removeprefix(f"{run.name} ")
    except OSError as error:
        left = f"{error.filename or run.path}: {error.strerror or error}"
    return Pruned(run.name, str(run.path), left=left, unreachable=unreachable)


def _require_ended(run: Run, state: State, lost: bool) -> None:
    """Raise NotPrunedError unless the run is ours, in its place, and its job has ended for good."""
    if run.record is None:
        raise NotPrunedError(str(run.fault))
    if not _RUN_NAME.fullmatch(run.name) or run.path.is_symlink():
        raise NotPrunedError("is no run directory of an output root")
    owner = stranger(run.path)
    if owner is not None:
        raise NotPrunedError(f"is {user_name(owner)}'s")
    where = belonging(run)
    if where.kind == BROUGHT:
        raise NotPrunedError(f"is {where.words}, so nobody can say whether its job has ended")
    if fault := _why_alive(state, lost):
        raise NotPrunedError(fault)
    if where.has_job:
        _require_nothing_left(run, state)


def _why_alive(state: State, lost: bool) -> str | None:
    """Why a job with this state counts as living; None if it has ended."""
    if state.unreachable:
        return f"is {state.state} as last known: {state.unreachable}"
    if state.state not in FINISHED or state.is_ending:
        return f"is {state.state}"
    if state.state == LOST and not lost:
        return "is LOST, so its job may still run somewhere; --state LOST prunes it all the same"
    return None


def _require_nothing_left(run: Run, state: State) -> None:
    """Raise NotPrunedError if something of the job still runs, or may start again; and PrlSubmitError."""
    backend = backends.load(run.require_record().backend)
    if backend.is_left(run):
        raise NotPrunedError(f"is {state.state}, but some of it still runs: `prl-submit cancel`")
    if state.state not in (SUCCEEDED, CANCELLED) and backend.may_start_again(run):
        raise NotPrunedError(
            f"is {state.state}, and may be started again: `prl-submit cancel` forbids it"
        )


def _prune(
    run: Run, state: State, orders: PruneOrders, users: Mapping[str, list[str]], named: bool
) -> Pruned:
    """Delete, or say what would be deleted. Raises NotPrunedError, PrlSubmitError and OSError."""
    if orders.whole:
        return _prune_whole(run, orders, users)
    may_drop_last = named and state.state == SUCCEEDED
    saved = _saved(run, orders.keep)
    needed = {name: f"{names[0]} begins from it" for name, names in users.items() if name}
    if "" in users:
        needed = {each.name: f"{users[''][0]} needs this run" for each in saved} | needed
    reasons = choose(saved, orders.keep, may_drop_last=may_drop_last, needed=needed)
    deleted = []
    for name in [name for name, why in reasons.items() if why is None] + leftovers(run.path):
        deleted.append(Deleted(name, freed_by(run.path / name, orders.gone)))
        if not orders.dry_run and CHECKPOINT.fullmatch(name):
            delete_folder(run.path, name)
    if not orders.dry_run:
        delete_leftovers(run.path)
    kept = {name: why for name, why in reasons.items() if why is not None}
    return Pruned(run.name, str(run.path), deleted, kept)


def _prune_whole(run: Run, orders: PruneOrders, users: Mapping[str, list[str]]) -> Pruned:
    """Delete the run directory."""
    if users:
        user = next(iter(users.values()))[0]
        raise NotPrunedError(f"is needed by {user}, which begins from it or waits for it")
    size = freed_by(run.path, orders.gone)
    elsewhere = backends.load(run.require_record().backend).where_files_are(run)
    if not orders.dry_run:
        delete_folder(run.path.parent, run.name)
    return Pruned(run.name, str(run.path), [Deleted(run.name, size)], elsewhere=elsewhere)


def _saved(run: Run, keep: Keep) -> list[Saved]:
    """The checkpoints of a run. A symbolic link is none. Raises PrlSubmitError if plan.json cannot be read."""
    plan = read_plan(run.path).plan
    size = last_size(run.path) if plan.unstated else None
    ranks = plan.world_size if size is None else size[0] * size[1]
    scores = _scores(run.path, keep.metric) if keep.best is not None else []
    found = []
    for name in names_in(run.path):
        match = CHECKPOINT.fullmatch(name)
        path = run.path / name
        if match and path.is_dir() and not path.is_symlink():
            step = int(match[1])
            found.append(Saved(name, step, _is_complete(path, ranks), _score_at(scores, step)))
    return found


def _is_complete(checkpoint: Path, ranks: int) -> bool:
    try:
        checkpoint_files.look_at(os.fspath(checkpoint), ranks)
    except (FaultError, OSError):
        return False
    return True


def _scores(run: Path, metric: str) -> list[tuple[int, float]]:
    """The logged steps that have the metric, each with its value. Raises NotPrunedError if there are none."""
    from prl_submit.results.metric_names import EVALUATION
    from prl_submit.results.metrics_reader import read_metrics

    metrics = read_metrics(run)
    is_evaluated = metric.startswith(EVALUATION)
    rows = metrics.evaluations if is_evaluated else metrics.training
    points = rows.points(metric.removeprefix(EVALUATION) if is_evaluated else metric)
    if not points:
        known = [*metrics.training.names(), *(EVALUATION + n for n in metrics.evaluations.names())]
        raise NotPrunedError(f"has no metric {metric!r}; it has {', '.join(known) or 'none'}")
    return points


def _score_at(points: list[tuple[int, float]], step: int) -> float | None:
    """The metric at a step, or at the last logged step before it."""
    before = [value for at, value in points if at <= step]
    return before[-1] if before else None
