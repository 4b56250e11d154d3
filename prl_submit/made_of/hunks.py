"""A difference that git made, taken apart by files, and applied to the old content of a file. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

_HEADER = "diff --git "
_HUNK = re.compile(r"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+[0-9]{1,9}(?:,[0-9]{1,9})? @@", re.ASCII)
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_NAMED = {"t": "\t", "n": "\n", "r": "\r"}


class Hunk(Struct, frozen=True):
    """One place that differs. `start`, `count`: its lines in the old file; `lines`: with their signs."""

    start: int
    count: int
    lines: list[str]


class FilePart(Struct, frozen=True):
    """What a difference says of one file. `is_whole`: False where git does not print what differs."""

    path: str
    is_new: bool
    is_removed: bool
    is_whole: bool
    hunks: list[Hunk]


def parts_of(text: str) -> dict[str, FilePart]:
    """What a difference says, by the paths of the files."""
    found: dict[str, FilePart] = {}
    lines = text.split("\n")
    starts = [place for place, line in enumerate(lines) if line.startswith(_HEADER)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=False):
        part = _part(lines[start:end])
        found[part.path] = part
    return found


def _part(lines: Sequence[str]) -> FilePart:
    matches = [(place, match) for place, line in enumerate(lines) if (match := _HUNK.match(line))]
    places = [place for place, _ in matches]
    head = lines[1 : places[0]] if places else lines[1:]
    ends = [*places[1:], len(lines)]
    return FilePart(
        path=_path(lines[0].removeprefix(_HEADER)),
        is_new=any(line.startswith("new file") for line in head),
        is_removed=any(line.startswith("deleted file") for line in head),
        is_whole=not any(line.startswith(("Binary files", "* Unmerged")) for line in lines),
        hunks=[
            Hunk(
                int(match[1]), int(match[2] or 1), [line for line in lines[start + 1 : end] if line]
            )
            for (start, match), end in zip(matches, ends, strict=False)
        ],
    )


def _path(names: str) -> str:
    """The path in `a/PATH b/PATH`. Both paths are equal, because renames are not looked for."""
    half = (len(names) - 1) // 2
    name = names[:half]
    if name[:1] == '"' and name[-1:] == '"':
        name = _ESCAPE.sub(_unescaped, name[1:-1])
    return name.removeprefix("a/")


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code, 8)) if code.isdecimal() else _NAMED.get(code, code)


def applied(old: str, hunks: Sequence[Hunk]) -> str | None:
    """The new content of a file; None if the old content is not the one that the hunks are about."""
    lines, made, place = old.split("\n"), list[str](), 0
    for hunk in hunks:
        start = hunk.start - 1 if hunk.count else hunk.start
        if not place <= start <= start + hunk.count <= len(lines):
            return None
        made += lines[place:start]
        made += [line[1:] for line in hunk.lines if line[:1] in "+ "]
        place = start + hunk.count
    return "\n".join(made + lines[place:])


def new_text(part: FilePart) -> str:
    """The new content of those places that differ, for a file whose old content is not known."""
    return "\n".join(line[1:] for hunk in part.hunks for line in hunk.lines if line[:1] in "+ ")


def old_text(part: FilePart) -> str:
    """The old content of those places that differ."""
    return "\n".join(line[1:] for hunk in part.hunks for line in hunk.lines if line[:1] in "- ")
