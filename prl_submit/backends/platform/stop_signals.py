"""SIGTERM, SIGHUP and Ctrl-C while a node waits for the others: they are heard between two looks."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType

from prl_submit.errors import PrlSubmitError

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: The longest sleep without a look at what was heard.
_NAP_S = 0.1


class StoppedError(PrlSubmitError):
    """A signal ended a node before it became launch.sh; nothing of it is left."""

    def __init__(self, number: int) -> None:
        super().__init__(f"got {signal.Signals(number).name} before the job began on this node")
        self.exit_code = 128 + number


class StopSignals:
    """The signals that were heard. As process 1 of a container, a process gets only signals that it handles."""

    def __init__(self) -> None:
        self.heard: int | None = None

    def check(self) -> None:
        """Raise StoppedError if a signal was heard."""
        if self.heard is not None:
            raise StoppedError(self.heard)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not longer than until a signal comes. Raises StoppedError then."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _NAP_S))
            self.check()

    def remember(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler."""
        self.heard = self.heard or number


@contextlib.contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """While this lasts, the signals are remembered; afterwards they do what they did before.

    A signal that is ignored stays ignored, as after `nohup`.
    """
    stop = StopSignals()
    heard = [number for number in _NUMBERS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop.remember) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hand_over_signals(stop: StopSignals) -> None:
    """Let a program that replaces this process get the signals as this process got them.

    Raises StoppedError if a signal was heard. Meanwhile signals wait, because one that came between the look
    and the change would end nothing: not this process any more, and not yet the program. Python itself
    ignores SIGPIPE and SIGXFSZ, and bash would inherit that.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)
    try:
        stop.check()
        for number in _NUMBERS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
