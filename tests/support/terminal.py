"""A terminal as users have one: a pseudo-terminal of some size, and what its screen shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PART = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|\r\n|\r|\n|[^\x1b\r\n]+")


class Screen:
    """The lines that a terminal shows. It knows only the sequences that prl-submit writes, without wide characters."""

    def __init__(self) -> None:
        #: The lines of the usual screen, and those of the other one while it is shown.
        self.usual: list[str] = [""]
        self.other: list[str] | None = None
        #: All that was written, and every state of the other screen that was not empty.
        self.written = ""
        self.frames: list[list[str]] = []
        self._row = self._column = 0

    def write(self, text: str) -> None:
        """Take in what a program wrote."""
        self.written += text
        for match in _PART.finditer(text):
            part = match[0]
            if match[3]:
                self._order(match[1] == "?", match[2], match[3])
            elif part == "\r":
                self._column = 0
            elif "\n" in part:
                self._row, self._column = self._row + 1, 0 if "\r" in part else self._column
            else:
                self._put(part)

    def _lines(self) -> list[str]:
        return self.usual if self.other is None else self.other

    def _put(self, text: str) -> None:
        lines = self._lines()
        lines += [""] * (self._row + 1 - len(lines))
        line = lines[self._row].ljust(self._column)
        lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
        self._column += len(text)

    def _order(self, private: bool, words: str, letter: str) -> None:
        if private and words == "1049":
            self.other = [] if letter == "h" else None
            self._row, self._column = (0, 0) if letter == "h" else (len(self.usual) - 1, 0)
        elif private and words == "2026" and letter == "l":
            self.frames.append([line.rstrip() for line in self._lines()])
        elif letter == "H":
            row, _, column = (words or "1;1").partition(";")
            self._row, self._column = int(row) - 1, int(column or 1) - 1
        elif letter == "K" and self._row < len(self._lines()):
            self._lines()[self._row] = self._lines()[self._row][: self._column]
        elif letter == "J":
            del self._lines()[0 if words == "2" else self._row :]


class Terminal:
    """A program on a terminal. `screen` has what it shows by now."""

    def __init__(
        self, argv: Sequence[object], cwd: Path, environ: Mapping[str, str], columns: int, rows: int
    ) -> None:
        self.screen = Screen()
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [str(word) for word in argv],
            cwd=cwd,
            env=dict(environ),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # no threads here
        )
        os.close(theirs)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def type(self, text: bytes) -> None:
        """Press keys. Ctrl-C is the byte 3."""
        os.write(self._ours, text)

    def until(self, check: Callable[[], object], timeout: float = 30.0) -> None:
        """Read what the program writes until `check` is true."""
        deadline = time.monotonic() + timeout
        while not check():
            assert time.monotonic() < deadline, self.screen.written[-3000:]
            self._read()

    def finish(self, timeout: float = 30.0) -> int:
        """Read to the program's end; its exit code."""
        deadline = time.monotonic() + timeout
        while self._read() and time.monotonic() < deadline:
            pass
        code = self.process.wait(max(deadline - time.monotonic(), 1))
        os.close(self._ours)
        return code

    def _read(self) -> bool:
        """Read what is there. False if the program has closed the terminal."""
        if not select.select([self._ours], [], [], 0.1)[0]:
            return self.process.poll() is None
        with contextlib.suppress(OSError):  # EIO: the other side was closed
            if content := os.read(self._ours, 1 << 16):
                self.screen.write(content.decode())
                return True
        return False
