"""A part of the terminal's screen that is drawn again and again, without flicker."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType

#: The other screen of the terminal, so that nothing on the first one is lost. The cursor is hidden there, and a
#: line that is too long for a moment, because the terminal became narrower, does not go on in the next line.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
#: Everything between these appears at once, where the terminal can do that.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"


def has_screen() -> bool:
    """True if the terminal understands where to draw."""
    return os.environ.get("TERM") not in (None, "", "dumb")


def size() -> tuple[int, int]:
    """The columns and lines of the terminal."""
    found = os.get_terminal_size(sys.stdout.fileno())
    return found.columns or 80, found.lines or 24


class LiveScreen:
    """The terminal's other screen. At the end, and while the program is stopped, the first one is back."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._size = (0, 0)
        self._changed = threading.Event()
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> LiveScreen:
        for number, handler in (
            (signal.SIGWINCH, self._resized),
            (signal.SIGTSTP, self._stopped),
            (signal.SIGTERM, self._ended),
        ):
            self._handlers[number] = signal.signal(number, handler)
        _write(_ENTER)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _write(_LEAVE)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal.signal returned it

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines. Only the lines that differ from those shown before are written."""
        now = size()
        parts = [_BEGIN]
        if now != self._size:
            self._size, self._shown = now, []
            parts.append("\x1b[2J")
        for number, line in enumerate(lines):
            if number >= len(self._shown) or self._shown[number] != line:
                parts.append(f"\x1b[{number + 1};1H{line}\x1b[0m\x1b[K")
        if len(lines) < len(self._shown):
            parts.append(f"\x1b[{len(lines) + 1};1H\x1b[J")
        self._shown = list(lines)
        if len(parts) > 1:
            _write("".join([*parts, _END]))

    def pause(self, seconds: float) -> None:
        """Wait; less long if the size of the terminal changes."""
        self._changed.wait(seconds)
        self._changed.clear()

    def _resized(self, number: int, frame: FrameType | None) -> None:
        self._changed.set()

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: give the first screen back, and stop until the user continues this program."""
        _write(_LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        _write(_ENTER)
        self._size = (0, 0)  # so that the next `draw` writes all lines
        self._changed.set()

    def _ended(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM: give the first screen back, and end with the exit code of that signal."""
        raise SystemExit(128 + signal.SIGTERM)


def _write(text: str) -> None:
    """Write to the terminal at once. sys.stdout is not used, because a signal's handler may write meanwhile."""
    content = text.encode("utf-8", "surrogateescape")
    while content:
        content = content[os.write(sys.stdout.fileno(), content) :]
