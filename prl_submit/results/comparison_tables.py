"""A comparison as tables: for a terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from prl_submit.results.comparison import ComparedRun, Comparison
from prl_submit.results.time_words import short
from prl_submit.runs.states import SUCCEEDED
from prl_submit.system.untrusted_text import one_line

#: A table: its header and its rows.
Table = tuple[list[str], list[list[str]]]
#: What a table has where a value is not known.
UNKNOWN = "-"
#: A longer value of a setting is cut in tables; CSV has it whole.
_LONGEST = 60
_Show = Callable[[ComparedRun], str]


class MetricLine(Struct, frozen=True):
    """What the tables have of a metric. `field`: its name in ComparedRun; `show`: its cell for a run."""

    field: str
    name: str
    show: _Show


def _number(field: str) -> _Show:
    def show(run: ComparedRun) -> str:
        value = getattr(run, field)
        return UNKNOWN if value is None else short(value)

    return show


def _percent(field: str) -> _Show:
    def show(run: ComparedRun) -> str:
        value = getattr(run, field)
        return UNKNOWN if value is None else f"{value:.0%}"

    return show


def _times(run: ComparedRun) -> str:
    return UNKNOWN if run.speed_up is None else f"{run.speed_up:.2f}x"


def _state(run: ComparedRun) -> str:
    return UNKNOWN if run.state is None else one_line(run.state)


def _steps(run: ComparedRun) -> str:
    return UNKNOWN if run.step is None else f"{run.step}/{run.max_steps or '?'}"


def _spread(run: ComparedRun) -> str:
    fast, slow = run.fast_seconds_per_step, run.slow_seconds_per_step
    return UNKNOWN if fast is None or slow is None else f"{short(fast)} to {short(slow)}"


def _restarts(run: ComparedRun) -> str:
    return str(max(run.attempts - 1, 0))


def lines_of(comparison: Comparison) -> list[MetricLine]:
    """The lines of the table of metrics."""
    at = f"after {comparison.equal_samples:,} samples" if comparison.equal_samples else None
    if at is None:
        at = f"at step {comparison.equal_steps}" if comparison.equal_steps else "at equal steps"
    return [
        MetricLine("state", "last attempt", _state),
        MetricLine("step", "steps", _steps),
        MetricLine("attempts", "restarts", _restarts),
        _numbers("processes", "processes"),
        _numbers("samples", "samples trained"),
        _numbers("samples_per_second", "samples/s"),
        _numbers("tokens_per_second", "completion tokens/s"),
        MetricLine("speed_up", "speed-up", _times),
        MetricLine("efficiency", "scaling efficiency", _percent("efficiency")),
        _numbers("seconds_per_step", "seconds per step"),
        MetricLine("fast_seconds_per_step", "8 of 10 steps took, s", _spread),
        _numbers("reward", f"reward {at}"),
        _numbers("last_reward", "reward, last 10 logged steps"),
        _numbers("reward_std", "reward spread in a group"),
        _numbers("kl", "kl"),
        _numbers("completion_length", "completion length, tokens"),
        MetricLine("clipped_share", "completions cut", _percent("clipped_share")),
        _numbers("peak_memory_gib", "peak GPU memory, GiB"),
        _numbers("gpu_hours", "GPU-hours"),
    ]


def _numbers(field: str, name: str) -> MetricLine:
    return MetricLine(field, name, _number(field))


def metric_table(comparison: Comparison) -> Table:
    """A line for each metric that a run has, a column for each run."""
    lines = _told(comparison)
    rows = [[line.name, *map(line.show, comparison.runs)] for line in lines]
    return ["", *(run.run for run in comparison.runs)], rows


def _told(comparison: Comparison) -> list[MetricLine]:
    """The metrics that a run has. The state is left out if all have succeeded."""
    runs = comparison.runs
    states = {run.state for run in runs}
    return [
        line
        for line in lines_of(comparison)
        if any(line.show(run) != UNKNOWN for run in runs)
        and not (line.field == "state" and states == {SUCCEEDED})
    ]


def run_table(comparison: Comparison, first: Sequence[str] = ()) -> Table:
    """A row for each run, for comparisons of many runs. `first`: fields of ComparedRun that come first."""
    places = {field: place for place, field in enumerate(first)}
    lines = sorted(_told(comparison), key=lambda line: places.get(line.field, len(places)))
    rows = [
        [
            run.run,
            *(setting_text(values[place]) for values in comparison.settings.values()),
            *(line.show(run) for line in lines),
        ]
        for place, run in enumerate(comparison.runs)
    ]
    return ["run", *comparison.settings, *(line.name for line in lines)], rows


def setting_table(comparison: Comparison) -> Table:
    """A line for each setting that differs, a column for each run."""
    rows = [
        [key, *(setting_text(value) for value in values)]
        for key, values in comparison.settings.items()
    ]
    return ["", *(run.run for run in comparison.runs)], rows


def setting_text(value: Any, longest: int = _LONGEST) -> str:
    """A setting's value in a table, on one line and not too long."""
    if value is None:
        return UNKNOWN
    if isinstance(value, float):
        # args.json has 200.0 for 200 steps; and users write 1e-5.
        text = str(int(value)) if value.is_integer() else repr(value).replace("e-0", "e-")
    else:
        text = one_line(value if isinstance(value, str) else _json(value))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def markdown(comparison: Comparison) -> str:
    """Both tables as Markdown, and how the speed was measured."""
    parts = []
    header, rows = setting_table(comparison)
    if rows:
        parts.append(_markdown_table(["setting", *header[1:]], rows))
    header, rows = metric_table(comparison)
    parts.append(_markdown_table(["metric", *header[1:]], rows))
    parts.append(f"Speed: {comparison.how}.\n")
    return "\n".join(parts)


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = ["---", *("---:" for _ in header[1:])]
    lines = [header, marks, *rows]
    return "".join(f"| {' | '.join(map(_markdown_cell, line))} |\n" for line in lines)


def _markdown_cell(text: str) -> str:
    """A cell in which no character means something to Markdown or HTML."""
    text = one_line(text)
    for char in "\\`*_[]<>|":
        text = text.replace(char, f"&#{ord(char)};" if char in "<>|" else f"\\{char}")
    return text


def csv_text(comparison: Comparison) -> str:
    """A row for each run, with all numbers in full and a column for each setting that differs."""
    names = [name for name in ComparedRun.__struct_fields__ if name != "hints"]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*names, "hints", *(_csv_cell(key) for key in comparison.settings)])
    for place, run in enumerate(comparison.runs):
        told = " ".join(hint.name for hint in run.hints)
        values = [values[place] for values in comparison.settings.values()]
        cells = [*(getattr(run, name) for name in names), told, *values]
        writer.writerow([_csv_cell(cell) for cell in cells])
    return file.getvalue()


def _csv_cell(value: Any) -> Any:
    """A cell. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    if value is None or isinstance(value, (int, float)):
        return value
    text = value if isinstance(value, str) else _json(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
