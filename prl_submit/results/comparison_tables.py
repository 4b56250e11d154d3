"""A comparison as tables: for a terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from prl_submit.results.comparison import ComparedRun, Comparison
from prl_submit.results.time_words import short
from prl_submit.system.untrusted_text import one_line

#: A table: its header and its rows.
Table = tuple[list[str], list[list[str]]]
#: What a table has where a value is not known.
UNKNOWN = "-"
#: A longer value of a setting is cut in tables; CSV has it whole.
_LONGEST = 60
_Show = Callable[[ComparedRun], str]


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


def _steps(run: ComparedRun) -> str:
    return UNKNOWN if run.step is None else f"{run.step}/{run.max_steps or '?'}"


def _spread(run: ComparedRun) -> str:
    fast, slow = run.fast_seconds_per_step, run.slow_seconds_per_step
    return UNKNOWN if fast is None or slow is None else f"{short(fast)} to {short(slow)}"


def _restarts(run: ComparedRun) -> str:
    return str(max(run.attempts - 1, 0))


def lines_of(comparison: Comparison) -> list[tuple[str, _Show]]:
    """The lines of the table of metrics: what each line is about, and its cell for a run."""
    at = f"after {comparison.equal_samples:,} samples" if comparison.equal_samples else None
    if at is None:
        at = f"at step {comparison.equal_steps}" if comparison.equal_steps else "at equal steps"
    return [
        ("steps", _steps),
        ("restarts", _restarts),
        ("processes", _number("processes")),
        ("samples trained", _number("samples")),
        ("samples/s", _number("samples_per_second")),
        ("completion tokens/s", _number("tokens_per_second")),
        ("speed-up", _times),
        ("scaling efficiency", _percent("efficiency")),
        ("seconds per step", _number("seconds_per_step")),
        ("8 of 10 steps", _spread),
        (f"reward {at}", _number("reward")),
        ("reward, last 10 logged steps", _number("last_reward")),
        ("reward spread in a group", _number("reward_std")),
        ("kl", _number("kl")),
        ("completion length, tokens", _number("completion_length")),
        ("completions cut", _percent("clipped_share")),
        ("peak GPU memory, GiB", _number("peak_memory_gib")),
        ("GPU-hours", _number("gpu_hours")),
    ]


def metric_table(comparison: Comparison) -> Table:
    """A line for each metric that a run has, a column for each run."""
    rows = [[name, *map(show, comparison.runs)] for name, show in lines_of(comparison)]
    told = [row for row in rows if any(cell != UNKNOWN for cell in row[1:])]
    return ["", *(run.run for run in comparison.runs)], told


def run_table(comparison: Comparison, runs: Sequence[ComparedRun] | None = None) -> Table:
    """A row for each run, for comparisons of many runs. `runs`: in this order."""
    lines = lines_of(comparison)
    chosen = comparison.runs if runs is None else runs
    places = {run.path: place for place, run in enumerate(comparison.runs)}
    rows = [
        [
            run.run,
            *(setting_text(values[places[run.path]]) for values in comparison.settings.values()),
            *(show(run) for _, show in lines),
        ]
        for run in chosen
    ]
    header = ["run", *comparison.settings, *(name for name, _ in lines)]
    kept = [place for place in range(len(header)) if any(row[place] != UNKNOWN for row in rows)]
    return [header[place] for place in kept], [[row[place] for place in kept] for row in rows]


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
