"""A line of logging.jsonl as data: of which kind it is, its step, its times and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, isnan, nan
from operator import itemgetter
from typing import Any

from msgspec import Struct

from prl_submit.results.logged_values import number, seconds, step_of
from prl_submit.results.metric_names import EVALUATION, name_of

TRAINING = "training"
EVALUATED = "evaluation"
SUMMARY = "summary"
#: Only the last line of a training without evaluation has it: transformers' `speed_metrics`.
_OF_SUMMARY = "train_runtime"
_STEP = "global_step/max_steps"
#: A file of ms-swift has about five kinds of lines, and about thirty metrics in each.
_MOST_LAYOUTS = 64
_MOST_METRICS = 200


class Values(Struct, frozen=True, gc=False):
    """Metrics by name. Lines of one layout share `names`, because dicts would take three times as long."""

    names: tuple[str, ...]
    numbers: tuple[float, ...]

    def get(self, name: str) -> float | None:
        """The value of a metric; None if it is missing or NaN."""
        if name not in self.names:
            return None
        value = self.numbers[self.names.index(name)]
        return None if isnan(value) else value

    def with_more(self, more: dict[str, float]) -> Values:
        """The same with more metrics, which replace those of the same names."""
        both = dict(zip(self.names, self.numbers, strict=True)) | more
        return Values(tuple(both), tuple(both.values()))


class LogLine(Struct, gc=False):
    """One line. `kind`: TRAINING, EVALUATED or SUMMARY. `max_steps`: None if it is not known.

    `is_finite`: False if a value is NaN or infinite, which ms-swift writes too. `elapsed`: whole seconds
    since the attempt began. `seconds_per_step`: of all steps of the attempt so far, evaluations and saving
    included (ms-swift since 3.12.5). `steps_per_second`: the step divided by the attempt's seconds (before
    3.12.5; too large in a resumed attempt).
    """

    kind: str
    step: int
    max_steps: int | None
    values: Values
    is_finite: bool
    elapsed: float | None
    seconds_per_step: float | None
    steps_per_second: float | None


class Layout(Struct, frozen=True):
    """What lines with the same keys have in common: their kind, the metrics in them, and how to take those out."""

    kind: str
    names: tuple[str, ...]
    take: Callable[[dict[str, Any]], tuple[Any, ...]]


class LineParser:
    """Makes a LogLine of the object in a line. It remembers the layouts of the lines, which repeat."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, ...], Layout] = {}

    def parse(self, raw: dict[str, Any]) -> LogLine | None:
        """The line; None if it has no step, as ms-swift's last line, which repeats the whole history."""
        found = step_of(raw.get(_STEP))
        if found is None:
            return None
        keys = tuple(raw)
        layout = self._layouts.get(keys) or self._remember(keys)
        numbers = layout.take(raw)
        try:
            is_finite = isfinite(sum(numbers))
        except (TypeError, OverflowError):  # texts, or numbers of hundreds of digits
            numbers = tuple(nan if (n := number(value)) is None else n for value in numbers)
            is_finite = isfinite(sum(numbers))
        return LogLine(
            layout.kind,
            found[0],
            found[1] if found[1] > 0 else None,
            Values(layout.names, numbers),
            is_finite,
            seconds(raw.get("elapsed_time")),
            _positive(raw.get("train_speed(s/it)")),
            _positive(raw.get("train_speed(iter/s)")),
        )

    def _remember(self, keys: tuple[str, ...]) -> Layout:
        """The layout of a line with these keys."""
        kind = _kind(keys)
        prefix = EVALUATION if kind == EVALUATED else ""
        named = [(key, name_of(key.removeprefix(prefix))) for key in keys if key.startswith(prefix)]
        metrics = {name: key for key, name in named[::-1] if name is not None}
        chosen = list(metrics.items())[::-1][:_MOST_METRICS]
        wanted = [key for _, key in chosen]
        take = itemgetter(*wanted) if len(wanted) > 1 else lambda raw: tuple(raw[k] for k in wanted)
        layout = Layout(kind, tuple(name for name, _ in chosen), take)
        if len(self._layouts) >= _MOST_LAYOUTS:
            self._layouts.clear()
        self._layouts[keys] = layout
        return layout


def _kind(keys: Sequence[str]) -> str:
    """What a line is about. Before 3.8 the training's line may also have keys of an evaluation."""
    if _OF_SUMMARY in keys:
        return SUMMARY
    if "loss" in keys or not any(key.startswith(EVALUATION) for key in keys):
        return TRAINING
    return EVALUATED


def _positive(value: object) -> float | None:
    """A speed; None for 0, which ms-swift writes before the attempt's first step."""
    if value is None:
        return None
    found = number(value)
    return found if found is not None and 0 < found < 1e12 else None
