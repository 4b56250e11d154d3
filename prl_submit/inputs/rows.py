"""How many rows data files have: as `datasets` counts them, and no further than is needed.

`datasets` 4.8 reads .jsonl and .json alike (packaged_modules/json): one JSON value after another,
whatever stands between them, or one array; blank lines count nothing, a last line needs no end.
A csv file has a header; blank lines count nothing, and quotes may hold line ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import msgspec
from msgspec import Struct

from prl_submit.system.reading import decode_json

#: An array is read whole, a line too; what is larger is not worth the time.
MAX_BYTES = 8_000_000
#: Rows whose columns are looked at: one may lack what the next has.
FEW = 50
_BOM = b"\xef\xbb\xbf"


class Count(Struct, frozen=True):
    """Rows of a file, counted up to a limit; `keys` are the first rows' columns, where known."""

    rows: int
    keys: tuple[str, ...] | None = None


def count_rows(path: str, limit: int) -> Count | None:
    """Up to `limit` rows of a .jsonl, .json or .csv file; None where it cannot be told.

    What is not one JSON object per line is looked at again before fewer than `limit` are claimed.
    """
    ending = os.path.splitext(path)[1]
    if ending not in (".jsonl", ".json", ".csv"):
        return None
    try:
        if ending == ".csv":
            return _csv(path, limit)
        return _json(path, limit)
    except (OSError, ValueError):  # a damaged file: `datasets` says where
        return None


def _json(path: str, limit: int) -> Count | None:
    with open(path, "rb") as file:
        lines = _lines(file)
        first = next(lines, b"")
        if first.lstrip()[:1] == b"[":
            return _array(path, limit)
        keys = _keys(first)
        if first and keys is None:
            return None  # an object over several lines, or no object
        others = list(islice(lines, max(limit - 1, 0)))
    for line in others[: FEW - 1]:
        keys = (*(keys or ()), *(key for key in _keys(line) or () if key not in (keys or ())))
    rows = len(others) + bool(first)
    if rows < limit and any(_keys(line) is None for line in others):
        return None
    return Count(rows, keys)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Those that are not blank. Raises ValueError for one that is no line of a text file."""
    start = True
    while line := file.readline(MAX_BYTES):
        if len(line) == MAX_BYTES:
            raise ValueError("an endless line")
        line = line.removeprefix(_BOM) if start else line
        start = False
        if line.strip():
            yield line


def _keys(line: bytes) -> tuple[str, ...] | None:
    """The keys of the one object on a line, or None where there is not exactly one."""
    try:
        row = decode_json(line, dict[str, msgspec.Raw])
    except ValueError:
        return None
    return tuple(row)


def _array(path: str, limit: int) -> Count | None:
    if os.path.getsize(path) > MAX_BYTES:
        return None
    with open(path, "rb") as file:
        text = file.read().removeprefix(_BOM)
    rows = decode_json(text, list[msgspec.Raw])
    return Count(min(len(rows), limit), _keys(bytes(rows[0])) if rows else None)


def _csv(path: str, limit: int) -> Count | None:
    """Line by line, unless a quote is met: then only a real parser knows what a row is."""
    with open(path, "rb") as file:
        lines = _lines(file)
        header = next(lines, None)
        if header is None:
            return Count(0)
        if b'"' in header:
            return _quoted_csv(path, limit)
        rows = 0
        while rows < limit and (line := next(lines, None)) is not None:
            if b'"' in line:
                return _quoted_csv(path, limit)
            rows += 1
    columns = header.decode("utf-8", "replace").strip().split(",")
    return Count(rows, tuple(columns))


def _quoted_csv(path: str, limit: int) -> Count:
    import csv

    with open(path, encoding="utf-8-sig", newline="") as file:
        table = (row for row in csv.reader(file) if row)
        columns = next(table, [])
        rows = 0
        while rows < limit and next(table, None) is not None:
            rows += 1
    return Count(rows, tuple(columns))
