"""Serve a container's log as the API does. log_file.py says how a log is kept."""

from __future__ import annotations

import io
import mmap
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tools.clusters.kubernetes_stand_ins.containers import Attempt, Container
from tools.clusters.kubernetes_stand_ins.pod_status import CREATING
from tools.clusters.kubernetes_stand_ins.times import SECOND, nanoseconds, precise

#: Seconds between two looks at a log that is followed.
PAUSE = 0.01
CHUNK = 1 << 18


class LogError(Exception):
    """There is no such log."""


class Options(NamedTuple):
    """Which part of a log is asked for, and in which form."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    #: Nanoseconds since 1970.
    since: int = 0
    limit: int | None = None


def options_of(query: dict[str, str]) -> Options:
    """The options in a request. Raises ValueError if one is wrong."""
    since = 0
    if "sinceTime" in query:
        since = nanoseconds(query["sinceTime"])
    elif "sinceSeconds" in query:
        since = time.time_ns() - int(query["sinceSeconds"]) * SECOND
    return Options(
        follow=query.get("follow") in ("true", "1"),
        previous=query.get("previous") in ("true", "1"),
        timestamps=query.get("timestamps") in ("true", "1"),
        tail=int(query["tailLines"]) if "tailLines" in query else None,
        since=since,
        limit=int(query["limitBytes"]) if "limitBytes" in query else None,
    )


def attempt_of(pod: str, one: Container, wait: str, *, previous: bool) -> Attempt:
    """The attempt whose log is asked for. Raises LogError, with the kubelet's words, if there is none."""
    name = f'container "{one.name}" in pod "{pod}"'
    ended = [attempt for attempt in one.attempts if attempt.ended]
    if previous:
        # A container between two attempts: its previous attempt is the one that ended last.
        is_between = not one.is_running and one.waiting[0] != CREATING
        found = ended if one.is_running or is_between else ended[:-1]
        if not found:
            raise LogError(f'previous terminated container "{one.name}" in pod "{pod}" not found')
        return found[-1]
    if one.latest:
        return one.latest
    reason = wait if one.waiting[0] == CREATING else one.waiting[0]
    if reason == "ErrImagePull":
        raise LogError(f"{name} is waiting to start: image can't be pulled")
    if reason == "ImagePullBackOff":
        raise LogError(f"{name} is waiting to start: trying and failing to pull image")
    raise LogError(f"{name} is waiting to start: {reason}")


def serve(attempt: Attempt, options: Options, is_left: Callable[[], bool]) -> Iterator[bytes]:
    """The log in pieces, as they are written; it ends when the reader has gone."""
    left = options.limit
    with open(attempt.log, "rb") as file:
        if options.tail is not None:
            file.seek(_tail(file, options.tail))
        for piece in _texts(_records(file, attempt, options, is_left), options):
            if left is None:
                yield piece
                continue
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return


def _records(
    file: io.BufferedReader, attempt: Attempt, options: Options, is_left: Callable[[], bool]
) -> Iterator[list[bytes]]:
    """The log's records, several at a time."""
    rest = b""
    while True:
        is_over = attempt.is_over.is_set()
        data = file.read(CHUNK)
        if data:
            *records, rest = (rest + data).split(b"\n")
            yield records
        elif is_over or not options.follow or is_left():
            return
        else:
            time.sleep(PAUSE)


def _texts(batches: Iterator[list[bytes]], options: Options) -> Iterator[bytes]:
    """The text of the records that are asked for."""
    begins = True
    for batch in batches:
        texts = []
        for record in batch:
            written, flag, text = record.split(b" ", 2)
            if int(written) >= options.since:
                if options.timestamps and begins:
                    texts.append(precise(int(written)).encode() + b" ")
                texts.append(text)
                if flag == b"F":
                    texts.append(b"\n")
            begins = flag == b"F"
        if texts:
            yield b"".join(texts)


def _tail(file: io.BufferedReader, lines: int) -> int:
    """The place in the file where the last `lines` lines begin."""
    end = file.seek(0, io.SEEK_END)
    if lines == 0 or end == 0:
        return end
    with mmap.mmap(file.fileno(), end, access=mmap.ACCESS_READ) as data:
        end = data.rfind(b"\n") + 1
        while end > 0:
            start = data.rfind(b"\n", 0, end - 1) + 1
            # A line begins after a record with the flag F, which ends a line.
            before = data.rfind(b"\n", 0, max(start - 1, 0)) + 1
            if start == 0 or data[before:start].split(b" ", 2)[1] == b"F":
                lines -= 1
                if lines == 0:
                    return start
            end = start
    return 0
