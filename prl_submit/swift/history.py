"""The arguments of every released ms-swift since 3.0: bundled tables, and when a name came and went."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from prl_submit.swift.argument import Argument

#: Made by tools/make_swift_tables.py from the published wheels.
FILE = os.path.join(os.path.dirname(__file__), "history.json")


class Span(Struct, frozen=True, array_like=True):
    """A stretch of releases (their places in the list, both included) that take an argument alike."""

    first: int
    last: int
    kind: str
    many: int
    choices: tuple[str, ...]
    default: Any | UnsetType = UNSET


class History(Struct, frozen=True):
    """`versions`: each release, oldest first, with the transformers it was read with."""

    versions: list[tuple[str, str]]
    arguments: dict[str, list[Span]]

    @property
    def newest(self) -> str:
        """The newest release."""
        return self.versions[-1][0]

    def place(self, version: str) -> int:
        """The release's place in the list, or that of the one before it; 0 for older ones.

        `4.6` is the newest 4.6.x; what is no version at all the newest release.
        """
        wanted = number(_release(version))
        if not wanted:
            return len(self.versions) - 1
        places = [
            at
            for at, (known, _) in enumerate(self.versions)
            if number(_release(known))[: max(len(wanted), 2)] <= wanted
        ]
        return places[-1] if places else 0

    def knows(self, version: str) -> bool:
        """Whether it is one of the releases; its post-releases count as itself."""
        return is_same(version, self.versions[self.place(version)][0])

    def table(self, place: int) -> dict[str, Argument]:
        """Arguments by name of the release at a place in the list."""
        return {
            name: Argument(span.kind, bool(span.many), span.choices, span.default)
            for name, spans in self.arguments.items()
            for span in spans
            if span.first <= place <= span.last
        }

    def years(self, name: str) -> tuple[str, str | None] | None:
        """The releases an argument came with and, if it has gone, was last in: `("3.2", "3.5")`."""
        spans = self.arguments.get(name)
        if not spans:
            return None
        first, last = spans[0].first, spans[-1].last
        is_gone = last < len(self.versions) - 1
        return self._begin(first), self._end(last) if is_gone else None

    def _begin(self, place: int) -> str:
        """`3.2` for the first release of 3.2, `3.2.1` for a later one."""
        before = self.versions[place - 1][0] if place else ""
        version = self.versions[place][0]
        return _release(version) if _minor(before) == _minor(version) else _minor(version)

    def _end(self, place: int) -> str:
        version, after = self.versions[place][0], self.versions[place + 1][0]
        return _release(version) if _minor(after) == _minor(version) else _minor(version)


def number(version: str) -> tuple[int, ...]:
    """`3.4.1.post1` -> (3, 4, 1, 1): sorts releases; a `.dev` or `rc` counts as the one it leads to."""
    release = re.split(r"\.?(?:dev|rc|a|b)\d", version.partition("+")[0])[0]
    return tuple(map(int, re.findall(r"\d+", release)))


def is_same(stated: str, version: str) -> bool:
    """Whether `4.6` or `4.6.0` means 4.6.0, and `3.4.1` means 3.4.1.post1; a `.dev` is none of them."""
    if any(mark in part for part in (stated, version) for mark in ("dev", "rc")):
        return stated == version
    wanted, found = number(_release(stated)), number(_release(version))
    return bool(wanted) and found[: len(wanted)] == wanted


def is_before(version: str, release: str) -> bool:
    """Whether 3.3.0.dev0, a checkout's version, is on its way to `3.3` or `3.3.0`, as users call it."""
    wanted = number(_release(release))
    is_dev = "dev" in version and "dev" not in release
    return is_dev and bool(wanted) and number(version)[: len(wanted)] == wanted


def _release(version: str) -> str:
    return version.partition("+")[0].partition(".post")[0]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


@lru_cache(maxsize=1)
def load_history() -> History:
    """The bundled history."""
    with open(FILE, "rb") as file:
        return msgspec.json.decode(file.read(), type=History)
