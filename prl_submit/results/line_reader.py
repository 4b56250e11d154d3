"""The lines that were added to a growing file since the last look."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from prl_submit.system.reading import open_regular

_CHUNK = 1 << 20


class NewLines:
    """Reads a file's lines once each. A line without its line end is still being written, and is not read.

    `replaced`: how often the file was found shorter than before, or to be another file (a copy of the file
    was renamed to its name). The next `read` then begins with the first line, and the caller must forget
    what was read before. Symbolic links, pipes and devices are not read.
    """

    def __init__(self, path: Path, longest: int, tail: int | None = None) -> None:
        """`longest`: lines with more bytes are skipped. `tail`: begin so many bytes before the file's end."""
        self.replaced = 0
        self._path = path
        self._longest = longest
        self._tail = tail
        self._offset = 0
        self._inode: int | None = None
        #: True while the bytes up to the next line end belong to a line that is skipped.
        self._skipping = False
        #: The lines of a block that a caller of `read` did not take, the next one last.
        self._unread: list[bytes] = []

    def look(self) -> None:
        """Find out whether the file was replaced since the last look."""
        try:
            found = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return
        if self._inode is None:
            self._begin(found.st_size)
        elif found.st_ino != self._inode or found.st_size < self._offset:
            self.replaced += 1
            self._unread = []
            self._begin(found.st_size)
        self._inode = found.st_ino

    def _begin(self, size: int) -> None:
        self._offset = 0 if self._tail is None else max(0, size - self._tail)
        self._skipping = self._offset > 0  # most likely in the middle of a line

    def read(self) -> Iterator[bytes]:
        """The new lines, without their line ends. Nothing if the file is missing or cannot be read."""
        for lines in self.blocks():
            lines.reverse()
            self._unread = lines
            while lines:
                yield lines.pop()

    def blocks(self) -> Iterator[list[bytes]]:
        """The same lines, many at a time. A block that was returned is never returned again."""
        self.look()
        if self._unread:
            lines, self._unread = self._unread[::-1], []
            yield lines
        try:
            with open_regular(self._path, follow=False) as file:
                file.seek(self._offset)
                yield from self._blocks(file)
        except OSError:
            return

    def _blocks(self, file: BinaryIO) -> Iterator[list[bytes]]:
        rest = b""
        while data := file.read(_CHUNK):
            *lines, rest = (rest + data).split(b"\n")
            self._offset += sum(map(len, lines)) + len(lines)
            if lines and self._skipping:
                self._skipping = False
                del lines[0]
            if max(map(len, lines), default=0) > self._longest:
                lines = [line for line in lines if len(line) <= self._longest]
            yield lines
            if self._skipping or len(rest) > self._longest:
                self._offset += len(rest)
                self._skipping = True
                rest = b""
