"""Columns of metrics by step, in bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import isfinite, nan
from operator import add

from prl_submit.results.step_lines import Values

#: So many rows are kept at least, if so many were added.
ROWS = 16_384
#: So many columns at most. ms-swift writes about 30, and two for each reward function.
_MOST_COLUMNS = 256

#: So many rows are moved into the columns at a time, because that is faster than one by one.
_BLOCK = 512
#: A step and its metrics.
StepValues = tuple[int, Values]


class StepTable:
    """Rows of metrics, one for each logged step. Where there are too many, neighbours become one row.

    Such a row has the means of its rows and the last of their steps. `stride` says how many logged rows
    are one row now. A value that is missing or not finite is NaN.
    """

    def __init__(self, rows: int = ROWS, block: int = _BLOCK) -> None:
        """`rows`: so many are kept at least. `block`: so many are moved into the columns at a time."""
        self.stride = 1
        self._limit = max(rows, 2)
        self._block = block
        self._steps = array("q")
        self._columns: dict[str, array[float]] = {}
        #: The last logged rows, which are not in the columns yet.
        self._open: list[StepValues] = []

    def __len__(self) -> int:
        return len(self._steps) + -(-len(self._open) // self.stride)

    @property
    def last_step(self) -> int | None:
        """The step of the last row."""
        if self._open:
            return self._open[-1][0]
        return self._steps[-1] if self._steps else None

    def append(self, step: int, values: Values) -> None:
        """Add the row of a step."""
        if len(self._open) >= self._block and len(self._open) % self.stride == 0:
            self._close()
        self._open.append((step, values))

    def amend(self, values: Values) -> None:
        """Replace the last row's values."""
        if self._open:
            self._open[-1] = (self._open[-1][0], values)

    def cut(self, step: int) -> None:
        """Remove the rows of this step and of later steps, because a restarted training repeats them."""
        self._open = [row for row in self._open if row[0] < step]
        count = len(self._steps)
        while count and self._steps[count - 1] >= step:
            count -= 1
        if count < len(self._steps):
            del self._steps[count:]
            for column in self._columns.values():
                del column[count:]

    def names(self) -> list[str]:
        """The names of all columns, in the order in which they were met."""
        added = (name for _, values in self._open for name in values.names)
        return list(dict.fromkeys([*self._columns, *added]))

    def steps(self) -> list[int]:
        """The step of each row."""
        return [*self._steps, *_last_steps(self._open, self.stride)]

    def column(self, name: str) -> list[float]:
        """The values of a metric, one for each row; NaN where the row has none."""
        kept = self._columns.get(name)
        closed = [nan] * len(self._steps) if kept is None else list(kept)
        found = [values.get(name) for _, values in self._open]
        return [*closed, *_means([nan if value is None else value for value in found], self.stride)]

    def points(self, name: str) -> list[tuple[int, float]]:
        """The steps and values of a metric, without the rows that have none."""
        pairs = zip(self.steps(), self.column(name), strict=True)
        return [(step, value) for step, value in pairs if isfinite(value)]

    def _close(self) -> None:
        """Move the open rows into the columns."""
        count = len(self._steps)
        added = _last_steps(self._open, self.stride)
        self._steps.extend(added)
        for name, values in _transposed([values for _, values in self._open]).items():
            if name not in self._columns and len(self._columns) < _MOST_COLUMNS:
                self._columns[name] = array("d", [nan]) * count
            if name in self._columns:
                self._columns[name].extend(_means(values, self.stride))
        for column in self._columns.values():
            column.extend([nan] * (len(self._steps) - len(column)))
        self._open = []
        while len(self._steps) >= 2 * self._limit:
            self._halve()

    def _halve(self) -> None:
        """Make one row of each two."""
        self.stride *= 2
        if len(self._steps) % 2:  # the last row stays alone
            self._steps.append(self._steps[-1])
            for column in self._columns.values():
                column.append(column[-1])
        self._steps = self._steps[1::2]
        for name, column in self._columns.items():
            self._columns[name] = array("d", _means(column, 2))


def _last_steps(rows: Sequence[StepValues], stride: int) -> list[int]:
    """The last step of each `stride` rows."""
    return [rows[min(at + stride, len(rows)) - 1][0] for at in range(0, len(rows), stride)]


def _transposed(rows: list[Values]) -> dict[str, Sequence[float]]:
    """The values of each metric, NaN where a row has none."""
    names = rows[0].names
    if all(row.names is names or row.names == names for row in rows):
        columns = zip(*(row.numbers for row in rows), strict=True)
        return dict(zip(names, columns, strict=True))
    every = dict.fromkeys(name for row in rows for name in row.names)
    by_name = [dict(zip(row.names, row.numbers, strict=True)) for row in rows]
    return {name: [row.get(name, nan) for row in by_name] for name in every}


def _means(values: Sequence[float], stride: int) -> Sequence[float]:
    """The means of each `stride` values; of the finite ones, where there are others."""
    if not isfinite(sum(values)):
        return [_mean(values[at : at + stride]) for at in range(0, len(values), stride)]
    if stride == 1:
        return values
    if stride == 2 and len(values) % 2 == 0:  # as fast as the next line is with long strides
        return [total / 2 for total in map(add, values[::2], values[1::2])]
    parts = [values[at : at + stride] for at in range(0, len(values), stride)]
    return [sum(part) / len(part) for part in parts]


def _mean(values: Sequence[float]) -> float:
    """The mean of the finite values; NaN if there is none."""
    total = sum(values)
    if isfinite(total):
        return total / len(values)
    finite = [value for value in values if isfinite(value)]
    return sum(finite) / len(finite) if finite else nan
