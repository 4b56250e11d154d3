"""A container's log on disk: one record a line, as container runtimes write it.

A record: nanoseconds since 1970, a space, F (the line ends here) or P (it does not), a space, bytes.
"""

from __future__ import annotations

import os
import time

#: Longer lines are several records.
LONGEST = 16384


class LogWriter:
    """Writes what comes from a container's two streams, each line as it becomes whole."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._rest: dict[int, bytes] = {}
        self._next = 0

    def add(self, stream: int, data: bytes) -> None:
        """What was just read from a stream."""
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        records = [(line, b"F") for line in lines]
        pieces = []
        for line, flag in records:
            pieces += _split(line, flag)
        while len(rest) >= LONGEST:
            pieces.append((rest[:LONGEST], b"P"))
            rest = rest[LONGEST:]
        self._rest[stream] = rest
        self._write(pieces)

    def end(self, stream: int) -> None:
        """The stream is over; a last line without its end is kept."""
        rest = self._rest.pop(stream, b"")
        if rest:
            self._write([(rest, b"P")])

    def _write(self, pieces: list[tuple[bytes, bytes]]) -> None:
        """All of them at this time, no two at the same nanosecond."""
        first = max(time.time_ns(), self._next)
        self._next = first + len(pieces)
        data = b"".join(
            b"%d %s %s\n" % (first + count, flag, piece)
            for count, (piece, flag) in enumerate(pieces)
        )
        while data:
            data = data[os.write(self._file, data) :]


def _split(line: bytes, flag: bytes) -> list[tuple[bytes, bytes]]:
    """A line in pieces; only the last has its flag."""
    pieces = [(line[at : at + LONGEST], b"P") for at in range(0, len(line), LONGEST)]
    last = pieces.pop()[0] if pieces else b""
    return [*pieces, (last, flag)]
