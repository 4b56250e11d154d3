"""A line of logging.jsonl as data: of which kind it is, its step, its times and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, isnan, nan
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import Struct, defstruct
from msgspec.structs import astuple

from prl_submit.results.logged_values import decode_line, number, seconds, step_of
from prl_submit.results.metric_names import EVALUATION, name_of

TRAINING = "training"
EVALUATED = "evaluation"
SUMMARY = "summary"
#: Only the last line of a training without evaluation has it: transformers' `speed_metrics`.
_OF_SUMMARY = "train_runtime"
_STEP = "global_step/max_steps"
#: The keys of a line that are no metrics and are read all the same.
_TIMES = (_STEP, "elapsed_time", "train_speed(s/it)", "train_speed(iter/s)")
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


class Layout(Struct):
    """What lines with the same keys have in common.

    `places`: the places of the metrics among the values of all keys; `take`: gets these out of the values.
    `step` and the others: the places of the step and of the times, or -1 if there is no such key, because
    None stands behind the values. `decoder`: reads such a line twice as fast as others, and refuses every
    other line. It is made when the layout has become the usual one, and stays None if msgspec refuses a key.
    """

    kind: str
    names: tuple[str, ...]
    places: list[int]
    take: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    step: int
    elapsed: int
    seconds_per_step: int
    steps_per_second: int
    decoder: msgspec.json.Decoder[Any] | None = None


class LineParser:
    """Makes LogLines of the lines of a file. It remembers the layouts of the lines, which repeat."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[str, ...], Layout] = {}
        #: The layout that most lines have, and that of the last line that had another one.
        self._usual: Layout | None = None
        self._other: Layout | None = None

    def parse(self, text: bytes) -> LogLine | None:
        """The line; None if it has no step, as ms-swift's last line, which repeats the whole history.

        Raises ValueError if the line is damaged.
        """
        usual = self._usual
        if usual is not None and usual.decoder is not None:
            try:
                return _line(usual, (*astuple(usual.decoder.decode(text)), None))
            except (ValueError, RecursionError):
                pass  # it has another layout, or texts in place of numbers
        raw = decode_line(text)
        if raw is None:
            raise ValueError("the line is damaged")
        return self.parse_object(raw)

    def parse_object(self, raw: dict[str, Any]) -> LogLine | None:
        """The line of an object that was decoded already."""
        keys = tuple(raw)
        layout = self._layouts.get(keys) or self._remember(keys)
        if layout is self._other and layout is not self._usual and layout.kind == TRAINING:
            self._usual = layout
            layout.decoder = layout.decoder or _decoder(keys, frozenset(layout.places))
        self._other = layout
        return _line(layout, (*raw.values(), None))

    def _remember(self, keys: tuple[str, ...]) -> Layout:
        """The layout of a line with these keys."""
        if len(self._layouts) >= _MOST_LAYOUTS:
            self._layouts.clear()
        self._layouts[keys] = _layout(keys)
        return self._layouts[keys]


def _layout(keys: tuple[str, ...]) -> Layout:
    kind = _kind(keys)
    prefix = EVALUATION if kind == EVALUATED else ""
    named = [
        (name_of(key.removeprefix(prefix)), place)
        for place, key in enumerate(keys)
        if key.startswith(prefix)
    ]
    metrics: dict[str, int] = {}
    for name, place in named:
        if name is not None and len(metrics) < _MOST_METRICS:
            metrics.setdefault(name, place)
    places = list(metrics.values())
    take = (
        itemgetter(*places) if len(places) > 1 else lambda values: tuple(values[n] for n in places)
    )
    step, elapsed, pace, speed = (keys.index(key) if key in keys else -1 for key in _TIMES)
    return Layout(kind, tuple(metrics), places, take, step, elapsed, pace, speed)


def _decoder(keys: tuple[str, ...], numbers: frozenset[int]) -> msgspec.json.Decoder[Any] | None:
    """Reads lines with just these keys, of which those at the places in `numbers` are numbers."""
    fields = [(f"f{place}", float if place in numbers else Any) for place in range(len(keys))]
    renamed = {f"f{place}": key for place, key in enumerate(keys)}
    try:
        kind = defstruct("Line", fields, rename=renamed, forbid_unknown_fields=True, gc=False)
    except ValueError:
        return None
    return msgspec.json.Decoder(kind)


def _line(layout: Layout, values: tuple[Any, ...]) -> LogLine | None:
    """The line with this layout and the values of its keys, behind which stands None."""
    found = step_of(values[layout.step])
    if found is None:
        return None
    numbers = layout.take(values)
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
        _elapsed(values[layout.elapsed]),
        _positive(values[layout.seconds_per_step]),
        _positive(values[layout.steps_per_second]),
    )


def _kind(keys: Sequence[str]) -> str:
    """What a line is about. In 3.3 a training step's line may also have keys of an evaluation."""
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
    return found if found is not None and 1e-9 < found < 1e12 else None


def _elapsed(value: object) -> float | None:
    """A time; None for a number that cannot be one."""
    found = seconds(value)
    return found if found is not None and 0 <= found < 1e12 else None
