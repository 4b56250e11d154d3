"""Printing: results go to stdout as UTF-8, all other lines to stderr; colour on terminals only."""

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


#: Before a line that goes on with the cell of the row above.
_INDENT = "    "


def data(text: str) -> None:
    """Print a line of the result on stdout."""
    raw(f"{text}\n".encode("utf-8", "surrogateescape"))


def raw(content: bytes) -> None:
    """Print bytes of the result on stdout, without delay. Does nothing if stdout is closed (`>&-`).

    A pipe or a file gets the bytes as they are. For a terminal, control sequences are taken out first.
    Raises OutputError if stdout takes no more, for example a file on a full disk.
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
    """Takes control sequences out of bytes. There is one, because a sequence may come in two pieces."""
    from prl_submit.system.untrusted_text import Filter

    return Filter()


def give_up(stream: TextIO) -> None:
    """Send what is left in the buffer to /dev/null, so that Python does not fail on it at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def reader_gone() -> NoReturn:
    """End the process because nobody reads stdout any more (`| head`), with SIGPIPE's exit code.

    click would exit with 1, which means a failed job here.
    """
    give_up(sys.stdout)
    sys.exit(128 + 13)


def document(value: Any) -> None:
    """Print the JSON document of `--json` on stdout."""
    from prl_submit.system.untrusted_text import in_json

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8")
    raw(in_json(text).encode("utf-8") + b"\n")


def note(text: str) -> None:
    """Print lines for the user on stderr. If that fails, the command goes on."""
    from prl_submit.system.untrusted_text import words

    text = words(text)
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def is_terminal() -> bool:
    """True if stdout is a terminal. Python sets it to None where it is closed."""
    return sys.stdout is not None and sys.stdout.isatty()


def has_colour() -> bool:
    """True if stdout is a terminal, and neither NO_COLOR nor TERM forbids colour."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_ascii_only() -> bool:
    """True if the locale has no characters but those of ASCII. For LANG=C Python itself sets LC_CTYPE to C.UTF-8."""
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return not locale.upper().replace("-", "").endswith("UTF8")


def state(text: str) -> str:
    """The state's word in its colour, where there is colour."""
    return click.style(text, fg=_COLOURS.get(text)) if has_colour() else text


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, wrap: int = 0) -> str:
    """Aligned columns; a wide character counts as two.

    On a terminal a line that is too long is cut, but not its last `wrap` cells: they stand in indented
    lines below it. In a pipe or a file lines have any length.
    """
    from rich.cells import cell_len

    lines = [[_one_line(cell) for cell in row] for row in [header, *rows]]
    sizes = [max(cell_len(line[i]) for line in lines) for i in range(len(header))]
    width = os.get_terminal_size().columns if is_terminal() else 0
    texts: list[str] = []
    for number, line in enumerate(lines):
        text = _aligned(line, sizes)
        if not width or cell_len(text) <= width:
            texts.append(text)
        elif wrap > 1 or (wrap and number > 0):
            texts += _folded(line, sizes, wrap, width)
        else:
            texts.append(_cut(text, width))
    return "\n".join(_coloured(text) for text in texts)


def _folded(line: Sequence[str], sizes: Sequence[int], wrap: int, width: int) -> list[str]:
    """The lines of a row that is too long: its first cells, and indented below them its last `wrap` cells.

    With several such cells, those before the last `wrap` are not cut either: one that does not fit
    beside the first cell stands below it.
    """
    from rich.cells import cell_len

    kept = len(line) - wrap
    while wrap > 1 and kept > 1 and cell_len(_aligned(line[:kept], sizes)) > width:
        kept -= 1
    texts = [_cut(_aligned(line[:kept], sizes), width)]
    for cell in line[kept:-wrap]:
        texts += wrapped(cell, width)
    return texts + wrapped(" ".join(line[-wrap:]), width)


def _aligned(cells: Sequence[str], sizes: Sequence[int]) -> str:
    """The cells side by side, each filled up with spaces to the size of its column."""
    from rich.cells import cell_len

    filled = [
        cell + " " * (size - cell_len(cell)) for cell, size in zip(cells, sizes, strict=False)
    ]
    return "  ".join(filled).rstrip()


def _cut(text: str, width: int) -> str:
    """The text, cut to the width of the terminal where it is longer."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def wrapped(text: str, width: int) -> list[str]:
    """The text in indented lines that fit the terminal, broken between words where that can be."""
    from rich.cells import cell_len, chop_cells

    room = max(width - len(_INDENT), 1)
    lines = [""]
    for word in text.split():
        for piece in chop_cells(word, room):
            longer = f"{lines[-1]} {piece}".lstrip()
            if cell_len(longer) <= room:
                lines[-1] = longer
            else:
                lines.append(piece)
    return [_INDENT + line for line in lines if line]


def _one_line(cell: str) -> str:
    """The cell with a space for each character that would break the line or steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in cell)


def _coloured(line: str) -> str:
    """The line with its first state word in colour, where there is colour."""
    if not has_colour():
        return line
    for word in _COLOURS:
        if f" {word} " in f"{line} ":
            return line.replace(word, state(word), 1)
    return line
