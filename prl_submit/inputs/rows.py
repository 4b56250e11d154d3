"""Counting the rows of data files as `datasets` does, but only as many as are needed.

`datasets` 4.8 reads .jsonl and .json in the same way (packaged_modules/json): a sequence of JSON values, or
one array. Blank lines are not rows, and the last line may lack its line end. A csv file has a header; blank
lines are not rows, and a value in quotes may hold line ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import msgspec
from msgspec import Struct

from prl_submit.system.reading import decode_json
from prl_submit.system.shared_results import shared

#: The largest array and the longest line that are read.
MAX_BYTES = 8_000_000
#: The number of rows whose columns are collected, because one row may lack a column that the next row has.
FEW = 50
#: Names of the columns with messages, queries and responses (ms-swift 4.6.0 dataset/preprocessor/core
#: MessagesPreprocessor, ResponsePreprocessor).
MESSAGES = ("messages", "conversation", "conversations")
QUERIES = ("query", "prompt", "input", "instruction", "question", "problem")
RESPONSES = (
    "response", "answer", "output", "targets", "target", "answer_key", "answers", "solution",
    "text", "completion", "content",
)  # fmt: skip
_BOM = b"\xef\xbb\xbf"


class Count(Struct, frozen=True):
    """The rows of a file, counted up to a limit. `keys`: the columns of its first rows, None if unknown."""

    rows: int
    keys: tuple[str, ...] | None = None


@shared
def count_rows(path: str, limit: int) -> Count | None:
    """The rows of a .jsonl, .json or .csv file, counted up to `limit`. None if they cannot be counted.

    A number below `limit` is returned only if every line is one JSON object.
    """
    ending = os.path.splitext(path)[1]
    if ending not in (".jsonl", ".json", ".csv"):
        return None
    try:
        if ending == ".csv":
            return _csv(path, limit)
        return _json(path, limit)
    except (OSError, ValueError):  # `damage` reports a damaged file
        return None


def _json(path: str, limit: int) -> Count | None:
    """The rows of a file with one JSON object on each line, or with one array."""
    with open(path, "rb") as file:
        lines = _lines(file)
        first = next(lines, b"")
        if first.lstrip()[:1] == b"[":
            return _array(path, limit)
        if first and _keys(first) is None:
            return None  # an object over several lines, or no object
        others = list(islice(lines, max(limit - 1, 0)))
    rows = len(others) + bool(first)
    if rows < limit and any(_keys(line) is None for line in others):
        return None
    keys = dict.fromkeys(key for line in [first, *others[: FEW - 1]] for key in _keys(line) or ())
    return Count(rows, tuple(keys) if first else None)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that are not blank. Raises ValueError for a line longer than any text file has."""
    start = True
    while line := file.readline(MAX_BYTES):
        if len(line) == MAX_BYTES:
            raise ValueError("an endless line")
        line = line.removeprefix(_BOM) if start else line
        start = False
        if line.strip():
            yield line


def _keys(line: bytes) -> tuple[str, ...] | None:
    """The keys of the JSON object on a line. None if the line is not exactly one object."""
    try:
        row = decode_json(line, dict[str, msgspec.Raw])
    except ValueError:
        return None
    return tuple(row)


def _array(path: str, limit: int) -> Count | None:
    """The rows of a file with one JSON array; None if the file is too large."""
    if os.path.getsize(path) > MAX_BYTES:
        return None
    with open(path, "rb") as file:
        text = file.read().removeprefix(_BOM)
    rows = decode_json(text, list[msgspec.Raw])
    return Count(min(len(rows), limit), _keys(bytes(rows[0])) if rows else None)


def _csv(path: str, limit: int) -> Count | None:
    """The rows of a csv file. Its lines are counted, unless one has a quote: then csv.reader counts rows."""
    with open(path, "rb") as file:
        lines = _lines(file)
        header = next(lines, None)
        if header is None:
            return Count(0)
        if b'"' in header:
            return _quoted_csv(path, limit)
        rows = 0
        for line in islice(lines, max(limit, 0)):
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
