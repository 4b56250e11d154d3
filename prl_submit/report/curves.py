"""The metrics of a run as columns for the page, and which charts there are."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from math import isfinite, nan
from statistics import median

from msgspec import Struct

from prl_submit.results.metric_names import METRICS, REWARD_OF
from prl_submit.results.run_metrics import SECONDS, RunMetrics
from prl_submit.results.step_table import StepTable

#: So many reward functions have a chart.
_MOST_FUNCTIONS = 32
#: The charts in their order, with their titles. `reward/` stands for all reward functions.
_TITLES = {
    "reward": "Reward",
    REWARD_OF: "Reward of",
    "reward_std": "Reward spread in a group",
    "frac_reward_zero_std": "Groups in which all rewards are equal",
    "loss": "Loss",
    "kl": "KL",
    "completion_length": "Completion length",
    "clipped_share": "Completions cut",
    "entropy": "Entropy",
    "clip_ratio": "Tokens clipped",
    "grad_norm": "Gradient norm",
    SECONDS: "Time of a step",
    "memory_gib": "GPU memory",
    "learning_rate": "Learning rate",
}
_UNITS = {metric.name: metric.unit for metric in METRICS} | {SECONDS: "s"}
_MEANINGS = {metric.name: metric.meaning for metric in METRICS} | {
    SECONDS: "the time between logged steps, without evaluations"
}


class Chart(Struct, frozen=True):
    """A chart of one metric."""

    name: str
    title: str
    unit: str
    meaning: str


class Columns(Struct, frozen=True):
    """Metrics by step, each column as numbers in base64: `steps` and `hours` of 8 bytes, metrics of 4 bytes.

    `hours`: of training until then, without the first step of each attempt, evaluations and pauses.
    """

    steps: str
    hours: str
    metrics: dict[str, str]


def charts(runs: Sequence[RunMetrics]) -> list[Chart]:
    """The charts of all metrics that at least one run has."""
    met = dict.fromkeys(name for run in runs for name in run.training.names())
    names: list[str] = []
    for name in _TITLES:
        if name == REWARD_OF:
            names += [one for one in met if one.startswith(REWARD_OF)][:_MOST_FUNCTIONS]
        elif name in met:
            names.append(name)
    return [_chart(name) for name in names if any(_has(run.training, name) for run in runs)]


def _has(table: StepTable, name: str) -> bool:
    """True if a metric has a value at some step. On a CPU the memory is 0 everywhere, which is none."""
    values = [value for value in table.column(name) if isfinite(value)]
    return any(values) if name == "memory_gib" else bool(values)


def _chart(name: str) -> Chart:
    if name.startswith(REWARD_OF):
        function = name[len(REWARD_OF) :]
        meaning = f"the mean of the reward function {function}, before its weight"
        return Chart(name, f"{_TITLES[REWARD_OF]} {function}", "", meaning)
    return Chart(name, _TITLES[name], _UNITS[name], _MEANINGS[name])


def columns_of(table: StepTable, names: Sequence[str]) -> Columns:
    """Some metrics of a table; those that it does not have are left out."""
    steps = table.steps()
    there = set(table.names())
    seconds = table.column(SECONDS) if SECONDS in there else [nan] * len(steps)
    return Columns(
        steps=encoded("d", steps),
        hours=encoded("d", hours(steps, seconds)),
        metrics={name: encoded("f", table.column(name)) for name in names if name in there},
    )


def hours(steps: Sequence[int], seconds: Sequence[float]) -> list[float]:
    """The hours of training until each step. A step that was not timed counts as the median of the others."""
    timed = [value for value in seconds if isfinite(value)]
    usual = median(timed) if timed else nan
    total, before, found = 0.0, 0, []
    for step, value in zip(steps, seconds, strict=True):
        total += (value if isfinite(value) else usual) * (step - before)
        before = step
        found.append(total / 3600)
    return found


def encoded(kind: str, values: Sequence[float]) -> str:
    """Numbers as little-endian bytes in base64. Those too large for 4 bytes become infinite."""
    numbers = array(kind, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode("ascii")
