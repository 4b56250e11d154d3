"""The arguments of every ms-swift release since 3.0: which release added a name and which removed it.

The data is the bundled file history.json. This module also compares version numbers.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from prl_submit.swift.argument import Argument

#: tools/make_swift_tables.py makes this file from the published wheels.
FILE = os.path.join(os.path.dirname(__file__), "history.json")


class Span(Struct, frozen=True, array_like=True):
    """Consecutive releases in which an argument has the same type, choices and default.

    `first` and `last` are indexes of `History.versions`; both releases belong to the span. `many` is 1
    if the argument takes several words, else 0.
    """

    first: int
    last: int
    kind: str
    many: int
    choices: tuple[str, ...]
    default: Any | UnsetType = UNSET


class History(Struct, frozen=True):
    """All releases and their arguments.

    `versions`: each release, oldest first, with the version of transformers that it was read with.
    `arguments`: each argument's spans, in the order of the releases.
    """

    versions: list[tuple[str, str]]
    arguments: dict[str, list[Span]]

    @property
    def newest(self) -> str:
        """The newest release."""
        return self.versions[-1][0]

    def place(self, version: str) -> int:
        """The index of a release in `versions`. For an unknown release: of the last one before it, or 0.

        `4.6` means the newest 4.6.x. A text that is not a version means the newest release.
        """
        wanted = number(_release(version))
        if not wanted:
            return len(self.versions) - 1
        place = 0
        for index, (known, _) in enumerate(self.versions):
            if number(_release(known))[: max(len(wanted), 2)] <= wanted:
                place = index
        return place

    def knows(self, version: str) -> bool:
        """True if `version` is one of the releases. `3.4.1` counts as its post-release 3.4.1.post1."""
        return is_same(version, self.versions[self.place(version)][0])

    def table(self, place: int) -> dict[str, Argument]:
        """The arguments by name of the release at an index of `versions`."""
        return {
            name: Argument(span.kind, bool(span.many), span.choices, span.default)
            for name, spans in self.arguments.items()
            for span in spans
            if span.first <= place <= span.last
        }

    def years(self, name: str) -> tuple[str, str | None] | None:
        """The first release with an argument and, if the newest lacks it, the last one: `("3.2", "3.5")`.

        None if no release has the argument. The last release is None if the newest one has the argument.
        """
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
        """`3.5` for the last release of 3.5, `3.5.1` if 3.5.2 follows."""
        version, after = self.versions[place][0], self.versions[place + 1][0]
        return _release(version) if _minor(after) == _minor(version) else _minor(version)


def number(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare releases: (3, 4, 1, 1) for `3.4.1.post1`.

    A version with `dev`, `rc`, `a` or `b` counts as the release that it becomes. Empty without digits.
    """
    release = re.split(r"\.?(?:dev|rc|a|b)\d", version.partition("+")[0])[0]
    return tuple(map(int, re.findall(r"\d+", release)))


def is_same(stated: str, version: str) -> bool:
    """True if the version that a user stated means `version`.

    `4.6` and `4.6.0` mean 4.6.0, and `3.4.1` means 3.4.1.post1. A `dev` or `rc` version means only itself.
    """
    if any(mark in part for part in (stated, version) for mark in ("dev", "rc")):
        return stated == version
    wanted, found = number(_release(stated)), number(_release(version))
    return bool(wanted) and found[: len(wanted)] == wanted


def is_before(version: str, release: str) -> bool:
    """True if `version` is a development version of `release`: 3.3.0.dev0 is one of `3.3` and of `3.3.0`.

    A checkout of ms-swift has such a version, and users call it by the release's number.
    """
    wanted = number(_release(release))
    is_dev = "dev" in version and "dev" not in release
    return is_dev and bool(wanted) and number(version)[: len(wanted)] == wanted


def _release(version: str) -> str:
    return version.partition("+")[0].partition(".post")[0]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


@lru_cache(maxsize=1)
def load_history() -> History:
    """The history in the bundled file."""
    with open(FILE, "rb") as file:
        return msgspec.json.decode(file.read(), type=History)
