"""templates/platforms.txt: by which variables platforms tell a node its place. launch.lib.sh has the same table."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from prl_submit.errors import PrlSubmitError
from prl_submit.launch.render import PLATFORMS, read_template, rows_of_table, template_path

#: The columns between the row's name and its last one, in order.
COLUMNS = ("nodes", "node_rank", "master_addr", "master_port", "nproc_per_node", "job")
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*(\[0\])?"
_CELL = re.compile(rf"-|{_VARIABLE}(\|{_VARIABLE})*")


class PlatformRow(NamedTuple):
    """A row of the table. `cells`: the variables of each of COLUMNS, the preferred one first.

    A variable that ends with `[0]` is a list whose first word counts. `not_with`: variables that must not be set.
    """

    name: str
    cells: tuple[tuple[str, ...], ...]
    not_with: tuple[str, ...]


@cache
def platform_rows() -> tuple[PlatformRow, ...]:
    """The rows of the table, the preferred one first. Raises PrlSubmitError if the table is damaged."""
    path = template_path(PLATFORMS, None)
    try:
        text = read_template(path)
    except (OSError, UnicodeDecodeError) as error:
        raise PrlSubmitError(f"{path}: cannot be read: {error}") from None
    return tuple(map(_row, rows_of_table(text)))


def _row(line: str) -> PlatformRow:
    name, *cells = line.split()
    if len(cells) != len(COLUMNS) + 1 or not all(map(_CELL.fullmatch, cells)):
        raise PrlSubmitError(f"{PLATFORMS}: is no row of the table: {line!r}")
    *read, not_with = map(_variables, cells)
    return PlatformRow(name, tuple(read), not_with)


def _variables(cell: str) -> tuple[str, ...]:
    return () if cell == "-" else tuple(cell.split("|"))
