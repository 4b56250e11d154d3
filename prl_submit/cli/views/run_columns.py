"""The columns of tables of runs: what each shows, and by what it is sorted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from prl_submit.results.overview_text import bar
from prl_submit.results.run_metrics import mean
from prl_submit.results.run_settings import read_run_settings
from prl_submit.results.run_status import RunView
from prl_submit.results.setting_differences import shown_setting
from prl_submit.results.sparkline import sparkline
from prl_submit.results.time_words import short, time_left
from prl_submit.runs.attempts import attempt_seconds
from prl_submit.runs.states import RUNNING
from prl_submit.runs.times import age, seconds_of
from prl_submit.system.untrusted_text import excerpt, one_line

#: The characters of a bar and of a curve in a table.
_BAR = 5
_CURVE = 8
#: So many characters of a setting are shown at most.
_LONGEST = 60
#: What a cell has if its value is not known.
UNKNOWN = "-"


class TableLook(Struct):
    """How a table is drawn. `now`: seconds since 1970.

    `twice`: numbers that several runs have, so `v26` would not tell which run is meant. `differs`: for each
    path the settings in which the run differs from others of its name.
    """

    now: float
    ascii_only: bool = False
    short_names: bool = True
    twice: frozenset[int] = frozenset()
    differs: Mapping[str, str] = {}


Text = Callable[[RunView, TableLook], str]
Value = Callable[[RunView, TableLook], Any]


class Column(Struct, frozen=True):
    """A column. `text`: its cell. `value`: what it is sorted by; None: it is sorted by its text."""

    header: str
    text: Text
    value: Value | None = None

    def sort_key(self, view: RunView, look: TableLook) -> Any:
        """What the column is sorted by; None if the run has no value."""
        if self.value is not None:
            return self.value(view, look)
        text = self.text(view, look)
        return None if text in ("", UNKNOWN) else text

    def json_value(self, view: RunView, look: TableLook) -> Any:
        """What `--json` has of the column."""
        found = self.sort_key(view, look)
        return self.text(view, look) if isinstance(found, tuple) else found


def run_name(view: RunView, look: TableLook) -> str:
    """`v26`; the directory's whole name if several runs have this number, and outside of terminals."""
    number = view.run.number
    if not look.short_names or number < 0 or number in look.twice:
        return one_line(view.status.run)
    return f"v{number}"


def moment(at: float | None, now: float) -> str:
    """A time in few characters: `14:05` today, `Tue 14:05` within six days, else `2026-12-30`; local time."""
    if at is None:
        return UNKNOWN
    try:
        time, today = datetime.fromtimestamp(at), datetime.fromtimestamp(now)
    except (ValueError, OverflowError, OSError):
        return "never"
    days = abs((time.date() - today.date()) // timedelta(days=1))
    if days == 0:
        return f"{time:%H:%M}"
    return f"{time:%a %H:%M}" if days < 7 else f"{time:%Y-%m-%d}"


def clock(time: str | None) -> str:
    """A time of a status in the local time zone: `2026-11-30 14:05`."""
    at = seconds_of(time)
    try:
        return "?" if at is None else f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return "?"


def elapsed(view: RunView, now: float) -> float | None:
    """How long all attempts of a run took together; None before the first one."""
    status = view.status
    spans = [attempt_seconds(attempt) for attempt in status.attempts]
    last = status.attempts[-1].started_at if status.attempts else status.started_at
    began = seconds_of(last)
    if status.state == RUNNING and began is not None:
        spans = [*spans[:-1], max(0.0, now - began)]
    elif not spans and began is not None and status.ended_at is not None:
        spans = [(seconds_of(status.ended_at) or began) - began]
    known = [span for span in spans if span is not None]
    return sum(known) if known else None


def end_of(view: RunView) -> float | None:
    """When a run ended, or when it will end."""
    if view.status.ended_at is not None:
        return seconds_of(view.status.ended_at)
    return view.overview.ends_at if view.overview is not None else None


def _end(view: RunView, look: TableLook) -> str:
    rough = view.overview is not None and view.overview.is_rough and view.status.ended_at is None
    at = end_of(view)
    return ("~" if rough and at is not None else "") + moment(at, look.now)


def _step(view: RunView, look: TableLook) -> str:
    status = view.status
    return UNKNOWN if status.step is None else f"{status.step}/{status.max_steps or '?'}"


def share(view: RunView) -> float | None:
    """The share of the steps that are done."""
    step, most = view.status.step, view.status.max_steps
    return min(step / most, 1.0) if step is not None and most else None


def _progress(view: RunView, look: TableLook) -> str:
    done = share(view)
    return "" if done is None else f"{bar(done, _BAR, ascii_only=look.ascii_only)} {done:.0%}"


def _curve(view: RunView, look: TableLook) -> str:
    rewards = view.overview.rewards if view.overview is not None else []
    return sparkline(rewards, _CURVE, ascii_only=look.ascii_only)


def _left(view: RunView, look: TableLook) -> str:
    left = view.overview.seconds_left if view.overview is not None else None
    return UNKNOWN if left is None else time_left(left)


def age_of(view: RunView, now: float) -> float | None:
    """How long ago a running run logged its last step, in seconds."""
    at = seconds_of(view.status.last_step_at)
    return now - at if at is not None and view.status.state == RUNNING else None


def _age(view: RunView, look: TableLook) -> str:
    seconds = age_of(view, look.now)
    return UNKNOWN if seconds is None else age(seconds)


def _elapsed(view: RunView, look: TableLook) -> str:
    seconds = elapsed(view, look.now)
    return UNKNOWN if seconds is None else age(seconds)


def job_of(view: RunView) -> str:
    """The backend and its job: `slurm 4711`."""
    return one_line(" ".join(filter(None, (view.status.backend, view.status.job_id))))


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else short(value)


def metric(name: str) -> Column:
    """The column of a metric of the last steps."""

    def value(view: RunView, look: TableLook) -> float | None:
        found = getattr(view.status.metrics, name, None)
        return found if found is not None else _recent(view, name)

    return Column(name.upper(), lambda view, look: _number(value(view, look)), value)


def _recent(view: RunView, name: str) -> float | None:
    """The mean of a metric in the last 10 logged steps that have it."""
    return mean(view.metrics.latest(name, 10))


def setting(key: str) -> Column:
    """The column of a setting: the value in plan.json, else in ms-swift's args.json."""
    header = key.removeprefix("swift.").upper()

    def value(view: RunView, look: TableLook) -> Any:
        plan = view.planned.values
        if key in plan or not key.startswith("swift."):
            return plan.get(key)
        return read_run_settings(view.run.path).arguments.get(key.removeprefix("swift."))

    def text(view: RunView, look: TableLook) -> str:
        found = value(view, look)
        return UNKNOWN if found is None else setting_text(key, found)

    return Column(header, text, value)


def setting_text(key: str, value: Any) -> str:
    """The value of a setting in a table."""
    told = shown_setting(key, value)
    if isinstance(told, bool):
        return "true" if told else "false"
    if isinstance(told, float):
        return re.sub(r"e([+-])0*", lambda match: f"e{match[1].strip('+')}", f"{told:g}")
    if isinstance(told, list):
        return excerpt(",".join(setting_text(key, item) for item in told), _LONGEST)
    return excerpt(str(told), _LONGEST)


def _time(field: str) -> Column:
    """The column of one of the times of a status."""

    def value(view: RunView, look: TableLook) -> float | None:
        return seconds_of(getattr(view.status, field))

    return Column(
        field.removesuffix("_at").upper(),
        lambda view, look: moment(value(view, look), look.now),
        value,
    )


def _text(header: str, text: Callable[[RunView], str | None]) -> Column:
    """The column of a text."""
    return Column(header, lambda view, look: one_line(text(view) or "") or UNKNOWN)


def _count(header: str, count: Callable[[RunView], int | None]) -> Column:
    """The column of a whole number."""

    def text(view: RunView, look: TableLook) -> str:
        found = count(view)
        return UNKNOWN if found is None else str(found)

    return Column(header, text, lambda view, look: count(view))


COLUMNS: dict[str, Column] = {
    "run": Column("RUN", run_name, lambda view, look: (view.run.number, view.run.name)),
    "name": _text("NAME", lambda view: view.status.name or "?"),
    "backend": _text("BACKEND", lambda view: view.status.backend or "?"),
    "job": _text("JOB", lambda view: view.status.job_id),
    "state": _text("STATE", lambda view: view.status.state),
    "step": Column("STEP", _step, lambda view, look: view.status.step),
    "progress": Column("DONE", _progress, lambda view, look: share(view)),
    "reward": metric("reward"),
    "trend": Column("TREND", _curve, lambda view, look: getattr(view.overview, "trend", None)),
    "speed": Column(
        "S/IT",
        lambda view, look: _number(getattr(view.overview, "seconds_per_step", None)),
        lambda view, look: getattr(view.overview, "seconds_per_step", None),
    ),
    "left": Column("LEFT", _left, lambda view, look: getattr(view.overview, "seconds_left", None)),
    "end": Column("END", _end, lambda view, look: end_of(view)),
    "age": Column("AGE", _age, lambda view, look: age_of(view, look.now)),
    "gpus": _count("GPUS", lambda view: view.status.gpus or None),
    "elapsed": Column("ELAPSED", _elapsed, lambda view, look: elapsed(view, look.now)),
    "memory": Column(
        "MEMORY",
        lambda view, look: (
            UNKNOWN
            if (found := getattr(view.overview, "peak_memory_gib", None)) is None
            else f"{short(found)} GiB"
        ),
        lambda view, look: getattr(view.overview, "peak_memory_gib", None),
    ),
    "phase": _text("PHASE", lambda view: view.status.phase),
    "reason": _text("REASON", lambda view: view.status.reason),
    "exit_code": _count("EXIT", lambda view: view.status.exit_code),
    "restarts": _count("RESTARTS", lambda view: view.status.restarts),
    "submitted": _time("submitted_at"),
    "started": _time("started_at"),
    "ended": _time("ended_at"),
    "sweep": _text("SWEEP", lambda view: getattr(view.status.sweep, "name", None)),
    "tags": _text("TAGS", lambda view: ", ".join(view.status.tags)),
    "note": _text("NOTE", lambda view: view.status.note),
    "hints": _text("HINTS", lambda view: ",".join(hint.name for hint in view.status.hints)),
    "differs": Column(
        "DIFFERS", lambda view, look: look.differs.get(view.status.path, "") or UNKNOWN
    ),
    "path": _text("PATH", lambda view: view.status.path),
}
