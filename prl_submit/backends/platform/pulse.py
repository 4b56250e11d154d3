"""Whether a node lives: by its sign of life, without trusting any clock but this process's own."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

from prl_submit.runs.signs_of_life import SignOfLife, second_look_s

#: Clocks of machines may differ by hours. A sign of life that is older than this is old by every clock.
_OLD_BY_EVERY_CLOCK = 86_400.0


class _Seen(Struct):
    """The last beat of a node that this process saw, since when, and whether the process saw it move."""

    mark: tuple[int, int]
    since: float
    moved: bool


class Pulse:
    """The beats that this process has seen, each with the time of this process's own clock."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Path, int], _Seen] = {}

    def note(self, run: Path, sign: SignOfLife, now: float | None = None) -> None:
        """Remember a sign of life that was just read. `now`: time.monotonic()."""
        now = time.monotonic() if now is None else now
        mark = (sign.attempt, sign.beat)
        old = self._seen.get((run, sign.node))
        if old is None or old.mark != mark:
            self._seen[run, sign.node] = _Seen(mark, now, old is not None)

    def is_alive(
        self,
        run: Path,
        sign: SignOfLife,
        silence: int,
        *,
        now: float | None = None,
        clock: float | None = None,
    ) -> bool | None:
        """True if the node lives, False if it is silent; None if a second look must tell.

        `silence`: for how many seconds a living node may be silent. `clock`: time.time(), which is compared
        with the time of the file; the two may differ by hours. So a file that seems fresh is believed, but a
        file that seems old, or from the future, proves nothing until this process has looked twice.
        """
        seen = self._seen[run, sign.node]
        watched = (time.monotonic() if now is None else now) - seen.since
        if seen.moved:
            return watched < silence
        age = (time.time() if clock is None else clock) - sign.changed_at
        if 0 <= age < silence:
            return True
        if age >= max(_OLD_BY_EVERY_CLOCK, silence) or watched >= second_look_s(silence):
            return False
        return None
