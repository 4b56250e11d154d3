"""Which waiting runs start now, on which GPUs, and why the others wait. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from prl_submit.backends.waiting.names import listed


class WaitingRun(Struct, frozen=True, kw_only=True):
    """A run that waits. `name`: of its directory.

    `gpus`: how many GPUs of this machine it needs, out of `pool`; 0: it trains on the CPU; None: its backend
    finds room for it. `waits_for`: the runs that have not succeeded yet, in words.
    """

    name: str
    gpus: int | None = None
    pool: Sequence[str] = ()
    waits_for: Sequence[str] = ()


class NextRuns(Struct, frozen=True):
    """`starts`: the runs that start now, each with its GPUs. `reasons`: why each other run waits, in words."""

    starts: Mapping[str, Sequence[str]]
    reasons: Mapping[str, str]


def choose(
    waiting: Sequence[WaitingRun],
    running: Sequence[int | None],
    busy: Collection[str],
    max_parallel: int | None,
) -> NextRuns:
    """Choose in the order of `waiting`. A later run that needs fewer GPUs starts before one that finds no room.

    `running`: how many GPUs each run has that was started and has not ended. `busy`: the GPUs in use.
    """
    starts: dict[str, Sequence[str]] = {}
    reasons: dict[str, str] = {}
    in_use, started = set(busy), list(running)
    for run in waiting:
        free = [gpu for gpu in run.pool if gpu not in in_use]
        reason = _why_not(run, started, len(free), max_parallel)
        if reason is not None:
            reasons[run.name] = reason
            continue
        starts[run.name] = free[: run.gpus or 0]
        in_use.update(starts[run.name])
        started.append(run.gpus)
    return NextRuns(starts, reasons)


def _why_not(
    run: WaitingRun, started: Sequence[int | None], free: int, max_parallel: int | None
) -> str | None:
    """Why a run does not start now; None if it does."""
    if run.waits_for:
        return f"waiting for {listed(run.waits_for)}"
    if max_parallel is not None and len(started) >= max_parallel:
        return f"waiting for its turn (max_parallel {max_parallel})"
    if run.gpus == 0 and max_parallel is None and 0 in started:
        return "waiting for its turn (one at a time on the CPU, without max_parallel)"
    if run.gpus and free < run.gpus:
        return "waiting for a free GPU" if run.gpus == 1 else f"waiting for {run.gpus} free GPUs"
    return None
