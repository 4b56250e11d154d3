"""How fast a training is, how long it still takes, and when it ends."""

from __future__ import annotations

from math import isfinite
from statistics import fmean, median, quantiles
from typing import NamedTuple

from msgspec import Struct

from prl_submit.results.logged_values import number
from prl_submit.results.run_metrics import SECONDS, RunMetrics, mean
from prl_submit.results.run_settings import RunSettings

#: The pace of so many last logged steps tells how long the rest takes.
_RECENT_ROWS = 50
HOW_MEASURED = "wall time between logged steps; the first logged step of each attempt, evaluations, and the time between attempts are not counted; the time to save checkpoints is counted"


class Throughput(Struct, frozen=True, kw_only=True):
    """The speed of a training. Times are seconds of one step.

    `steps`: so many steps were timed. `fast`, `slow`: a tenth of the steps were faster, and slower. `samples`:
    completions trained. `tokens`: tokens of completions, without those of the prompts, which ms-swift does
    not log. `how`: how it was measured.
    """

    steps: int
    seconds_per_step: float
    median: float
    fast: float
    slow: float
    samples_per_second: float | None
    tokens_per_second: float | None
    how: str = HOW_MEASURED


class RemainingTime(Struct, frozen=True):
    """The rest of a training. `ends_at`: seconds since 1970. `is_rough`: only an attempt's first step is timed."""

    steps: int
    seconds: float
    ends_at: float
    seconds_per_step: float
    is_rough: bool


def throughput(metrics: RunMetrics, settings: RunSettings) -> Throughput | None:
    """The speed of all attempts together; None if fewer than two steps were logged in each attempt."""
    pace = metrics.pace
    if not pace.steps or pace.seconds <= 0:
        return None
    samples = settings.samples_per_step
    tokens = None
    if samples and pace.seconds_with_length > 0:
        tokens = pace.tokens * samples / pace.seconds_with_length
    times = [value for value in metrics.training.column(SECONDS) if isfinite(value)]
    fast, slow = _tenths(times)
    return Throughput(
        steps=pace.steps,
        seconds_per_step=pace.seconds / pace.steps,
        median=median(times) if times else pace.seconds / pace.steps,
        fast=fast,
        slow=slow,
        samples_per_second=samples * pace.steps / pace.seconds if samples else None,
        tokens_per_second=tokens,
    )


def _tenths(times: list[float]) -> tuple[float, float]:
    """The values below which a tenth, and nine tenths, of the times are."""
    if len(times) < 2:
        return (times[0], times[0]) if times else (0.0, 0.0)
    cuts = quantiles(times, n=10, method="inclusive")
    return cuts[0], cuts[-1]


class RecentPace(NamedTuple):
    """Seconds per step of the last steps. `is_rough`: only an attempt's first step is timed, which takes longer."""

    seconds: float
    is_rough: bool


def recent_pace(metrics: RunMetrics) -> RecentPace | None:
    """The pace of the last steps, without evaluations; None before the first step that was timed."""
    timed = [row.seconds for row in metrics.recent if row.seconds is not None][-_RECENT_ROWS:]
    if timed:
        return RecentPace(fmean(timed), is_rough=False)
    if metrics.pace.steps:
        return RecentPace(metrics.pace.seconds / metrics.pace.steps, is_rough=False)
    if metrics.pace.warm_up > 0:
        seconds = metrics.pace.warm_up / max(metrics.pace.warm_up_steps, 1)
        return RecentPace(seconds, is_rough=True)
    return None


def remaining(
    metrics: RunMetrics, settings: RunSettings, logged_at: float, now: float
) -> RemainingTime | None:
    """The rest of a running training; None before its first step, or if its number of steps is unknown.

    `logged_at`: when the last step was logged; both times are seconds since 1970. While the next step is
    overdue, the end moves on with `now`.
    """
    pace = recent_pace(metrics)
    last = metrics.last
    if pace is None or last is None or metrics.max_steps is None:
        return None
    steps = max(0, metrics.max_steps - last.step)
    needed = steps * pace.seconds + _evaluations_left(metrics, settings)
    since = min(max(now - logged_at, 0.0), last.steps * pace.seconds)
    seconds = max(0.0, needed - since)
    return RemainingTime(steps, seconds, now + seconds, pace.seconds, pace.is_rough)


def _evaluations_left(metrics: RunMetrics, settings: RunSettings) -> float:
    """The seconds that the evaluations still to come take, if they take as long as those before."""
    done = metrics.evaluations.points("runtime")
    last = metrics.last
    if not done or last is None or metrics.max_steps is None:
        return 0.0
    every = number(settings.arguments.get("eval_steps")) or done[0][0]
    if 0 < every < 1:  # a share of all steps
        every *= metrics.max_steps
    if every < 1:
        return 0.0
    count = metrics.max_steps // every - last.step // every
    if metrics.max_steps % every:
        count += 1  # ms-swift evaluates after the last step too
    count += done[-1][0] < last.step and last.step % every == 0  # it goes on now
    return max(count, 0) * (mean([value for _, value in done]) or 0.0)
