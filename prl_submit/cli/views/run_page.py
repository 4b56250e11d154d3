"""All that is known of one run, as `status RUN` prints it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prl_submit.cli.console import data, is_terminal, wrapped
from prl_submit.cli.run_lines import typed
from prl_submit.cli.views.run_columns import (
    TableLook,
    clock,
    elapsed,
    end_of,
    job_of,
    moment,
    setting_text,
    share,
)
from prl_submit.cli.views.run_table import HINT, ROW, TableLine, cells, many, phase_words
from prl_submit.cli.views.shown_runs import make_look, plain_table, styled
from prl_submit.results.failure_log import failure_log
from prl_submit.results.metric_names import REWARD_OF
from prl_submit.results.overview_text import bar, end_date
from prl_submit.results.planned_settings import PlannedSettings, versions_of
from prl_submit.results.run_metrics import mean
from prl_submit.results.run_status import RunView
from prl_submit.results.sparkline import sparkline
from prl_submit.results.time_words import in_words, short, time_left
from prl_submit.runs.attempts import Attempt, attempt_seconds, gpu_hours
from prl_submit.runs.plan_file import find_plan_file
from prl_submit.runs.states import FINISHED, RUNNING, SUCCEEDED
from prl_submit.runs.times import age, seconds_of
from prl_submit.system.untrusted_text import one_line

#: The columns of the names on the left, and of bars and curves.
_NAMES = 12
_BAR = 20
_CURVE = 40
#: Outside of terminals the page is so wide.
_WIDTH = 100
#: So many last lines of the log of a failed run are shown.
_LOG_LINES = 12
#: The packages whose versions are shown.
_PACKAGES = ("ms-swift", "torch", "transformers", "trl", "vllm")
#: So many reward functions have a line.
_FUNCTIONS = 12


def print_pages(views: Sequence[RunView]) -> None:
    """Print a page for each run. In a pipe the table comes first, so that scripts find it where it was."""
    look = make_look(views)
    width = (os.get_terminal_size().columns or 80) if is_terminal() else _WIDTH
    if not is_terminal():
        data(plain_table(views, look))
        data("")
    for number, view in enumerate(views):
        if number:
            data("")
        for line in page(view, look, width):
            data(styled(line))


def page(view: RunView, look: TableLook, width: int) -> list[TableLine]:
    """The lines of a run's page."""
    status = view.status
    title = f"{one_line(status.run)}  {one_line(status.name or '?')}  {status.state}"
    lines = [TableLine(title, ROW)]
    if status.reason:
        lines += [TableLine(text) for text in wrapped(one_line(status.reason), width)]
    rows = [
        *_place(view),
        *_origins(view),
        *_times(view, look),
        *_training(view, look),
        *_texts(view),
    ]
    for name, text in rows:
        lines += _row(name, text, width)
    for text in _remarks(view):
        lines += [TableLine(part, HINT) for part in wrapped(text, width)]
    return [*lines, *_log(view, width)]


def _row(name: str, text: str, width: int) -> list[TableLine]:
    """A name on the left and its text beside it, in as many lines as it needs."""
    room = max(width - _NAMES - 2, 20)
    told = [line[4:] for line in wrapped(text, room + 4)] if cells(text) > room else [text]
    names = [name, *[""] * (len(told) - 1)]
    return [
        TableLine(f"  {left:<{_NAMES}}{right}" if left else " " * (_NAMES + 2) + right)
        for left, right in zip(names, told, strict=True)
    ]


Rows = list[tuple[str, str]]


def _place(view: RunView) -> Rows:
    """Where the run is, and of what it was made."""
    status, plan = view.status, view.planned
    rows = [("directory", one_line(status.path)), ("job", job_of(view) or "?")]
    size = _size(view, plan)
    if size:
        rows.append(("size", size))
    if status.sweep is not None:
        values = ", ".join(
            f"{key} {setting_text(key, value)}" for key, value in status.sweep.values.items()
        )
        rows.append(("sweep", one_line(f"{status.sweep.name}, run {status.sweep.index}: {values}")))
    if view.run.record is not None and view.run.record.after:
        rows.append(("after", one_line(", ".join(first.run for first in view.run.record.after))))
    if plan.commit:
        dirty = ", with changes that are not committed" if plan.dirty else ""
        rows.append(("git", one_line(plan.commit[:12]) + dirty))
    versions = _versions(view)
    if versions:
        rows.append(("versions", versions))
    return [*rows, *_spec(view)]


def _spec(view: RunView) -> Rows:
    """The job spec, and how to see all its values."""
    rows: Rows = []
    model = view.planned.values.get("swift.model")
    if model is not None:
        rows.append(("model", setting_text("swift.model", model)))
    if view.planned.spec_file:
        rows.append(("spec", one_line(view.planned.spec_file)))
    rows.append(("values", f"prl-submit explain {typed(view.run)}"))
    return rows


def _origins(view: RunView) -> Rows:
    """Of which run this is a rerun, and what each `resume --set` changed."""
    rows: Rows = []
    if view.run.record is not None and view.run.record.rerun_of:
        rows.append(("rerun of", one_line(os.path.basename(view.run.record.rerun_of))))
    file = find_plan_file(view.run.path)
    for resumed in file.resumes if file is not None else ():
        changes = [
            f"{change.key} {_known(change.before)} to {_known(change.after)}"
            for change in resumed.changes
        ]
        rows.append(("changed", one_line(f"at {resumed.checkpoint}: {', '.join(changes)}")))
    return rows


def _known(value: object) -> str:
    """A value before or after a change."""
    return "-" if value is None else str(value)


def _versions(view: RunView) -> str:
    """The versions on node 0; before node 0 has written them, that of ms-swift for which the job was checked."""
    found = versions_of(view.run.path)
    if not found and view.planned.swift_version:
        found = {"ms-swift": view.planned.swift_version}
    return one_line(", ".join(f"{name} {found[name]}" for name in _PACKAGES if name in found))


def _size(view: RunView, plan: PlannedSettings) -> str:
    """`2 nodes, 16 GPUs`."""
    nodes = plan.values.get("resources.nodes", 1)
    gpus = view.status.gpus
    if gpus is None:
        return ""
    if not gpus:
        processes = plan.values.get("resources.nproc_per_node", 1)
        return f"{many(nodes, 'node')}, {many(processes, 'process', 'processes')} on CPUs"
    return f"{many(nodes, 'node')}, {many(gpus, 'GPU')}"


def _times(view: RunView, look: TableLook) -> Rows:
    """When it was submitted, and each attempt."""
    status = view.status
    rows: Rows = []
    if status.submitted_at is not None:
        rows.append(("submitted", _when(status.submitted_at, look.now)))
    for number, attempt in enumerate(status.attempts, 1):
        name = "attempt" if len(status.attempts) == 1 else f"attempt {number}"
        is_last = number == len(status.attempts)
        rows.append((name, _attempt(attempt, look, is_running=is_last and status.state == RUNNING)))
    seconds = elapsed(view, look.now)
    if seconds is not None and len(status.attempts) != 1:
        rows.append(("elapsed", age(seconds)))
    hours = gpu_hours(status.attempts, status.gpus)
    if hours:
        rows.append(("GPU-hours", short(hours)))
    return rows


def _when(time: str, now: float) -> str:
    """`2026-11-30 14:05, 3h12m ago`."""
    at = seconds_of(time)
    return clock(time) + (f", {age(now - at)} ago" if at is not None else "")


def _attempt(attempt: Attempt, look: TableLook, *, is_running: bool) -> str:
    """When an attempt began and ended, and how."""
    began = clock(attempt.started_at)
    if is_running:
        since = seconds_of(attempt.started_at)
        parts = [f"{began} until now", age(look.now - since) if since is not None else ""]
    else:
        end = attempt.ended_at or attempt.last_sign_at
        seconds = attempt_seconds(attempt)
        how = attempt.state or "killed"
        parts = [f"{began} to {moment(seconds_of(end), look.now)}"]
        parts += [age(seconds) if seconds is not None else "", how]
    parts += [f"on {attempt.node}" if attempt.node else "", attempt.reason or ""]
    return one_line(", ".join(part for part in parts if part))


def _training(view: RunView, look: TableLook) -> Rows:
    """How far the training is, and how it goes."""
    status, course = view.status, view.overview
    rows: Rows = []
    phase = phase_words(view, look.now) or (
        f"training, last step {age(look.now - (seconds_of(status.last_step_at) or look.now))} ago"
        if status.phase == "training"
        else ""
    )
    if phase:
        rows.append(("now", phase))
    if status.step is not None:
        done = share(view)
        shown = f"  {bar(done, _BAR, ascii_only=look.ascii_only)} {done:.0%}" if done else ""
        rows.append(("step", f"{status.step}/{status.max_steps or '?'}{shown}"))
    if course is None:
        return rows
    if course.seconds_per_step is not None:
        rows.append(("speed", _speed(view, course.seconds_per_step)))
    end = end_of(view)
    if course.seconds_left is not None and end is not None:
        about = "about " if course.is_rough else ""
        left = f"{about}{time_left(course.seconds_left)} left"
        rows.append(("end", f"{left}, ends {end_date(end, look.now)}"))
    return rows + _curves(view, look) + _metrics(view)


def _speed(view: RunView, pace: float) -> str:
    most = view.status.max_steps
    whole = f", all {most:,} steps take {in_words(most * pace)}" if most else ""
    return f"{short(pace)} s/it{whole}"


def _curves(view: RunView, look: TableLook) -> Rows:
    """The reward and each reward function, with their curves from the first step to the last."""
    table = view.metrics.training
    rows: Rows = []
    names = ["reward", *(name for name in table.names() if name.startswith(REWARD_OF))]
    for name in names[: _FUNCTIONS + 1]:
        values = [value for _, value in table.points(name)]
        if not values:
            continue
        curve = sparkline(values, _CURVE, ascii_only=look.ascii_only)
        shown = f"{short(mean(values[-10:]) or 0.0):<8}{curve}"
        if name == "reward" and view.overview is not None:
            rows.append(("reward", f"{shown}  {view.overview.trend}".rstrip()))
        else:
            rows.append(("", f"{shown}  {one_line(name.removeprefix(REWARD_OF))}"))
    return rows


def _metrics(view: RunView) -> Rows:
    """KL, loss, length and memory."""
    found = view.status.metrics
    if found is None:
        return []
    rows: Rows = []
    parts = [
        f"{word} {short(value)}"
        for word, value in (
            ("kl", found.kl),
            ("loss", found.loss),
            ("reward_std", found.reward_std),
            ("learning_rate", found.learning_rate),
        )
        if value is not None
    ]
    if parts:
        rows.append(("metrics", "  ".join(parts)))
    if found.completion_length is not None:
        cut = found.clipped_share
        shown = f"{short(found.completion_length)} tokens" + (
            f", {cut:.0%} of the completions cut" if cut is not None else ""
        )
        rows.append(("length", shown))
    if found.memory_gib is not None:
        rows.append(("memory", f"{short(found.memory_gib)} GiB at most on a GPU"))
    return rows


def _texts(view: RunView) -> Rows:
    """What the user says of the run."""
    rows: Rows = []
    if view.status.tags:
        rows.append(("tags", ", ".join(view.status.tags)))
    if view.status.note:
        rows.append(("note", view.status.note))
    return rows


def _remarks(view: RunView) -> list[str]:
    """What is odd, and what is not healthy, with the range, its source and what to do."""
    told = []
    if view.overview is not None and view.overview.silence is not None:
        told.append(view.overview.silence)
    for hint in view.status.hints:
        told.append(
            f"hint: {hint.text}. Healthy: {hint.healthy} ({hint.source}). What to do: {hint.advice}"
        )
    return [one_line(text) for text in told]


def _log(view: RunView, width: int) -> list[TableLine]:
    """The last lines of the log of a run that has failed, and where all of it is."""
    status = view.status
    if status.state not in FINISHED or status.state == SUCCEEDED:
        return []
    found = failure_log(view.run.path, _LOG_LINES)
    if found is None:
        return [TableLine("  no log was written")]
    from rich.cells import chop_cells

    whose = f"node {found.node}" + (f", rank {found.rank}" if found.rank is not None else "")
    lines = [TableLine(f"  the log of {whose}{', which failed first' if found.is_first else ''}:")]
    if not found.lines:
        lines = [TableLine(f"  the log of {whose} has only lines of launch.sh")]
    for text in found.lines:
        lines += [TableLine(f"    {part}") for part in chop_cells(text, max(width - 4, 20))]
    command = f"prl-submit logs {typed(view.run)}"
    if found.has_several_nodes:
        command += f" --node {found.node}"
    return [
        *lines,
        TableLine(f"  all of it: {command}"),
        TableLine(f"             {one_line(str(found.path))}"),
    ]
