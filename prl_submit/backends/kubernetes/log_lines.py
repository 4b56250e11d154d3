"""Which lines of a pod's log are new, when prl-submit asks the kubelet for the log again.

Lines have no numbers, only times, and several lines may have the same time. So prl-submit notes how many
lines it has copied of the newest line's second and of the second before. It asks the kubelet for the log
from the earlier of these seconds on, and skips that many lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone

import msgspec
from msgspec import Struct

#: A line: its time in UTC, and its text with the line end.
Line = tuple[str, bytes]


class CopyProgress(Struct, frozen=True, kw_only=True):
    """How far the log of a node's newest container has been copied; stored as logs/.keptN.json.

    `pod`, `start`: the pod's uid, and how often its container had been restarted before.
    `newest`: the time of the newest copied line, in UTC.
    `count`, `before`: copied lines of that second and of the second before. `total`: copied lines.
    `size`: bytes of logs/nodeN.log after the last copied line.
    `here`: the pod writes logs/nodeN.log itself, so nothing is copied.
    `earlier`: containers (pod's uid, start) that ran before this one; their logs are finished.
    """

    pod: str = ""
    start: int = 0
    newest: str = ""
    count: int = 0
    before: int = 0
    total: int = 0
    size: int = 0
    here: bool = False
    earlier: tuple[tuple[str, int], ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """The container that is being copied: its pod's uid and its start."""
        return self.pod, self.start


def with_line(progress: CopyProgress, time: str) -> CopyProgress:
    """The progress after one more line with that time has been copied."""
    second, newest = _second(time), _second(progress.newest)
    count, before = progress.count, progress.before
    # stdout and stderr may be mixed a little out of order, so a line may be of an earlier second.
    if second == newest:
        count += 1
    elif second > newest:
        before = count if newest == _second_before(second) else 0
        count = 1
    elif second == _second_before(newest):
        before += 1
    return msgspec.structs.replace(
        progress,
        newest=max(time, progress.newest),
        count=count,
        before=before,
        total=progress.total + 1,
    )


def since_time(progress: CopyProgress) -> str | None:
    """From when on the kubelet must send the log (`sinceTime`); None: all of it."""
    if not progress.newest:
        return None
    return f"{_second_before(_second(progress.newest))}Z"


def new_lines(
    progress: CopyProgress, batches: Iterable[list[bytes]], *, whole: bool
) -> Iterator[list[Line]]:
    """The lines of a log since `since_time` that have not been copied, in batches.

    `batches`: raw lines as the kubelet sends them, each with its time first. `whole`: skip a last line
    without line end, because the container may still write the rest of it.
    """
    to_skip = progress.count + progress.before
    for batch in batches:
        lines = []
        for raw in batch:
            if whole and not raw.endswith(b"\n"):
                continue
            stamp, _, text = raw.partition(b" ")
            time = utc_time(stamp)
            if time is None:
                continue
            if to_skip and time <= progress.newest:
                to_skip -= 1
                continue
            to_skip = 0
            lines.append((time, text))
        if lines:
            yield lines


def utc_time(stamp: bytes) -> str | None:
    """A line's time in UTC, so that times sort as text; each node writes its own time zone.

    None if it is no time: the kubelet's own message, or the rest of a long line that the kubelet split.
    """
    time = stamp.decode("ascii", "replace").rstrip("\n")
    try:
        if time.endswith("Z"):
            return time if datetime.fromisoformat(time[:19]) else None
        at = datetime.fromisoformat(time[:19] + time[-6:]).astimezone(timezone.utc)
    except ValueError:
        return None
    return f"{at:%Y-%m-%dT%H:%M:%S}{time[19:-6]}Z"


def _second(time: str) -> str:
    return time[:19]


def _second_before(second: str) -> str:
    if not second:
        return ""
    return (datetime.fromisoformat(second) - timedelta(seconds=1)).isoformat()
