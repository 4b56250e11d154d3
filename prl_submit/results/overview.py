"""The few numbers of a running or ended training that `status` and `list` show."""

from __future__ import annotations

from msgspec import Struct

from prl_submit.results.health import silence
from prl_submit.results.run_metrics import RunMetrics, mean
from prl_submit.results.run_settings import RunSettings
from prl_submit.results.sparkline import trend
from prl_submit.results.timing import recent_pace, remaining

#: The reward is the mean of so many last logged steps.
_LAST_ROWS = 10
#: The curve of a line in a terminal has so many last logged steps at most.
_CURVE = 40


class Overview(Struct, frozen=True, kw_only=True):
    """A training at a glance. A value that is not known is None.

    `reward`: the mean of the last 10 logged steps; `rewards`: one by one, for a curve; `trend`: `rising`,
    `falling`, `flat`, or empty while it is too early. `seconds_left`, `ends_at` (seconds since 1970) only for
    a running training; `is_rough`: they are from a single step. `silence`: words, if a running training has
    logged no step for much longer than its steps take.
    """

    step: int | None
    max_steps: int | None
    reward: float | None
    rewards: list[float]
    trend: str
    kl: float | None
    completion_length: float | None
    seconds_per_step: float | None
    is_rough: bool
    seconds_left: float | None
    ends_at: float | None
    logged_at: float | None
    silence: str | None
    peak_memory_gib: float | None
    processes: int | None


def overview(
    metrics: RunMetrics,
    settings: RunSettings,
    logged_at: float | None,
    now: float,
    *,
    is_running: bool,
) -> Overview:
    """The overview of a training. `logged_at`: when its last step was logged; both are seconds since 1970."""
    pace = recent_pace(metrics)
    rewards = metrics.latest("reward")
    runs_on = is_running and logged_at is not None
    left = remaining(metrics, settings, logged_at, now) if runs_on and logged_at else None
    age = now - logged_at if runs_on and logged_at else 0.0
    kl, length = (metrics.latest(name, _LAST_ROWS) for name in ("kl", "completion_length"))
    return Overview(
        step=metrics.step,
        max_steps=metrics.max_steps,
        reward=_mean(rewards),
        rewards=rewards[-_CURVE:],
        trend=trend(rewards),
        kl=_mean(kl),
        completion_length=_mean(length),
        seconds_per_step=pace.seconds if pace else None,
        is_rough=pace.is_rough if pace else False,
        seconds_left=left.seconds if left else None,
        ends_at=left.ends_at if left else None,
        logged_at=logged_at,
        silence=silence(metrics, age),
        peak_memory_gib=metrics.peak_memory_gib,
        processes=settings.processes,
    )


def _mean(values: list[float]) -> float | None:
    return mean(values[-_LAST_ROWS:])
