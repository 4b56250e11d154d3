"""How a comparison is printed for people: on a terminal with short names, and nothing is cut."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from prl_submit.cli.console import data, is_terminal, note, table
from prl_submit.cli.views.sweep_tables import short_keys
from prl_submit.cli.views.wide_tables import in_parts
from prl_submit.results import comparison_tables as tables
from prl_submit.results.comparison import ComparedRun, Comparison
from prl_submit.results.health import Hint
from prl_submit.runs.labels import read_labels
from prl_submit.runs.states import SUCCEEDED
from prl_submit.system.untrusted_text import one_line

#: With more runs than this the table has a row for each run, else a column.
_MOST_COLUMNS = 6
#: What a table with a row for each run shows first.
_FIRST = ("samples_per_second", "reward", "peak_memory_gib", "state")
_NUMBER = re.compile(r"(v\d+)-\d{8}-\d{6}")


def print_comparison(comparison: Comparison, best: str | None = None) -> None:
    """Print the tables, and on stderr what failed, what is not healthy, and how the speed was measured.

    `best`: the metric by which the runs are ordered.
    """
    names = [_name(run) for run in comparison.runs]
    if is_terminal():
        comparison = _with_short_names(comparison)
    if len(comparison.runs) > _MOST_COLUMNS:
        _print_rows(comparison, names, best)
    else:
        _print_columns(comparison, names)
    if best is not None:
        _note_best(comparison, names, best)
    _note_failures(comparison)
    _note_hints(comparison)
    note(f"speed: {comparison.how}")


def _name(run: ComparedRun) -> str:
    """The name of a run: its label, else that of its job; empty if it has none."""
    return one_line(read_labels(Path(run.path)).name or run.job or "")


def _with_short_names(comparison: Comparison) -> Comparison:
    """The same runs as v25, v26, except those whose number another run has too."""
    short = [_NUMBER.fullmatch(run.run) for run in comparison.runs]
    counts = Counter(found[1] for found in short if found is not None)
    runs = [
        run if found is None or counts[found[1]] > 1 else msgspec.structs.replace(run, run=found[1])
        for run, found in zip(comparison.runs, short, strict=True)
    ]
    return msgspec.structs.replace(comparison, runs=runs)


def _print_columns(comparison: Comparison, names: Sequence[str]) -> None:
    """Print a line for each setting that differs, and for each metric."""
    if is_terminal() and any(names):
        rows = [[run.run, name] for run, name in zip(comparison.runs, names, strict=True)]
        data(table(["RUN", "NAME"], rows, wrap=1) + "\n")
    header, rows = tables.setting_table(comparison)
    if rows:
        data(in_parts(["SETTING", *header[1:]], rows) + "\n")
    else:
        note("no setting differs")
    header, rows = tables.metric_table(comparison)
    data(in_parts(["METRIC", *header[1:]], rows))


def _print_rows(comparison: Comparison, names: Sequence[str], best: str | None) -> None:
    """Print a row for each run. On a terminal what matters most stands beside the settings."""
    if not is_terminal():
        data(table(*tables.run_table(comparison)))
        return
    first = [best, *_FIRST] if best is not None else _FIRST
    header, rows = tables.run_table(comparison, list(dict.fromkeys(first)))
    short = short_keys(list(comparison.settings))
    header = [short.get(name, name).upper() for name in header]
    if any(names):
        header.append("NAME")
        rows = [[*row, name] for row, name in zip(rows, names, strict=True)]
    data(in_parts(header, rows))


def _note_best(comparison: Comparison, names: Sequence[str], metric: str) -> None:
    """Print which run is the best, with its value."""
    run = comparison.runs[0]
    line = next(line for line in tables.lines_of(comparison) if line.field == metric)
    if getattr(run, metric) is None:
        note(f"no run has a value of {metric}")
        return
    name = f" ({names[0]})" if names[0] else ""
    note(f"best {metric}: {run.run}{name}, {line.name} {line.show(run)}")


def _note_failures(comparison: Comparison) -> None:
    """Print why runs did not succeed, each reason once."""
    why: dict[str, list[str]] = {}
    for run in comparison.runs:
        if run.state not in (None, SUCCEEDED):
            told = one_line(f"{run.state}: {run.reason}" if run.reason else f"{run.state}")
            why.setdefault(told, []).append(run.run)
    for told, runs in why.items():
        note(f"{', '.join(runs)}: {told}")


def _note_hints(comparison: Comparison) -> None:
    """Print what is not healthy: of a few runs each hint, of many runs each kind of hint once."""
    few = len(comparison.runs) <= _MOST_COLUMNS
    found: dict[str, list[str]] = {}
    first: dict[str, Hint] = {}
    for run in comparison.runs:
        for hint in run.hints:
            kind = hint.text if few else hint.name
            found.setdefault(kind, []).append(run.run)
            first.setdefault(kind, hint)
    for kind, runs in found.items():
        hint = first[kind]
        note(f"hint: {', '.join(runs) if few else _listed(runs)}: {hint.text}")
        note(f"  {hint.advice}; healthy is {hint.healthy} ({hint.source})")


def _listed(runs: Sequence[str]) -> str:
    """The first run, and how many others are alike."""
    others = len(runs) - 1
    return runs[0] + (f" and {others} other{'s' if others > 1 else ''} alike" if others else "")
