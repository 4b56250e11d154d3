"""Runs side by side: what differs in their settings, how fast they are, and what reward they reach."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from msgspec import Struct

from prl_submit.results.health import Hint, hints
from prl_submit.results.run_metrics import RunMetrics, mean
from prl_submit.results.run_result import RunResult, trained_seconds
from prl_submit.results.setting_differences import differences
from prl_submit.results.timing import HOW_MEASURED, Throughput, throughput
from prl_submit.runs.attempts import attempt_seconds, gpu_hours
from prl_submit.runs.states import FAILED

#: The mean of so many last logged steps stands for the end of a training.
_LAST_ROWS = 10
#: The reward after so many samples is the mean over this share of them, and over 10 logged steps at least.
_SHARE = 0.1
#: A run that fails before this share of the longest run's steps has failed soon.
_SOON = 0.25


class ComparedRun(Struct, frozen=True, kw_only=True):
    """One run in a comparison. A value that is not known is None.

    `state`, `reason`: how the last attempt ended, as launch.sh wrote it; None while it runs, and if it was killed.
    `processes`: of the training, one for each GPU. `speed_up`, `efficiency`: against the first run; the
    efficiency is the speed-up divided by the ratio of the processes. `reward`: at `equal_samples` of the
    comparison. `last_reward`, `kl`, `completion_length`, `clipped_share`: the means of the last 10 logged
    steps. Seconds are of one step: the mean, and those that a tenth of the steps go below and above.
    """

    run: str
    path: str
    job: str | None
    state: str | None
    reason: str | None
    step: int | None
    max_steps: int | None
    attempts: int
    processes: int | None
    samples: int | None
    seconds_per_step: float | None
    fast_seconds_per_step: float | None
    slow_seconds_per_step: float | None
    samples_per_second: float | None
    tokens_per_second: float | None
    speed_up: float | None
    efficiency: float | None
    reward: float | None
    last_reward: float | None
    reward_std: float | None
    kl: float | None
    completion_length: float | None
    clipped_share: float | None
    peak_memory_gib: float | None
    gpu_hours: float | None
    hints: list[Hint]


class Comparison(Struct, frozen=True, kw_only=True):
    """Several runs. `settings`: those that differ, with each run's value.

    `equal_samples`: the completions after which the runs' rewards are compared: the most that all runs with a
    step have trained. If the samples of a run are not known it is None, and the rewards are compared at the
    step `equal_steps`. `how`: how the speed was measured, in words.
    """

    settings: dict[str, list[Any]]
    equal_samples: int | None
    equal_steps: int | None
    how: str
    runs: list[ComparedRun]


def compare(results: Sequence[RunResult]) -> Comparison:
    """Compare runs with the first of them."""
    speeds = [throughput(result.metrics, result.settings) for result in results]
    begun = _that_count(results)
    counted = set(map(id, begun))
    sizes = [result.settings.samples_per_step for result in begun]
    steps = [result.metrics.step or 0 for result in begun]
    known = [step * size for step, size in zip(steps, sizes, strict=True) if size]
    samples = min(known) if len(known) == len(begun) and known else None
    equal_steps = min(steps) if samples is None and steps else None
    rows = []
    for result, speed in zip(results, speeds, strict=True):
        speed_up, efficiency = _against(result, speed, results[0], speeds[0])
        reward = _reward_at(result, samples, equal_steps) if id(result) in counted else None
        rows.append(_row(result, speed, speed_up, efficiency, reward))
    settings = differences([result.settings for result in results])
    return Comparison(
        settings=settings,
        equal_samples=samples,
        equal_steps=equal_steps,
        how=HOW_MEASURED,
        runs=rows,
    )


def _that_count(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs whose samples decide at how many the rewards are compared.

    A run without a step, as in a sweep that goes on, does not keep the others from being compared, and
    neither does one that soon failed, as in a sweep in which some run out of memory.
    """
    enough = _SOON * max((result.metrics.step or 0 for result in results), default=0)
    return [
        result
        for result in results
        if result.metrics.step and not (_has_failed(result) and result.metrics.step < enough)
    ]


def _has_failed(result: RunResult) -> bool:
    """True if the last attempt of a run failed."""
    return bool(result.attempts) and result.attempts[-1].state == FAILED


def _row(
    result: RunResult,
    speed: Throughput | None,
    speed_up: float | None,
    efficiency: float | None,
    reward: float | None,
) -> ComparedRun:
    metrics, settings = result.metrics, result.settings
    size = settings.samples_per_step
    return ComparedRun(
        run=result.name,
        path=result.path,
        job=result.job,
        state=result.attempts[-1].state if result.attempts else None,
        reason=result.attempts[-1].reason if result.attempts else None,
        step=metrics.step,
        max_steps=metrics.max_steps,
        attempts=len(result.attempts) or len(metrics.attempts),
        processes=settings.processes,
        samples=metrics.step * size if metrics.step and size else None,
        seconds_per_step=speed.seconds_per_step if speed else None,
        fast_seconds_per_step=speed.fast if speed else None,
        slow_seconds_per_step=speed.slow if speed else None,
        samples_per_second=speed.samples_per_second if speed else None,
        tokens_per_second=speed.tokens_per_second if speed else None,
        speed_up=speed_up,
        efficiency=efficiency,
        reward=reward,
        last_reward=_last(metrics, "reward"),
        reward_std=_last(metrics, "reward_std"),
        kl=_last(metrics, "kl"),
        completion_length=_last(metrics, "completion_length"),
        clipped_share=_last(metrics, "clipped_share"),
        peak_memory_gib=metrics.peak_memory_gib,
        gpu_hours=_gpu_hours(result),
        hints=hints(metrics, settings, result.batch),
    )


def _against(
    result: RunResult, speed: Throughput | None, first: RunResult, first_speed: Throughput | None
) -> tuple[float | None, float | None]:
    """The speed-up and the scaling efficiency of a run against the first one."""
    ours = speed.samples_per_second if speed else None
    base = first_speed.samples_per_second if first_speed else None
    if not ours or not base:
        return None, None
    speed_up = ours / base
    if not result.settings.processes or not first.settings.processes:
        return speed_up, None
    return speed_up, speed_up * first.settings.processes / result.settings.processes


def _reward_at(result: RunResult, samples: int | None, steps: int | None) -> float | None:
    """The mean reward shortly before a number of samples, or before a step."""
    size = result.settings.samples_per_step
    if samples is not None and size:
        until = samples / size
    elif steps is not None:
        until = float(steps)
    else:
        return None
    points = [point for point in result.metrics.training.points("reward") if point[0] <= until]
    late = [value for step, value in points if step > until * (1 - _SHARE)]
    chosen = late if len(late) >= _LAST_ROWS else [value for _, value in points[-_LAST_ROWS:]]
    return mean(chosen)


def _last(metrics: RunMetrics, name: str) -> float | None:
    """The mean of a metric in the last logged steps."""
    found = [row.values.get(name) for row in list(metrics.recent)[-_LAST_ROWS:]]
    values = [value for value in found if value is not None and isfinite(value)]
    return mean(values)


def _gpu_hours(result: RunResult) -> float | None:
    """The hours of all GPUs together; None on CPUs, or if the number of GPUs is not known."""
    processes = result.settings.processes
    if result.settings.arguments.get("use_cpu") is True or _is_on_cpus(result):
        return None
    known = gpu_hours(result.attempts, processes)
    if known is not None and None not in map(attempt_seconds, result.attempts):
        return known
    return max(known or 0, trained_seconds(result) * processes / 3600) if processes else known


def _is_on_cpus(result: RunResult) -> bool:
    """True if launch.sh says that no attempt needed a GPU."""
    return bool(result.attempts) and all(attempt.gpus == 0 for attempt in result.attempts)


def ranked(comparison: Comparison, metric: str, *, lowest_first: bool = False) -> list[ComparedRun]:
    """The runs by a metric, the best first; then those that failed, and those without the metric last."""

    def key(run: ComparedRun) -> tuple[int, float]:
        value = getattr(run, metric, None)
        if not isinstance(value, (int, float)):
            return 2, 0.0
        # A run may be the fastest because it took more memory than there is.
        return int(run.state == FAILED), value if lowest_first else -value

    return sorted(comparison.runs, key=key)
