"""A container's log on disk, in the manner of container runtimes: each line of the file is a record.

A record is: nanoseconds since 1970, a space, F or P, a space, the bytes. F: the container's line ends
here (full); P: it goes on in the next record (partial).
"""

from __future__ import annotations

import os
import time

#: A longer line becomes several records.
LONGEST = 16384


class LogWriter:
    """Writes the output of a container's two streams, each line when it is whole."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._rest: dict[int, bytes] = {}
        self._next = 0

    def add(self, stream: int, data: bytes) -> None:
        """Take what was just read from a stream."""
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
        """The stream has ended: write a last line that has no newline."""
        rest = self._rest.pop(stream, b"")
        if rest:
            self._write([(rest, b"P")])

    def _write(self, pieces: list[tuple[bytes, bytes]]) -> None:
        """Write the pieces with the time of now, each with its own nanosecond."""
        first = max(time.time_ns(), self._next)
        self._next = first + len(pieces)
        data = b"".join(
            b"%d %s %s\n" % (first + count, flag, piece)
            for count, (piece, flag) in enumerate(pieces)
        )
        while data:
            data = data[os.write(self._file, data) :]


def _split(line: bytes, flag: bytes) -> list[tuple[bytes, bytes]]:
    """A line in pieces that are short enough; the last has the line's flag, the others P."""
    pieces = [(line[at : at + LONGEST], b"P") for at in range(0, len(line), LONGEST)]
    last = pieces.pop()[0] if pieces else b""
    return [*pieces, (last, flag)]
