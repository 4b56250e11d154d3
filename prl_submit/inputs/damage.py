"""The first place of a data file that `datasets` 4.8 cannot read: a bounded look, with its line.

What `datasets` reads was tried with it: NaN and Infinity, `null` for a row, several objects on one line,
one object over several lines, an array with a comma too many. A row that is a list or a number stops it.
"""

from __future__ import annotations

import os

from msgspec import Raw, Struct

from prl_submit.system.reading import decode_json, read_regular

#: From the beginning; of the rest only the last line, where a copy that was broken off ends.
MAX_BYTES = 4_000_000
_TAIL = 200_000
_BOM = b"\xef\xbb\xbf"
_READ = (".jsonl", ".json", ".csv", ".parquet")


class Damage(Struct, frozen=True):
    """What is wrong; `line` is 1-based, None where the file as a whole is meant."""

    message: str
    hint: str
    line: int | None = None


def find_damage(path: str) -> Damage | None:
    """The first fault of a data file; None where none is seen, or the format is another one."""
    ending = os.path.splitext(path)[1]
    if ending not in _READ:
        return None
    try:
        size = os.path.getsize(path)
        text = read_regular(path, MAX_BYTES)
    except OSError:
        return None  # told by who looks for files
    found = _as_a_whole(path, text, size, ending)
    if found or ending == ".parquet":
        return found
    if ending == ".csv":
        return _csv(text, size)
    return _json(text, size) or (_last_line(path, size) if size > MAX_BYTES else None)


def _as_a_whole(path: str, text: bytes, size: int, ending: str) -> Damage | None:
    """Another kind of file under this name."""
    if text.startswith(b"version https://git-lfs"):
        return Damage("is a Git LFS pointer, not the data", "git lfs pull fetches it")
    if ending == ".parquet":
        if size and not (text.startswith(b"PAR1") and _tail(path, 4) == b"PAR1"):
            return Damage("is no complete Parquet file", "copy it again")
        return None
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Damage("is UTF-16; ms-swift reads UTF-8", "save it as UTF-8")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < MAX_BYTES - 4 or size <= MAX_BYTES:
            line = text[: error.start].count(b"\n") + 1
            return Damage("is not UTF-8 text", "save it as UTF-8", line)
    return None


def _tail(path: str, count: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(-min(count, os.path.getsize(path)), os.SEEK_END)
        return file.read(count)


def _json(text: bytes, size: int) -> Damage | None:
    text = text.removeprefix(_BOM)
    start = text.lstrip()[:1]
    if start == b"[":
        return _array(text) if size <= MAX_BYTES else None
    if start and start != b"{":
        shown = text.lstrip()[:20].decode("utf-8", "replace").split("\n")[0]
        line = text[: len(text) - len(text.lstrip())].count(b"\n") + 1
        return Damage(
            f"is not JSON: it begins with {shown!r}", "one JSON object on each line", line
        )
    lines = text.split(b"\n")
    if size > MAX_BYTES:
        lines.pop()  # cut by us
        if not _is_row(lines[0]):
            return None  # objects over several lines: the last one is cut too
    for number, row in enumerate(lines, 1):
        if not _is_row(row):
            return _from(lines, number)
    return None


def _is_row(line: bytes) -> bool:
    try:
        decode_json(line, dict[str, Raw])
    except ValueError:
        return not line.strip() or line.strip() == b"null"
    return True


def _from(lines: list[bytes], number: int) -> Damage | None:
    """What is wrong from a line on that is not one object; not all that is not is a fault."""
    import json  # only where something is odd

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
            message = f"the row is {_KINDS.get(type(row), 'a number')}, no JSON object"
            return Damage(message, "one JSON object on each line", row_starts)
        place = _skip(text, end)
    return None


_KINDS = {list: "an array", str: "a text", bool: "true or false"}


def _skip(text: str, place: int) -> int:
    """Where the next value begins."""
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _no_json(error: ValueError, number: int, text: str, row_starts: int) -> Damage:
    at = getattr(error, "pos", 0)
    line = number + text[:at].count("\n")
    what = str(error).partition(": line")[0]
    if line != row_starts and not text[at:].strip():
        line, what = row_starts, "the row has no end"
    return Damage(f"is not JSON: {what}", "one JSON object on each line", line)


def _array(text: bytes) -> Damage | None:
    try:
        decode_json(text, list[Raw])
    except ValueError as error:
        if "truncated" in str(error):
            line = text.rstrip().count(b"\n") + 1
            return Damage("is not JSON: the array has no end", "copy the file again", line)
    return None


def _last_line(path: str, size: int) -> Damage | None:
    """The last line of a large file, if it is one that was begun as an object."""
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
    """Pandas 2 and 3 stop at a row with more fields than the first ones have."""
    import csv

    try:
        lines = text.decode("utf-8-sig", "ignore").splitlines(keepends=True)
        rows = csv.reader(lines if size <= MAX_BYTES else lines[:-1])
        most = 0
        for count, row in enumerate(row for row in rows if row):
            if count < 2:
                most = max(most, len(row))  # a first column without a name is an index
            elif len(row) > most:
                message = f"has {len(row)} fields; the rows before have {most}"
                return Damage(message, "quote what has a comma in it", rows.line_num)
    except csv.Error:
        return None
    return None
