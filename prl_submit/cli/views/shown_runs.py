"""Runs with their trainings, and how they are printed."""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import click
from msgspec import Struct

from prl_submit.backends.asking import states_of
from prl_submit.cli.console import data, has_colour, is_ascii_only, is_terminal, note, state, table
from prl_submit.cli.run_lines import step_words
from prl_submit.cli.views.run_columns import COLUMNS, Column, TableLook
from prl_submit.cli.views.run_table import HEAD, HINT, ROW, TableLine, lay_out, lay_out_chosen
from prl_submit.errors import EXIT_UNREACHABLE
from prl_submit.results.metrics_reader import RECENT_BYTES
from prl_submit.results.run_status import RunView, TrainingReader
from prl_submit.runs.directory import Run
from prl_submit.runs.states import FINISHED, Status, status_of

#: What a table in a pipe has. New columns are added at its end, because scripts count from the left.
_PLAIN = ("RUN", "NAME", "BACKEND", "JOB", "STATE", "STEP", "RESTARTS", "REASON")
#: Of more runs than this only the last steps are read that the mean of the reward and the hints need.
_MANY, _FEWER_BYTES = 100, 12_288
_ADDED = ("reward", "speed", "left", "end", "hints")


class ShownRuns(Struct, frozen=True):
    """The runs that are shown. `silences`: why backends gave no answer."""

    views: list[RunView]
    silences: list[str]

    def say_silences(self) -> int:
        """Say which backends gave no answer; the exit code: 4 if there is one, else 0."""
        for silence in self.silences:
            note(f"error: {silence}")
        return EXIT_UNREACHABLE if self.silences else 0


def ask(
    runs: Sequence[Run], *, ended: bool = True, whole: bool = False, with_hints: bool = True
) -> ShownRuns:
    """Ask the backends about the runs, and read the trainings.

    `ended`: also those that have ended. `whole`: read all steps. `with_hints`: look for what is unhealthy.
    """
    states = states_of(runs)
    pairs = list(zip(runs, states, strict=True))
    shown = [pair for pair in pairs if ended or pair[1].state not in FINISHED]
    size = RECENT_BYTES if len(shown) <= _MANY else _FEWER_BYTES
    now = time.time()
    gc.disable()  # because it takes a tenth of the time of 1000 runs, and frees nothing
    try:
        views = []
        for run, found in shown:
            reader = TrainingReader(run, whole=whole, with_hints=with_hints, recent_bytes=size)
            status = status_of(run, found, reader.progress())
            views.append(reader.look(run, status, now))
    finally:
        gc.enable()
    silences = dict.fromkeys(found.unreachable for found in states if found.unreachable)
    return ShownRuns(views, list(silences))


def detailed(runs: Sequence[Run], statuses: Sequence[Status]) -> list[Status]:
    """The statuses with what is known of the trainings, as `--json` prints them."""
    now = time.time()
    return [
        TrainingReader(run).look(run, status, now).status
        for run, status in zip(runs, statuses, strict=True)
    ]


def make_look(views: Sequence[RunView], differs: Mapping[str, str] | None = None) -> TableLook:
    """How tables of these runs are drawn on this terminal or into this pipe."""
    numbers = Counter(view.run.number for view in views)
    return TableLook(
        now=time.time(),
        ascii_only=is_ascii_only(),
        short_names=is_terminal(),
        twice=frozenset(number for number, count in numbers.items() if count > 1),
        differs=differs or {},
    )


def print_table(views: Sequence[RunView], look: TableLook, order: Sequence[str]) -> None:
    """Print the table: on a terminal as wide as the terminal, elsewhere one row for each run."""
    if is_terminal():
        width = os.get_terminal_size().columns or 80
        for line in lay_out(views, look, width, order).lines():
            data(styled(line))
    else:
        data(plain_table(views, look, with_differences=bool(look.differs)))


def print_columns(views: Sequence[RunView], look: TableLook, columns: Sequence[Column]) -> None:
    """Print a table with the columns that the user chose."""
    if is_terminal():
        width = os.get_terminal_size().columns or 80
        for line in lay_out_chosen(views, look, width, columns):
            data(styled(line))
    else:
        rows = [[column.text(view, look) for column in columns] for view in views]
        data(table([column.header for column in columns], rows))


def plain_table(
    views: Sequence[RunView], look: TableLook, *, with_differences: bool = False
) -> str:
    """The table for pipes and files: one row for each run, whose first columns never change."""
    names = (*_ADDED, "differs") if with_differences else _ADDED
    added = [COLUMNS[name] for name in names]
    rows = [
        [*_plain_row(view.status), *(column.text(view, look) for column in added)] for view in views
    ]
    return table([*_PLAIN, *(column.header for column in added)], rows)


def _plain_row(status: Status) -> list[str]:
    return [
        status.run,
        status.name or "?",
        status.backend or "?",
        status.job_id or "-",
        status.state,
        step_words(status),
        str(status.restarts),
        status.reason or "",
    ]


def styled(line: TableLine) -> str:
    """The line in its colours, where there is colour."""
    if not has_colour():
        return line.text
    if line.style == ROW:
        return _with_coloured_state(line.text)
    if line.style == HEAD:
        return click.style(line.text, bold=True)
    return click.style(line.text, fg="yellow") if line.style == HINT else line.text


def _with_coloured_state(row: str) -> str:
    """The row with its state in colour. A name is in lower case, so the first such word is the state."""
    for word in (*FINISHED, "RUNNING", "QUEUED"):
        if f" {word} " in f"{row} ":
            return row.replace(word, state(word), 1)
    return row
