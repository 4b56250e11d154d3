"""Which lines of a pod's log are new: each is copied once, wherever the copy had stopped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from prl_submit.backends.kubernetes.log_lines import (
    CopyProgress,
    new_lines,
    since_time,
    utc_time,
    with_line,
)


def stamp(second: int, part: int = 0) -> str:
    """A time as the kubelet writes it, always with nine digits."""
    return f"2026-11-22T20:00:{second:02d}.{part:09d}Z"


def lines(*moments: tuple[int, int] | int, word: str = "line") -> list[bytes]:
    """The raw lines of a log, one for each time."""
    found = []
    for moment in moments:
        second, part = moment if isinstance(moment, tuple) else (moment, 0)
        found.append(f"{stamp(second, part)} {word} {second}.{part}\n".encode())
    return found


def new(progress: CopyProgress, *batches: list[bytes], whole: bool = True) -> list[bytes]:
    """The lines that are new."""
    return [line for batch in new_lines(progress, batches, whole=whole) for _, line in batch]


def counted(*log: bytes) -> CopyProgress:
    """The progress after these lines have been copied."""
    progress = CopyProgress(pod="uid-0")
    for raw in log:
        time = utc_time(raw.partition(b" ")[0])
        assert time is not None
        progress = with_line(progress, time)
    return progress


def since(log: Sequence[bytes], progress: CopyProgress) -> list[bytes]:
    """What the kubelet sends for that `sinceTime`: it skips older lines, wherever they are."""
    asked = since_time(progress)
    return [raw for raw in log if asked is None or raw.decode() >= asked.rstrip("Z")]


# ------------------------------------------------------------------ which lines are new
@pytest.mark.parametrize(
    ("log", "noted"),
    [
        ([1], (stamp(1), 1, 1)),
        ([1, 1, 1], (stamp(1), 3, 3)),
        ([1, 1, 2], (stamp(2), 1, 3)),
        ([(1, 1), (1, 9), (2, 3), (2, 7)], (stamp(2, 7), 2, 4)),
        ([(1, 9), (1, 1)], (stamp(1, 9), 2, 2)),
        ([(2, 1), (1, 9)], (stamp(2, 1), 1, 2)),
        ([(2, 1), (1, 9), (2, 0)], (stamp(2, 1), 2, 3)),
        ([(2, 1), (2, 2), (1, 9)], (stamp(2, 2), 2, 3)),
    ],
)
def test_progress_after_each_log(
    log: list[tuple[int, int] | int], noted: tuple[str, int, int]
) -> None:
    progress = counted(*lines(*log))
    assert (progress.newest, progress.count, progress.total) == noted


MOMENTS: dict[str, list[tuple[int, int] | int]] = {
    "a line each second": [1, 2, 3, 4, 5],
    "many of one second": [(1, i) for i in range(5)],
    "many of one moment": [1, 1, 1, 1, 1],
    "late, over a second's end": [
        (1, 1),
        (2, 1),
        (1, 9),
        (2, 2),
        (1, 8),
        (4, 0),
        (3, 9),
        (5, 0),
        (4, 9),
    ],
    "two streams, out of order": [(1, 5), (1, 3), (1, 6), (1, 4), (2, 0), (1, 9), (2, 1)],
    "a fraction that begins with 0": [(1, 1), (1, 10), (1, 100_000_000), (1, 999_999_999)],
}


@pytest.mark.parametrize("kind", MOMENTS)
def test_resuming_anywhere_takes_each_line_once(kind: str) -> None:
    log = lines(*MOMENTS[kind])
    for have in range(len(log) + 1):
        progress = counted(*log[:have])
        expected = [raw.partition(b" ")[2] for raw in log[have:]]
        for cut in range(1, len(log)):  # however it is split into batches
            answer = since(log, progress)
            got = new(progress, answer[:cut], answer[cut:])
            assert got == [
                line for line in expected if line in {a.partition(b" ")[2] for a in answer}
            ]
        # only a line from before the second of the newest may be passed over by the kubelet
        missing = [raw for raw in log[have:] if raw not in since(log, progress)]
        assert all(raw.decode() < progress.newest[:19] for raw in missing)


def test_a_log_whose_beginning_the_node_has_removed() -> None:
    """The copied lines are gone from the log, so none of the rest is skipped."""
    progress = counted(*lines((1, 4), (1, 5), (1, 6)))
    assert new(progress, lines((2, 0), (1, 5), (3, 0))) == [
        b"line 2.0\n",
        b"line 1.5\n",
        b"line 3.0\n",
    ]
    assert new(progress, lines((1, 6), (2, 0))) == [b"line 2.0\n"]


def test_empty_batches_are_not_yielded() -> None:
    log = lines(1, 2)
    assert list(new_lines(counted(*log), [log[1:], []], whole=True)) == []


def test_an_incomplete_line_is_left_while_the_log_is_followed() -> None:
    cut = [*lines(1), f"{stamp(2)} half".encode()]
    assert new(CopyProgress(), cut, whole=True) == [b"line 1.0\n"]
    assert new(CopyProgress(), cut, whole=False) == [b"line 1.0\n", b"half"]


def test_an_empty_line_is_a_line() -> None:
    assert new(CopyProgress(), [f"{stamp(1)} \n".encode(), f"{stamp(2)}  a b\n".encode()]) == [
        b"\n",
        b" a b\n",
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"unable to retrieve container logs for containerd://5b6f\n",
        b"rpc error: code = NotFound\n",
        "50%|█████     | 1/2 [00:01<00:01]\n".encode(),  # of a line that began in an earlier second
        b"\n",
        b"2026\n",
        b"2026-99-99T00:00:00Z x\n",
    ],
)
def test_lines_without_a_time_are_skipped(raw: bytes) -> None:
    """They must not become the newest time, from which the next request would start."""
    log = lines(1, 2)
    assert new(CopyProgress(), [raw, *log]) == [b"line 1.0\n", b"line 2.0\n"]
    assert new(counted(log[0]), [raw, *log]) == [b"line 2.0\n"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (b"2026-11-22T20:00:05.123456789Z", "2026-11-22T20:00:05.123456789Z"),
        (b"2026-11-23T04:00:05.123456789+08:00", "2026-11-22T20:00:05.123456789Z"),
        (b"2026-11-22T14:30:05.5-05:30", "2026-11-22T20:00:05.5Z"),
        (b"2026-11-22T20:00:05Z", "2026-11-22T20:00:05Z"),
        (b"2026-11-22T20:00:05+00:00", "2026-11-22T20:00:05Z"),
        (b"\xff\xfe", None),
        (b"Z", None),
        (b"", None),
    ],
)
def test_times_of_all_zones_become_utc(theirs: bytes, ours: str | None) -> None:
    """`sinceTime` is UTC, so the stored times must be UTC too."""
    assert utc_time(theirs) == ours
