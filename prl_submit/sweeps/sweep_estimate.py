"""How many steps the combinations of a sweep will train, and how long that takes, before anything is started.

Only the user can say how long a step takes: an earlier run of the same name may have had other values.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from prl_submit.results.estimate import Estimate, estimate, estimate_problems
from prl_submit.results.time_words import in_words, short, until
from prl_submit.sweeps.sweep_plans import PlannedRun, SweepPlans
from prl_submit.system.shared_results import share_results


class SweepEstimate(Struct, frozen=True):
    """The steps of a sweep's runs. `longest`: the name of the run with the most steps, which takes `longest_s` seconds.

    `is_rough`: there may be more steps or fewer. `all_s`: how long all runs take, `at_once` of them at a time.
    The seconds are None if nobody said how long a step takes, or how many runs there are at a time.
    """

    runs: int
    fewest: int
    most: int
    longest: str
    is_rough: bool
    seconds_per_step: float | None = None
    longest_s: float | None = None
    at_once: int | None = None
    all_s: float | None = None


def with_estimates(
    plans: SweepPlans, seconds: float | None
) -> tuple[SweepPlans, SweepEstimate | None]:
    """The plans with the warnings about steps, and the estimate; None if some run's steps cannot be known."""
    found: list[tuple[str, Estimate | None]] = []
    runs = []
    with share_results():
        for run in plans.runs:
            steps = None if run.errors else estimate(run.planned, seconds, ask_runs=False)
            runs.append(run if steps is None else _with_warnings(run, steps))
            if not run.errors:
                found.append((run.combination.name, steps))
    told = msgspec.structs.replace(plans, runs=runs)
    known = [(name, steps) for name, steps in found if steps is not None]
    if not known or len(known) < len(found):
        return told, None
    return told, sum_up(known, seconds, plans.sweep.max_parallel)


def _with_warnings(run: PlannedRun, steps: Estimate) -> PlannedRun:
    problems = [*run.planned.problems, *estimate_problems(run.planned, steps)]
    return PlannedRun(run.combination, msgspec.structs.replace(run.planned, problems=problems))


def sum_up(
    runs: Sequence[tuple[str, Estimate]], seconds: float | None, at_once: int | None
) -> SweepEstimate:
    """The estimate of all runs, each with its name, in the order in which they start."""
    counts = [steps.steps for _, steps in runs]
    most = max(counts)
    found = SweepEstimate(
        runs=len(runs),
        fewest=min(counts),
        most=most,
        longest=runs[counts.index(most)][0],
        is_rough=any(steps.is_rough for _, steps in runs),
        seconds_per_step=seconds,
        longest_s=most * seconds if seconds else None,
    )
    if not seconds or at_once is None:
        return found
    all_s = _last_end([count * seconds for count in counts], at_once)
    return msgspec.structs.replace(found, at_once=at_once, all_s=all_s)


def _last_end(durations: Sequence[float], at_once: int) -> float:
    """When the last of these ends, if so many go on at a time, and each starts as soon as another has ended."""
    ends = [0.0] * min(at_once, len(durations))
    for duration in durations:
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def sweep_estimate_words(found: SweepEstimate, now: float) -> str:
    """`400 to 1,200 steps, the most in lr-3; at 36 s each that is at most 12 hours (until 17:42)`; see the tests.

    `now`: seconds since 1970.
    """
    about = "about " if found.is_rough else ""
    text = f"{about}{found.most:,} step{'s' if found.most != 1 else ''} in each combination"
    if found.fewest != found.most:
        text = f"{about}{found.fewest:,} to {found.most:,} steps, the most in {found.longest}"
    if found.seconds_per_step is None or found.longest_s is None:
        return text
    each = short(found.seconds_per_step)
    limit = "at most " if found.fewest != found.most else ""
    text = f"{text}; at {each} s each a run takes {limit}{in_words(found.longest_s)}"
    if found.all_s is None:
        return text
    end = f"(until {until(now + found.all_s, now)})"
    return f"{text}, and all {found.runs}, {found.at_once} at a time, {in_words(found.all_s)} {end}"
