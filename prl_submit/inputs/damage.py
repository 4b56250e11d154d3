"""The first mistake in a data file that `datasets` 4.8 cannot read, with its line.

Only a part of a large file is read. Experiments showed what `datasets` accepts: NaN and Infinity, `null` as
a row, several objects on one line, one object over several lines, an array with an extra comma. A row that
is a list or a number stops it.
"""

from __future__ import annotations

import os

from msgspec import Raw, Struct

from prl_submit.system.reading import decode_json, read_regular
from prl_submit.system.shared_results import shared

#: How many bytes are read from the beginning. Of the rest only the last line is read, because an
#: incomplete copy ends in the middle of a line.
MAX_BYTES = 4_000_000
_TAIL = 200_000
_BOM = b"\xef\xbb\xbf"
_READ = (".jsonl", ".json", ".csv", ".parquet")


class Damage(Struct, frozen=True):
    """What is wrong with a file. `line` counts from 1; None if the whole file is meant."""

    message: str
    hint: str
    line: int | None = None


@shared
def find_damage(path: str) -> Damage | None:
    """The first mistake in a data file. None if none is found, or the format is not one of _READ."""
    ending = os.path.splitext(path)[1]
    if ending not in _READ:
        return None
    try:
        size = os.path.getsize(path)
        text = read_regular(path, MAX_BYTES)
    except OSError:
        return None  # local_files reports a file that cannot be read
    found = _as_a_whole(path, text, size, ending)
    if found or ending == ".parquet":
        return found
    if ending == ".csv":
        return _csv(text, size)
    return _json(text, size) or (_last_line(path, size) if size > MAX_BYTES else None)


def _as_a_whole(path: str, text: bytes, size: int, ending: str) -> Damage | None:
    """The problem of a file that is something else than its name says."""
    if text.startswith(b"version https://git-lfs"):
        return Damage("is a Git LFS pointer, not the data", "git lfs pull fetches the data")
    if ending == ".parquet":
        if size and not (text.startswith(b"PAR1") and _tail(path, 4) == b"PAR1"):
            return Damage("is not a complete Parquet file", "copy the file again")
        return None
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Damage("is UTF-16; ms-swift reads UTF-8", "save the file as UTF-8")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < MAX_BYTES - 4 or size <= MAX_BYTES:
            line = text[: error.start].count(b"\n") + 1
            return Damage("is not UTF-8 text", "save the file as UTF-8", line)
    return None


def _tail(path: str, count: int) -> bytes:
    """The last `count` bytes of a file, or the whole of a shorter one."""
    with open(path, "rb") as file:
        file.seek(-min(count, os.path.getsize(path)), os.SEEK_END)
        return file.read(count)


def _json(text: bytes, size: int) -> Damage | None:
    """The first mistake in the beginning of a JSON file. `size`: the size of the whole file."""
    text = text.removeprefix(_BOM)
    start = text.lstrip()[:1]
    if start == b"[":
        return _array(text) if size <= MAX_BYTES else None
    if start and start != b"{":
        shown = text.lstrip()[:20].decode("utf-8", "replace").split("\n")[0]
        line = text[: len(text) - len(text.lstrip())].count(b"\n") + 1
        return Damage(
            f"is not JSON: it begins with {shown!r}", "write one JSON object on each line", line
        )
    lines = text.split(b"\n")
    if size > MAX_BYTES:
        lines.pop()  # only a part of the last line was read
        if not _is_row(lines[0]):
            return (
                None  # each object has several lines, and only a part of the last object was read
            )
    for number, row in enumerate(lines, 1):
        if not _is_row(row):
            return _from(lines, number)
    return None


def _is_row(line: bytes) -> bool:
    """True for a line with one JSON object, a line with `null`, and an empty line."""
    try:
        decode_json(line, dict[str, Raw])
    except ValueError:
        return not line.strip() or line.strip() == b"null"
    return True


def _from(lines: list[bytes], number: int) -> Damage | None:
    """The first mistake from a line on that is not one object. None if `datasets` can read the rest."""
    import json

    text = b"\n".join(lines[number - 1 :]).decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    place = _skip(text, 0)
    while place < len(text):
        row_starts = number + text.count("\n", 0, place)
        try:
            row, end = decoder.raw_decode(text, place)
        except ValueError as error:
            return _no_json(error, number, text, row_starts)
        except RecursionError:
            return None
        if not isinstance(row, dict) and row is not None:
            message = f"the row is {_KINDS.get(type(row), 'a number')}, not a JSON object"
            return Damage(message, "write one JSON object on each line", row_starts)
        place = _skip(text, end)
    return None


_KINDS = {list: "an array", str: "a text", bool: "true or false"}


def _skip(text: str, place: int) -> int:
    """The place of the next character that is not white space."""
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _no_json(error: ValueError, number: int, text: str, row_starts: int) -> Damage:
    """The problem of a row that is not JSON. `number`: the line on which `text` begins."""
    at = getattr(error, "pos", 0)
    line = number + text[:at].count("\n")
    what = str(error).partition(": line")[0]
    if line != row_starts and not text[at:].strip():
        line, what = row_starts, "the row has no end"
    return Damage(f"is not JSON: {what}", "write one JSON object on each line", line)


def _array(text: bytes) -> Damage | None:
    """The problem of a file with one JSON array that is not complete."""
    try:
        decode_json(text, list[Raw])
    except ValueError as error:
        if "truncated" in str(error):
            line = text.rstrip().count(b"\n") + 1
            return Damage("is not JSON: the array has no end", "copy the file again", line)
    return None


def _last_line(path: str, size: int) -> Damage | None:
    """The problem of a large file whose last line begins with an object and does not end it."""
    tail = _tail(path, _TAIL).rstrip()
    _, sign, line = tail.rpartition(b"\n")
    if sign and line.startswith(b"{") and not _is_row(line):
        import json

        try:
            json.loads(line)
        except ValueError:
            return Damage("is not JSON: the last row has no end", "copy the file again")
    return None


def _csv(text: bytes, size: int) -> Damage | None:
    """The first row with more fields than the first two rows have. Pandas 2 and 3 stop there."""
    import csv

    try:
        lines = text.decode("utf-8-sig", "ignore").splitlines(keepends=True)
        rows = csv.reader(lines if size <= MAX_BYTES else lines[:-1])
        most = 0
        for count, row in enumerate(row for row in rows if row):
            if count < 2:
                most = max(most, len(row))  # the header may lack a name for an index column
            elif len(row) > most:
                message = f"has {len(row)} fields; the rows before have {most}"
                return Damage(message, "put quotes around a value with a comma", rows.line_num)
    except csv.Error:
        return None
    return None
