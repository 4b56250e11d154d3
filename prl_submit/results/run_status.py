"""A run with its training: what `status --json` prints, and what its tables are made of."""

from __future__ import annotations

import os
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.results.completions import last_batch
from prl_submit.results.health import Hint, hints
from prl_submit.results.metrics_reader import RECENT_BYTES, MetricsReader, recent_reader
from prl_submit.results.overview import Overview, overview
from prl_submit.results.phase import phase, phase_begin
from prl_submit.results.planned_settings import PlannedSettings, gpus_of, read_planned
from prl_submit.results.run_metrics import RunMetrics, mean
from prl_submit.results.run_settings import RunSettings, read_run_settings
from prl_submit.runs.directory import Run
from prl_submit.runs.labels import read_labels
from prl_submit.runs.layout import COMPLETIONS, LOGS, STEPS, kept_file, node_log
from prl_submit.runs.progress import Progress
from prl_submit.runs.record import SweptRun
from prl_submit.runs.states import QUEUED, RUNNING, Status
from prl_submit.runs.times import iso_time, seconds_of
from prl_submit.system.files import tail_bytes

#: The phase of a training is told by the last part of its log.
_TAIL = 1 << 18
#: The metrics of a status are the means of so many last logged steps.
_LAST_ROWS = 10
#: A file's inode, its size, and when it was changed, in nanoseconds.
_Signature = tuple[int, int, int]
#: The files of ms-swift that are read.
_READ = (STEPS, COMPLETIONS)
#: Of a larger file only the last steps are read, because all of them would take seconds.
_WHOLE_BYTES = 256 << 20
#: The phases in which steps are expected.
_STEPPING = ("training", "evaluating", "saving a checkpoint")
_NO_SETTINGS = RunSettings({}, {})


class LatestMetrics(Struct, frozen=True, kw_only=True):
    """The metrics of a training by its last logged step, `at_step`. A value that is not known is null.

    `learning_rate` is that of this step, `memory_gib` the peak, and the other metrics are the means of the
    last 10 logged steps. `seconds_per_step`: of the last 50, without evaluations. `time_left_s`, `ends_at`
    only while the run is RUNNING.
    """

    reward: float | None
    reward_std: float | None
    kl: float | None
    loss: float | None
    learning_rate: float | None
    completion_length: float | None
    clipped_share: float | None
    seconds_per_step: float | None
    memory_gib: float | None
    time_left_s: float | None
    ends_at: str | None
    at_step: int


class RunStatus(Status, frozen=True, kw_only=True):
    """A status with what is known of the training. Keys are never renamed or removed.

    `phase`: what a RUNNING job does, or `waiting`; `phase_since`: since when, as far as its files tell. `gpus`:
    0 on CPUs. `sweep`: the sweep of which the run is a part.
    """

    metrics: LatestMetrics | None
    phase: str | None
    phase_since: str | None
    hints: list[Hint]
    gpus: int | None
    sweep: SweptRun | None
    tags: list[str]
    note: str | None


class RunView(Struct, frozen=True):
    """A run as tables show it. `overview`: the training at a glance, None before its first step."""

    run: Run
    status: RunStatus
    overview: Overview | None
    metrics: RunMetrics
    planned: PlannedSettings


class TrainingReader:
    """Looks at one run's training again and again. Each look reads only what is new."""

    def __init__(
        self,
        run: Run,
        *,
        whole: bool = False,
        with_hints: bool = True,
        recent_bytes: int = RECENT_BYTES,
    ) -> None:
        """`whole`: read all steps, not only those in the last `recent_bytes` of the file, if it is not huge.

        `with_hints`: also look for what is unhealthy.
        """
        self._recent_bytes = recent_bytes
        self._path = run.path
        self._files = [f"{run.path}/{name}" for name in _READ]
        self._kept = str(kept_file(run.path / LOGS, 0))
        self._with_hints = with_hints
        seen = _signature(self._files[0])
        whole = whole and (seen is None or seen[1] <= _WHOLE_BYTES)
        self._reader: MetricsReader | None = MetricsReader(run.path) if whole else None
        self._metrics = RunMetrics()
        self._seen: tuple[_Signature | None, ...] | None = None
        self._hints: list[Hint] = []
        self._settings: RunSettings | None = None
        self._planned = read_planned(run.path)
        self._gpus = gpus_of(self._planned, run.path)

    def look(self, run: Run, status: Status, now: float) -> RunView:
        """The run with its training. `now`: seconds since 1970."""
        self._refresh()
        is_running = status.state == RUNNING
        logged_at = seconds_of(status.last_step_at)
        view: Overview | None = None
        if self._metrics.step is not None:
            view = overview(self._metrics, self._known(), logged_at, now, is_running=is_running)
        what, since = self._phase(run, status, view, now)
        if view is not None and what not in _STEPPING:  # a resumed training that begins again
            view = msgspec.structs.replace(view, silence=None)
            # By the old attempt no time is left; how long the new one takes is not known yet.
            if not view.seconds_left:
                view = msgspec.structs.replace(view, seconds_left=None, ends_at=None)
        known = {name: getattr(status, name) for name in Status.__struct_fields__}
        told = RunStatus(
            **known | _labels(run, status),
            metrics=latest_metrics(self._metrics, view) if view else None,
            phase=what,
            phase_since=since,
            hints=self._hints,
            gpus=_gpus(status, self._gpus),
        )
        return RunView(run, told, view, self._metrics, self._planned)

    def progress(self) -> Progress | None:
        """How far the training is by logging.jsonl; None if that file has no step, or is not the newest one."""
        self._refresh()
        steps = self._seen[0] if self._seen is not None and len(self._seen) == len(_READ) else None
        if self._metrics.step is None or steps is None:
            return None
        return Progress(self._metrics.step, self._metrics.max_steps, steps[2] / 1e9)

    def _refresh(self) -> None:
        """Read the new lines, if a file has changed."""
        seen = tuple([_signature(path) for path in self._files])
        if os.path.exists(self._kept):
            seen += (_signature(node_log(self._path / LOGS, 0)),)
        if seen == self._seen or not any(seen):
            return
        self._seen = seen
        if self._reader is None:
            self._reader, self._metrics = recent_reader(self._path, self._recent_bytes)
        else:
            self._metrics = self._reader.read()
        if self._metrics.step is None:
            self._reader = None  # the next look begins anew, because a file may have become larger
        elif self._with_hints:
            self._hints = self._find_hints()

    def _find_hints(self) -> list[Hint]:
        batch = last_batch(self._path / COMPLETIONS)
        if not hints(self._metrics, _NO_SETTINGS, batch):
            return []  # most trainings are well, and args.json is large
        return hints(self._metrics, self._load_settings(), batch)

    def _known(self) -> RunSettings:
        """The settings, where the time left depends on them: if there are evaluations."""
        return self._load_settings() if len(self._metrics.evaluations) else _NO_SETTINGS

    def _load_settings(self) -> RunSettings:
        if self._settings is None or not self._settings.has_arguments:
            self._settings = read_run_settings(self._path)
        return self._settings

    def _phase(
        self, run: Run, status: Status, view: Overview | None, now: float
    ) -> tuple[str | None, str | None]:
        """What the job does now, and since when."""
        if status.state == QUEUED:
            return "waiting", run.record.ordered_at if run.record else status.submitted_at
        if status.state != RUNNING:
            return None, None
        if view is not None and not _is_late(view, now):
            return "training", None
        path = node_log(self._path / LOGS, 0)
        log = tail_bytes(path, _TAIL)
        what = phase(log, has_step=view is not None)
        if view is not None:
            return what, None
        began = status.attempts[-1].started_at if status.attempts else status.started_at
        found = phase_begin(log, what, _changed(path))
        return what, iso_time(found) if found is not None else began


def latest_metrics(metrics: RunMetrics, view: Overview) -> LatestMetrics:
    """The metrics as `--json` prints them."""
    last = metrics.last
    rate = last.values.get("learning_rate") if last is not None else None
    return LatestMetrics(
        reward=view.reward,
        reward_std=_mean(metrics, "reward_std"),
        kl=view.kl,
        loss=_mean(metrics, "loss"),
        learning_rate=rate if rate is not None and isfinite(rate) else None,
        completion_length=view.completion_length,
        clipped_share=_mean(metrics, "clipped_share"),
        seconds_per_step=view.seconds_per_step,
        memory_gib=view.peak_memory_gib,
        time_left_s=view.seconds_left,
        ends_at=iso_time(view.ends_at),
        at_step=view.step or 0,
    )


def _labels(run: Run, status: Status) -> dict[str, Any]:
    """What the user says of a run, and its sweep. The name that `rename` gave it stands in place of the job's."""
    labels = read_labels(run.path)
    return {
        "name": labels.name or status.name,
        "note": labels.note,
        "tags": labels.tags,
        "sweep": run.record.sweep if run.record else None,
    }


def _gpus(status: Status, planned: int | None) -> int | None:
    """The GPUs of the last attempt, as launch.sh counted them; before it those of the plan."""
    counted = status.attempts[-1].gpus if status.attempts else None
    return planned if counted is None else counted


def _mean(metrics: RunMetrics, name: str) -> float | None:
    """The mean of a metric in the last logged steps that have it."""
    return mean(metrics.latest(name, _LAST_ROWS))


def _is_late(view: Overview, now: float) -> bool:
    """True if the next step should be there: then the log tells whether there is an evaluation."""
    if view.logged_at is None or view.seconds_per_step is None:
        return False
    return now - view.logged_at > 3 * view.seconds_per_step + 5


def _signature(path: str | Path) -> _Signature | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _changed(path: Path) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
