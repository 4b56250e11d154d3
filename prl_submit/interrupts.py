"""Ctrl-C at the worst moment."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

#: Seconds that an order to a scheduler has after Ctrl-C.
_LET_END_S = 3.0


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """Ctrl-C lets an order come to its end, for some seconds: else nobody could say what it did."""
    pressed = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed or number == signal.SIGALRM:
            raise KeyboardInterrupt
        pressed = True
        signal.setitimer(signal.ITIMER_REAL, _LET_END_S)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
    if pressed:
        raise KeyboardInterrupt
