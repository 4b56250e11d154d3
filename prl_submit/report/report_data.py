"""All that a report shows, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from prl_submit.report.curves import Chart, Columns, charts, columns_of
from prl_submit.report.kept_completions import KeptCompletions, keep_completions
from prl_submit.report.run_notes import notes
from prl_submit.results.comparison import ComparedRun, Comparison, compare
from prl_submit.results.comparison_tables import metric_table, setting_text
from prl_submit.results.health import Hint
from prl_submit.results.run_result import RunResult, read_result
from prl_submit.results.setting_differences import common_settings
from prl_submit.runs.labels import read_labels
from prl_submit.runs.layout import COMPLETIONS
from prl_submit.system.untrusted_text import one_line

#: The rows of all runs together, at least; a run may have twice its share.
_ROWS = 1 << 17
_FEWEST_ROWS = 256
#: So many completions of all runs together, if the user says nothing else.
MOST_COMPLETIONS = 50_000
#: And so many characters of their text.
_COMPLETION_TEXT = 64 << 20
#: A longer value of a setting is cut.
_LONGEST_VALUE = 2000


class ReportedRun(Struct, frozen=True, kw_only=True):
    """One run.

    `label`, `note`, `tags`: what the user says about it. `restarts`: the steps with which a new attempt began.
    `state`: None if it was not asked for.
    """

    name: str
    path: str
    job: str | None
    label: str | None
    note: str | None
    tags: list[str]
    state: str | None
    samples_per_step: int | None
    restarts: list[int]
    notes: list[str]
    hints: list[Hint]
    training: Columns
    evaluations: Columns


class ReportedSettings(Struct, frozen=True):
    """Settings as text. `differing`: the values of all runs; None where a run has none. `common`: all others."""

    differing: dict[str, list[str | None]]
    common: dict[str, str]


class ReportData(Struct, frozen=True, kw_only=True):
    """The whole report but for the completions.

    `summary`: lines with a name and a cell for each run. `reload_s`: the page loads itself anew after so many
    seconds, because the report is still being written; None if it is final.
    """

    written_at: str
    version: str
    reload_s: int | None
    runs: list[ReportedRun]
    charts: list[Chart]
    summary: list[list[str]]
    how: str
    settings: ReportedSettings


class Gathered(Struct, frozen=True):
    """A report's data, and the completions of each run; None if none were asked for."""

    data: ReportData
    completions: list[KeptCompletions | None]


def gather(
    runs: Sequence[Path],
    *,
    most_completions: int = MOST_COMPLETIONS,
    states: Mapping[Path, str] | None = None,
    written_at: str = "",
    version: str = "",
    reload_s: int | None = None,
) -> Gathered:
    """Read the runs' directories. `most_completions`: of all runs together; 0 for none."""
    rows = max(_FEWEST_ROWS, _ROWS // len(runs))
    results = [read_result(run, rows=rows) for run in runs]
    kept = [
        _completions(run, result, most_completions, len(runs))
        for run, result in zip(runs, results, strict=True)
    ]
    comparison = compare(results)
    shown = charts([result.metrics for result in results])
    names = [chart.name for chart in shown]
    told = zip(runs, results, comparison.runs, kept, strict=True)
    data = ReportData(
        written_at=written_at,
        version=version,
        reload_s=reload_s,
        runs=[_run(*one, names, (states or {}).get(one[0])) for one in told],
        charts=shown,
        summary=metric_table(comparison)[1],
        how=comparison.how,
        settings=_settings(comparison, results),
    )
    return Gathered(data, kept)


def _completions(run: Path, result: RunResult, most: int, runs: int) -> KeptCompletions | None:
    """The completions of a run that the report shows: an equal share for each run."""
    if most == 0:
        return None
    share = max(1, most // runs)
    weights = result.settings.reward_weights
    return keep_completions(run / COMPLETIONS, share, _COMPLETION_TEXT // runs, weights)


def _run(
    run: Path,
    result: RunResult,
    compared: ComparedRun,
    kept: KeptCompletions | None,
    names: Sequence[str],
    state: str | None,
) -> ReportedRun:
    metrics, labels = result.metrics, read_labels(run)
    return ReportedRun(
        name=one_line(result.name),
        path=one_line(result.path),
        job=one_line(result.job) if result.job is not None else None,
        label=labels.name,
        note=labels.note,
        tags=labels.tags,
        state=state,
        samples_per_step=result.settings.samples_per_step,
        restarts=[attempt.first for attempt in metrics.attempts[1:]],
        notes=notes(run, result, kept),
        hints=compared.hints,
        training=columns_of(metrics.training, names),
        evaluations=columns_of(metrics.evaluations, names),
    )


def _settings(comparison: Comparison, results: Sequence[RunResult]) -> ReportedSettings:
    common = common_settings([result.settings for result in results])
    return ReportedSettings(
        {
            one_line(key): [None if value is None else _value(value) for value in values]
            for key, values in comparison.settings.items()
        },
        {
            one_line(key): _value(value)
            for key, value in common.items()
            if key not in comparison.settings
        },
    )


def _value(value: Any) -> str:
    return setting_text(value, _LONGEST_VALUE)
