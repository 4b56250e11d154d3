"""Printing: data to stdout as UTF-8 bytes, everything else to stderr; colour on terminals only."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NoReturn, TextIO

import click
import msgspec

from prl_submit.errors import OutputError

_COLOURS = {
    "SUCCEEDED": "green",
    "RUNNING": "cyan",
    "QUEUED": "yellow",
    "FAILED": "red",
    "LOST": "red",
    "TIMEOUT": "red",
    "CANCELLED": "magenta",
}


def data(text: str) -> None:
    """A line of data."""
    raw(f"{text}\n".encode("utf-8", "surrogateescape"))


def raw(content: bytes) -> None:
    """Bytes of data, seen at once; nowhere, where stdout was closed (`>&-`).

    A pipe or a file gets them as they are, a terminal without sequences that it would obey.
    Raises OutputError where stdout takes no more, as a file on a full disk.
    """
    if sys.stdout is None:
        return
    if is_terminal():
        content = _filter()(content)
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        reader_gone()
    except OSError as error:
        give_up(sys.stdout)
        raise OutputError(f"stdout cannot be written: {error.strerror}") from None


@cache
def _filter() -> Callable[[bytes], bytes]:
    from prl_submit.system.untrusted_text import Filter

    return Filter()


def give_up(stream: TextIO) -> None:
    """What is still in the buffer goes nowhere, so that Python does not complain of it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def reader_gone() -> NoReturn:
    """The reader went away (`| head`): end as SIGPIPE would have it.

    click would exit with 1, which here means a failed job, and Python complain once more at exit.
    """
    give_up(sys.stdout)
    sys.exit(128 + 13)


def document(value: Any) -> None:
    """The one JSON document of `--json`."""
    from prl_submit.system.untrusted_text import in_json

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8")
    raw(in_json(text).encode("utf-8") + b"\n")


def note(text: str) -> None:
    """Lines for the person, not for the pipe. A stderr that cannot be written stops nothing."""
    from prl_submit.system.untrusted_text import words

    text = words(text)
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def is_terminal() -> bool:
    """Whether stdout is a terminal; it may also be closed, and then it is None."""
    return sys.stdout is not None and sys.stdout.isatty()


def has_colour() -> bool:
    """Whether stdout is a terminal that wants colour."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def state(text: str) -> str:
    """A state word in its colour, where there is colour."""
    return click.style(text, fg=_COLOURS.get(text)) if has_colour() else text


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; wide characters count as wide. Cut to a terminal's width, never in a pipe."""
    from rich.cells import cell_len, set_cell_size

    lines = [list(map(_one_line, row)) for row in [header, *rows]]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(header))]
    width = os.get_terminal_size().columns if is_terminal() else 0
    out = []
    for line in lines:
        cells = [
            cell + " " * (size - cell_len(cell)) for cell, size in zip(line, widths, strict=True)
        ]
        text = "  ".join(cells).rstrip()
        if width and cell_len(text) > width:
            text = set_cell_size(text, width - 1) + "…"
        out.append(text)
    return "\n".join(_coloured(text) for text in out)


def _one_line(cell: str) -> str:
    return "".join(char if char.isprintable() else " " for char in cell)


def _coloured(line: str) -> str:
    if not has_colour():
        return line
    for word in _COLOURS:
        if f" {word} " in f"{line} ":
            return line.replace(word, state(word), 1)
    return line
