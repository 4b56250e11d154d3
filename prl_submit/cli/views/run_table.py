"""The table of runs on a terminal: what fits into its width stands in columns, the rest in lines below."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from prl_submit.cli.console import wrapped
from prl_submit.cli.views.run_columns import (
    COLUMNS,
    UNKNOWN,
    Column,
    TableLook,
    age_of,
    elapsed,
    end_of,
    job_of,
    moment,
    setting_text,
    share,
)
from prl_submit.results.health import Hint
from prl_submit.results.overview import Overview
from prl_submit.results.overview_text import end_date
from prl_submit.results.run_status import RunView
from prl_submit.results.sparkline import sparkline
from prl_submit.results.time_words import short, time_left
from prl_submit.runs.states import FINISHED, QUEUED, RUNNING
from prl_submit.runs.times import age, seconds_of
from prl_submit.system.untrusted_text import one_line

#: The order of the columns from left to right.
_PLACES = [
    "run",
    "name",
    "state",
    "step",
    "progress",
    "reward",
    "trend",
    "speed",
    "left",
    "end",
    "age",
    "gpus",
    "elapsed",
    "memory",
    "job",
    "differs",
]
#: The columns of `status`, and of `list`, the most important one first.
STATUS = [
    "run",
    "state",
    "step",
    "name",
    "end",
    "reward",
    "trend",
    "progress",
    "left",
    "speed",
    "age",
    "elapsed",
    "gpus",
    "memory",
    "job",
]
LIST = [
    "run",
    "state",
    "step",
    "name",
    "end",
    "elapsed",
    "reward",
    "trend",
    "differs",
    "gpus",
    "memory",
    "job",
]
#: Columns that yield to whole names.
_YIELDING = frozenset(("age", "differs", "gpus", "memory", "job"))
#: So many characters of a name are always shown, by the width of the terminal; more if there is room.
_NAME_SIZES = ((100, 10), (140, 24))
_LONGEST_NAME = 40
#: So many hints of a run stand below it; the others are on its own page.
_HINTS = 3
#: Between two columns, and between two parts of a line below a row.
_GAP = "  "
#: How the styles of lines are called.
HEAD, ROW, DETAIL, REASON, HINT = "head", "row", "detail", "reason", "hint"


class TableLine(Struct, frozen=True):
    """A line of the table. `style`: what kind of line it is, for its colour."""

    text: str
    style: str = DETAIL


class RunBlock(Struct, frozen=True):
    """A run in the table: its row, and the lines below it."""

    view: RunView
    row: TableLine
    below: list[TableLine]

    def lines(self) -> list[TableLine]:
        """All lines of the run."""
        return [self.row, *self.below]


class RunTable(Struct, frozen=True):
    """A table that fits the width of a terminal."""

    header: TableLine
    blocks: list[RunBlock]

    def lines(self) -> list[TableLine]:
        """All lines of the table."""
        return [self.header, *(line for block in self.blocks for line in block.lines())]


def lay_out(
    views: Sequence[RunView], look: TableLook, width: int, order: Sequence[str]
) -> RunTable:
    """The table of runs. `order`: the columns, the most important one first."""
    texts = {name: _texts(name, views, look) for name in order}
    chosen = _shorten_names(texts, order, look, width)
    places = [name for name in _PLACES if name in chosen]
    lines = _aligned([texts[name] for name in places])
    with_details = order is STATUS
    blocks = [
        RunBlock(
            view, TableLine(line, ROW), _below(view, look, width, chosen, with_details=with_details)
        )
        for view, line in zip(views, lines[1:], strict=True)
    ]
    return RunTable(TableLine(lines[0], HEAD), blocks)


def lay_out_chosen(
    views: Sequence[RunView], look: TableLook, width: int, columns: Sequence[Column]
) -> list[TableLine]:
    """The lines of a table with these columns. A column that does not fit stands in lines below each row."""
    texts = [[column.header, *(column.text(view, look) for view in views)] for column in columns]
    beside: list[int] = []
    room = width + len(_GAP)
    for at, column in enumerate(texts):
        size = max(map(cells, column)) + len(_GAP)
        if size <= room or not at:
            beside.append(at)
            room -= size
    header, *rows = _aligned([texts[at] for at in beside])
    lines = [TableLine(header, HEAD)]
    for number, row in enumerate(rows, 1):
        lines.append(TableLine(row, ROW))
        for at in range(len(columns)):
            if at not in beside and texts[at][number] not in ("", UNKNOWN):
                told = f"{columns[at].header.lower()}: {texts[at][number]}"
                lines += [TableLine(text) for text in wrapped(told, width)]
    return lines


def _texts(name: str, views: Sequence[RunView], look: TableLook) -> list[str]:
    """The cells of a column, its header first."""
    column = COLUMNS[name]
    return [column.header, *(column.text(view, look) for view in views)]


def _shorten_names(
    texts: dict[str, list[str]], order: Sequence[str], look: TableLook, width: int
) -> set[str]:
    """Shorten the names only as far as other columns need the room; the columns that fit."""
    header, *names = texts["name"]
    dots = "~" if look.ascii_only else "…"

    def columns_with(most: int) -> set[str]:
        """The columns that fit beside names of at most so many characters."""
        texts["name"] = [header, *(_shortened(name, most, dots) for name in names)]
        return _that_fit(order, texts, width)

    least = next((size for under, size in _NAME_SIZES if width < under), _LONGEST_NAME)
    wanted = columns_with(least) - _YIELDING
    for most in range(_LONGEST_NAME, least, -4):
        chosen = columns_with(most)
        if chosen >= wanted:
            return chosen
    return columns_with(least)


def _shortened(name: str, most: int, dots: str) -> str:
    """A name without its middle, because names of one sweep differ at their ends."""
    from rich.cells import cell_len, chop_cells, set_cell_size

    if cell_len(name) <= most:
        return name
    room = most - 1
    end = chop_cells(name[::-1], room // 2)[0][::-1]
    return f"{set_cell_size(name, room - cell_len(end)).rstrip()}{dots}{end}"


def _that_fit(order: Sequence[str], texts: dict[str, list[str]], width: int) -> set[str]:
    """The first columns that fit side by side. A column in which no run has a value is left out."""
    chosen: set[str] = set()
    room = width + len(_GAP)
    for name in order:
        if all(cell in ("", UNKNOWN) for cell in texts[name][1:]):
            continue
        room -= max(map(cells, texts[name])) + len(_GAP)
        if room < 0 and chosen:
            break
        chosen.add(name)
    return chosen


def cells(text: str) -> int:
    """The width of a text on a terminal, where a Chinese character is two columns wide."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _aligned(columns: Sequence[Sequence[str]]) -> list[str]:
    """The lines of columns that stand side by side."""
    sizes = [max(map(cells, column)) for column in columns]
    return [
        _GAP.join(
            cell + " " * (size - cells(cell)) for cell, size in zip(row, sizes, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]


def _below(
    view: RunView, look: TableLook, width: int, chosen: set[str], *, with_details: bool
) -> list[TableLine]:
    """The lines below a run's row: what did not fit, why it waits or ended, what is odd."""
    lines = []
    if with_details:
        lines += [TableLine(text) for text in joined(_details(view, look, chosen), width)]
    elif "differs" not in chosen and (differs := look.differs.get(view.status.path)):
        lines += [TableLine(text) for text in wrapped(differs, width)]
    if view.status.reason and not (with_details and view.status.state == RUNNING):
        lines += [TableLine(text, REASON) for text in wrapped(one_line(view.status.reason), width)]
    if with_details:
        lines += _remarks(view, width)
    return lines


def joined(parts: Sequence[str], width: int, indent: str = "    ") -> list[str]:
    """The parts in lines that fit, which are broken between two parts only, if that can be."""
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}{_GAP}{part}" if lines else ""
        if lines and cells(longer) <= width:
            lines[-1] = longer
        elif cells(indent + part) <= width:
            lines.append(indent + part)
        else:
            lines += wrapped(part, width)
    return lines


def _details(view: RunView, look: TableLook, chosen: set[str]) -> list[str]:
    """What is known of a run and stands in no column."""
    course = view.overview
    parts = [_swept(view), phase_words(view, look.now)]
    if course is not None:
        parts += _way(view, course, look, chosen)
        parts += _course(course, look, chosen)
    parts += _spans(view, look, chosen)
    if course is not None and course.peak_memory_gib is not None and "memory" not in chosen:
        parts.append(f"{short(course.peak_memory_gib)} GiB")
    return [part for part in [*parts, *_job(view, chosen)] if part]


def _swept(view: RunView) -> str:
    """The values that this run has and others of its sweep have not: `learning_rate 1e-5, beta 0.1`."""
    values = view.status.sweep.values if view.status.sweep is not None else {}
    return ", ".join(
        f"{one_line(key.removeprefix('swift.'))} {setting_text(key, value)}"
        for key, value in values.items()
    )


def _spans(view: RunView, look: TableLook, chosen: set[str]) -> list[str]:
    """When the last step was, how long the run took, and its GPUs."""
    parts = []
    age_s = age_of(view, look.now)
    if age_s is not None and "age" not in chosen:
        parts.append(f"last step {age(age_s)} ago")
    seconds = elapsed(view, look.now)
    if seconds is not None and "elapsed" not in chosen:
        verb = "took" if view.status.state in FINISHED else "running"
        parts.append(f"{verb} {age(seconds)}")
    if view.status.gpus and "gpus" not in chosen:
        parts.append(many(view.status.gpus, "GPU"))
    return parts


def _job(view: RunView, chosen: set[str]) -> list[str]:
    """What is known of the job."""
    status = view.status
    parts = [many(status.restarts, "restart")] if status.restarts else []
    if status.tags:
        parts.append(f"tags {', '.join(status.tags)}")
    if "job" not in chosen and status.state not in FINISHED and status.job_id:
        parts.append(job_of(view))
    if status.state == RUNNING and status.reason:
        parts.append(one_line(status.reason))
    return parts


def many(count: object, one: str, more: str = "") -> str:
    """`1 GPU`, `4 GPUs`."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def phase_words(view: RunView, now: float) -> str:
    """`loading the model and the data for 3m`; nothing while steps are trained, or if the job has ended."""
    status = view.status
    if status.phase is None or status.phase == "training":
        return ""
    what = "queued" if status.state == QUEUED else status.phase
    since = seconds_of(status.phase_since)
    return what + (f" for {age(now - since)}" if since is not None else "")


def _way(view: RunView, course: Overview, look: TableLook, chosen: set[str]) -> list[str]:
    """How far the training is, and when it ends."""
    parts = []
    done = share(view)
    if done is not None and "progress" not in chosen and view.status.state == RUNNING:
        parts.append(f"{done:.0%}")
    if course.seconds_per_step is not None and "speed" not in chosen:
        parts.append(f"{short(course.seconds_per_step)} s/it")
    about = "about " if course.is_rough else ""
    if course.seconds_left is not None and "left" not in chosen:
        parts.append(f"{about}{time_left(course.seconds_left)} left")
    end = end_of(view)
    if end is not None and "end" not in chosen:
        ended = view.status.state in FINISHED
        parts.append(
            f"ended {moment(end, look.now)}" if ended else f"ends {end_date(end, look.now)}"
        )
    return parts


def _course(course: Overview, look: TableLook, chosen: set[str]) -> list[str]:
    """How the training goes."""
    parts = []
    if course.reward is not None:
        shown = [
            "reward",
            short(course.reward) if "reward" not in chosen else "",
            sparkline(course.rewards, 8, ascii_only=look.ascii_only)
            if "trend" not in chosen
            else "",
            course.trend,
        ]
        parts.append(" ".join(word for word in shown if word))
    if course.kl is not None:
        parts.append(f"kl {course.kl:.2g}")
    if course.completion_length is not None:
        parts.append(f"len {short(course.completion_length)}")
    return [part for part in parts if part != "reward"]


def _remarks(view: RunView, width: int) -> list[TableLine]:
    """What is odd, what is not healthy, and the user's note."""
    lines = []
    if view.overview is not None and view.overview.silence is not None:
        lines += [TableLine(text, HINT) for text in wrapped(view.overview.silence, width)]
    hints = view.status.hints if view.status.state == RUNNING else []
    for hint in hints[:_HINTS]:
        lines += [TableLine(text, HINT) for text in wrapped(hint_words(hint), width)]
    if len(hints) > _HINTS:
        more = f"{len(hints) - _HINTS} more hints: prl-submit status {one_line(view.status.run)}"
        lines += [TableLine(text, HINT) for text in wrapped(more, width)]
    if view.status.note:
        lines += [TableLine(text) for text in wrapped(f"note: {view.status.note}", width)]
    return lines


def hint_words(hint: Hint) -> str:
    """A hint with its range."""
    return one_line(f"hint: {hint.text}; healthy: {hint.healthy}")
