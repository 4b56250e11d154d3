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
            self._begin(found.st_size)
        self._inode = found.st_ino

    def _begin(self, size: int) -> None:
        self._offset = 0 if self._tail is None else max(0, size - self._tail)
        self._skipping = self._offset > 0  # most likely in the middle of a line

    def read(self) -> Iterator[bytes]:
        """The new lines, without their line ends. Nothing if the file is missing or cannot be read."""
        self.look()
        try:
            with open_regular(self._path, follow=False) as file:
                file.seek(self._offset)
                yield from self._lines(file)
        except OSError:
            return

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        rest = b""
        while data := file.read(_CHUNK):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._offset += len(line) + 1
                if self._skipping:
                    self._skipping = False
                elif len(line) <= self._longest:
                    yield line
            if self._skipping or len(rest) > self._longest:
                self._offset += len(rest)
                self._skipping = True
                rest = b""
