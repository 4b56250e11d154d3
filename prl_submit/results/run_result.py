"""Everything that this room knows of one run, read from its directory."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from prl_submit.results.completions import Batch, last_batch
from prl_submit.results.metrics_reader import read_metrics
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import RunSettings, read_run_settings
from prl_submit.results.step_table import ROWS
from prl_submit.runs.attempts import Attempt, attempt_seconds, read_attempts
from prl_submit.runs.directory import read_run
from prl_submit.runs.layout import COMPLETIONS, STEPS


class RunResult(Struct, frozen=True):
    """One run, or a directory that ms-swift made without prl-submit: then `job` is None and `attempts` empty.

    `logged_at`: when the last step was logged (seconds since 1970, by the file server's clock).
    """

    name: str
    path: str
    job: str | None
    settings: RunSettings
    metrics: RunMetrics
    attempts: list[Attempt]
    batch: Batch | None
    logged_at: float | None


def read_result(run: Path, *, rows: int = ROWS) -> RunResult:
    """Read a run's directory. What is missing in it is None or empty in the result.

    `rows`: so many rows of metrics are kept at least.
    """
    found = read_run(run)
    record = found.record if found is not None else None
    settings = read_run_settings(run)
    return RunResult(
        name=run.name,
        path=str(run),
        job=record.name if record is not None else None,
        settings=settings,
        metrics=read_metrics(run, rows=rows),
        attempts=read_attempts(run, record) if record is not None else [],
        batch=last_batch(run / COMPLETIONS, settings.reward_weights),
        logged_at=_changed(run / STEPS),
    )


def is_training(folder: Path) -> bool:
    """True if a folder has what a training of ms-swift leaves."""
    return any(os.path.isfile(folder / name) for name in (STEPS, "args.json"))


def trained_seconds(result: RunResult) -> float:
    """How long all attempts had their processes: from their start to their end, or to the last logged step.

    Without attempts.jsonl it is the time that the logged steps and evaluations took, without the start.
    """
    spans = [attempt_seconds(attempt) for attempt in result.attempts]
    known = [span for span in spans if span is not None]
    return max(sum(known), logged_seconds(result)) if None in spans or not known else sum(known)


def logged_seconds(result: RunResult) -> float:
    """The time that the logged steps and evaluations took."""
    pace = result.metrics.pace
    return pace.seconds + pace.warm_up + pace.evaluations


def _changed(path: Path) -> float | None:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime
    except OSError:
        return None
