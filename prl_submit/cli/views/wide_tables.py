"""Tables that may be wider than the terminal: long headings in several lines, and columns in several parts."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prl_submit.cli.console import is_terminal, table

#: Headings of tables that do not fit are broken into lines of so many characters.
_WIDEST = 12
_GAP = 2

Rows = Sequence[Sequence[str]]


def terminal_width() -> int:
    """The width of the terminal; 0 for a pipe or a file, whose lines have any length."""
    return os.get_terminal_size().columns if is_terminal() else 0


def stacked(names: Sequence[str]) -> list[list[str]]:
    """The lines of a header, in which long names are broken after `_` and between words."""
    stacks = [_lines(name) for name in names]
    height = max(map(len, stacks))
    return [
        list(line) for line in zip(*([""] * (height - len(s)) + s for s in stacks), strict=True)
    ]


def _lines(name: str) -> list[str]:
    lines = [""]
    for part in name.replace("_", "_\0").replace(" ", " \0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > _WIDEST:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def header_that_fits(names: Sequence[str], rows: Rows, width: int) -> list[list[str]]:
    """The header in one line, or in several if the table would be wider than the terminal otherwise."""
    whole = sum(_sizes([list(names), *rows])) + _GAP * (len(names) - 1)
    return stacked(names) if width and whole > width else [list(names)]


def in_parts(names: Sequence[str], rows: Rows) -> str:
    """The table. What is too wide for the terminal stands in parts below each other, each with the first column."""
    width = terminal_width()
    header = header_that_fits(names, rows, width)
    parts = _parts(_sizes([*header, *rows]), width)
    return "\n\n".join(_part([*header, *rows], columns, len(header)) for columns in parts)


def _part(lines: Rows, columns: Sequence[int], height: int) -> str:
    """A part of a table. A cell that does not fit even beside the first column alone stands below it."""
    chosen = [[line[column] for column in columns] for line in lines]
    above = next((at for at in range(height) if any(chosen[at])), height - 1)
    return table(chosen[above], chosen[above + 1 :], wrap=1 if len(columns) == 2 else 0)


def _sizes(lines: Rows) -> list[int]:
    """The width of each column."""
    from rich.cells import cell_len

    return [max(map(cell_len, column)) for column in zip(*lines, strict=True)]


def _parts(sizes: Sequence[int], width: int) -> list[list[int]]:
    """The columns of each part: the first one, and as many others as fit."""
    parts = [[0]]
    used = sizes[0]
    for column in range(1, len(sizes)):
        if width and used + _GAP + sizes[column] > width and len(parts[-1]) > 1:
            parts.append([0])
            used = sizes[0]
        parts[-1].append(column)
        used += _GAP + sizes[column]
    return parts
