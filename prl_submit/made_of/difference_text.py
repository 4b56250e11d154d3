"""What differs between two runs, in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from prl_submit.made_of.code_differences import ChangedFile, CodeDifference
from prl_submit.made_of.contents import DataItem
from prl_submit.made_of.differences import ChangedData
from prl_submit.made_of.new_files import size_in_words

#: So many characters of a commit and of a checksum are shown.
_SHORT = 9
#: So many files that were not kept are listed.
_LISTED = 10


class DifferenceLine(Struct, frozen=True):
    """A line, and what it is: `title`, `name` of a file, `place` in it, `added`, `removed` or `plain`."""

    text: str
    kind: str = "plain"


def code_lines(code: CodeDifference, *, stat: bool) -> Iterator[DifferenceLine]:
    """What differs in the code. `stat`: only the names of files, with how many lines differ."""
    yield from _commits(code)
    for title, files in (
        ("files that the specs name", code.named),
        ("repository", code.repository),
    ):
        if files:
            yield DifferenceLine(title, "title")
            for file in files:
                yield from _file(file, stat=stat)


def _commits(code: CodeDifference) -> Iterator[DifferenceLine]:
    first, second = code.commits
    if first == second:
        return
    yield DifferenceLine("commits", "title")
    yield DifferenceLine(f"  {_short(first)} -> {_short(second)}")
    yield from (DifferenceLine(f"  + {commit}", "added") for commit in code.new_commits)
    yield from (DifferenceLine(f"  - {commit}", "removed") for commit in code.lost_commits)


def _short(commit: str | None) -> str:
    return "not known" if commit is None else commit[:_SHORT]


def _file(file: ChangedFile, *, stat: bool) -> Iterator[DifferenceLine]:
    facts = []
    if file.added or file.removed:
        facts.append(f"{file.added} added, {file.removed} removed")
    if file.why:
        facts.append(file.why)
    name = f"  {file.path} ({file.key})" if file.key else f"  {file.path}"
    yield DifferenceLine(f"{name}: {'; '.join(facts)}" if facts else name, "name")
    if not stat:
        yield from map(_line_of_file, file.lines)


def _line_of_file(text: str) -> DifferenceLine:
    if text.startswith(("--- ", "+++ ")):
        return DifferenceLine(text, "name")
    kinds = {"@": "place", "+": "added", "-": "removed"}
    return DifferenceLine(text, kinds.get(text[:1], "plain"))


def not_kept_lines(files: Sequence[str]) -> Iterator[str]:
    """The files of which nobody knows whether they differ."""
    if files:
        yield "note: these files were not kept, so nobody knows whether they differ:"
    yield from (f"  {file}" for file in files[:_LISTED])
    if len(files) > _LISTED:
        yield f"  and {len(files) - _LISTED} more"


def data_lines(changed: Sequence[ChangedData]) -> Iterator[DifferenceLine]:
    """What differs in the data."""
    if changed:
        yield DifferenceLine("data", "title")
    for pair in changed:
        old, new = pair.items
        if old is not None and new is not None:
            yield DifferenceLine(f"  {new.key} {new.entry}: {', '.join(_facts(old, new))}")
        elif old is not None:
            yield DifferenceLine(f"  - {old.key} {old.entry}{_size(old)}", "removed")
        elif new is not None:
            yield DifferenceLine(f"  + {new.key} {new.entry}{_size(new)}", "added")


def _facts(old: DataItem, new: DataItem) -> Iterator[str]:
    """What differs in a data set, in words."""
    if old.rows != new.rows:
        yield f"rows {_known(old.rows)} -> {_known(new.rows)}"
    if old.files != new.files:
        yield f"files {_known(old.files)} -> {_known(new.files)}"
    if old.size != new.size:
        sizes = ["-" if item.size is None else size_in_words(item.size) for item in (old, new)]
        if sizes[0] == sizes[1]:
            sizes = [f"{item.size} bytes" for item in (old, new)]
        yield f"{sizes[0]} -> {sizes[1]}"
    if old.sha256 is not None and new.sha256 is not None:
        yield f"sha256 {old.sha256[:_SHORT]} -> {new.sha256[:_SHORT]}"
        return
    if old.changed_at != new.changed_at:
        yield f"written {_known(old.changed_at)} -> {_known(new.changed_at)}"
    whys = dict.fromkeys(item.why for item in (old, new) if item.why)
    yield f"content not compared ({'; '.join(whys)})"


def _size(item: DataItem) -> str:
    facts = [f"{item.rows} rows"] if item.rows is not None else []
    facts += [size_in_words(item.size)] if item.size is not None else []
    return f": {', '.join(facts)}" if facts else ""


def _known(value: Any) -> str:
    return "-" if value is None else str(value)
