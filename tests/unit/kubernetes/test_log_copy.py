"""Pods' logs become files: each line once, in order, whoever reads and whenever one is killed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from prl_submit.backends.kubernetes.log_copy import (
    NodeLog,
    Progress,
    _counted,
    _new,
    _second_before,
    _starts,
    _utc,
)
from prl_submit.backends.kubernetes.objects import ObjectMeta, Pod
from prl_submit.runs.directory import writes_here
from tests.unit.kubernetes.objects import ended, pod, utc

Lines = list[tuple[str, bytes]]


def stamp(second: int, part: int = 0) -> str:
    """A kubelet's time: nine digits, always."""
    return f"2026-11-22T20:00:{second:02d}.{part:09d}Z"


def lines(*moments: tuple[int, int] | int, word: str = "line") -> list[bytes]:
    """A log as it comes, a line for each time."""
    found = []
    for moment in moments:
        second, part = moment if isinstance(moment, tuple) else (moment, 0)
        found.append(f"{stamp(second, part)} {word} {second}.{part}\n".encode())
    return found


def new(kept: Progress, *batches: list[bytes], whole: bool = True) -> list[bytes]:
    """The lines that are new."""
    return [line for batch in _new(kept, batches, whole=whole) for _, line in batch]


def counted(*log: bytes) -> Progress:
    """What is noted when these lines have been taken."""
    kept = Progress(pod="uid-0")
    for raw in log:
        time = _utc(raw.partition(b" ")[0])
        assert time is not None
        kept = _counted(kept, time)
    return kept


def since(log: Sequence[bytes], kept: Progress) -> list[bytes]:
    """What a kubelet answers to that `sinceTime`: it passes over older lines wherever they are."""
    asked = _second_before(kept.newest[:19])
    return [raw for raw in log if raw.decode() >= asked]


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
def test_what_is_noted(log: list[tuple[int, int] | int], noted: tuple[str, int, int]) -> None:
    kept = counted(*lines(*log))
    assert (kept.newest, kept.count, kept.total) == noted


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
        kept = counted(*log[:have])
        expected = [raw.partition(b" ")[2] for raw in log[have:]]
        for cut in range(1, len(log)):  # however it is split into batches
            answer = since(log, kept)
            got = new(kept, answer[:cut], answer[cut:])
            assert got == [
                line for line in expected if line in {a.partition(b" ")[2] for a in answer}
            ]
        # only a line from before the second of the newest may be passed over by the kubelet
        missing = [raw for raw in log[have:] if raw not in since(log, kept)]
        assert all(raw.decode() < kept.newest[:19] for raw in missing)


def test_a_log_whose_beginning_the_node_has_removed() -> None:
    """What is noted of it is not there to be passed over."""
    kept = counted(*lines((1, 4), (1, 5), (1, 6)))
    assert new(kept, lines((2, 0), (1, 5), (3, 0))) == [b"line 2.0\n", b"line 1.5\n", b"line 3.0\n"]
    assert new(kept, lines((1, 6), (2, 0))) == [b"line 2.0\n"]


def test_nothing_is_yielded_for_nothing() -> None:
    log = lines(1, 2)
    assert list(_new(counted(*log), [log[1:], []], whole=True)) == []


def test_a_line_without_an_end_is_left_while_one_follows() -> None:
    cut = [*lines(1), f"{stamp(2)} half".encode()]
    assert new(Progress(), cut, whole=True) == [b"line 1.0\n"]
    assert new(Progress(), cut, whole=False) == [b"line 1.0\n", b"half"]


def test_an_empty_line_is_a_line() -> None:
    assert new(Progress(), [f"{stamp(1)} \n".encode(), f"{stamp(2)}  a b\n".encode()]) == [
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
def test_words_without_a_time_are_no_lines(raw: bytes) -> None:
    """They would be noted as the newest time, from which nobody can go on."""
    log = lines(1, 2)
    assert new(Progress(), [raw, *log]) == [b"line 1.0\n", b"line 2.0\n"]
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
def test_a_nodes_own_zone(theirs: bytes, ours: str | None) -> None:
    """A second that is asked for as UTC must be one."""
    assert _utc(theirs) == ours


# ------------------------------------------------------------------ the file
@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path


def taken(*words: str, second: int = 1) -> Lines:
    """Lines as `take` has them."""
    return [(stamp(second), f"{word}\n".encode()) for word in words]


def begin(log: NodeLog, of: Pod, start: int = 0) -> Progress:
    """What is kept of a container whose turn it may be."""
    kept = log.begin(of, start)
    assert kept is not None
    return kept


def text(logs: Path, node: int = 0) -> str:
    return (logs / f"node{node}.log").read_text()


def note(logs: Path) -> Progress:
    return msgspec.json.decode((logs / ".kept0.json").read_bytes(), type=Progress)


def other(uid: str) -> Pod:
    """A pod made anew: the same name, another uid."""
    first = pod(0)
    return msgspec.structs.replace(first, metadata=ObjectMeta(first.metadata.name, uid))


def test_lines_are_appended_and_noted(logs: Path) -> None:
    log = NodeLog(logs, 0)
    kept = begin(log, pod(0))
    log.take(kept, 0, taken("a", "b"))
    log.take(kept, 2, taken("c", second=2))
    assert text(logs) == "a\nb\nc\n"
    found = note(logs)
    assert (found.pod, found.newest, found.count) == ("uid-0", stamp(2), 1)
    assert (found.total, found.size, found.here) == (3, 6, False)


def test_a_later_reader_goes_on(logs: Path) -> None:
    first = NodeLog(logs, 0)
    first.take(begin(first, pod(0)), 0, taken("a", "b"))
    second = NodeLog(logs, 0)
    kept = begin(second, pod(0))
    assert kept.total == 2
    second.take(kept, kept.total, taken("c"))
    assert text(logs) == "a\nb\nc\n"


def test_nodes_have_files_of_their_own(logs: Path) -> None:
    for node in (0, 1):
        log = NodeLog(logs, node)
        log.take(begin(log, pod(node)), 0, taken(f"of {node}"))
    assert (text(logs, 0), text(logs, 1)) == ("of 0\n", "of 1\n")


def test_one_killed_between_the_lines_and_the_note(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.take(begin(log, pod(0)), 0, taken("a"))
    with (logs / "node0.log").open("a") as file:
        file.write("b\nhalf")
    again = NodeLog(logs, 0)
    kept = begin(again, pod(0))
    again.take(kept, kept.total, taken("b", "half a line"))
    assert text(logs) == "a\nb\nhalf a line\n"


@pytest.mark.parametrize("before", ["", "of the pod before\n"])
def test_one_killed_in_the_first_lines_of_a_pod(
    logs: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        log = NodeLog(logs, 0)
        log.take(begin(log, other("old")), 0, taken(before.strip()))

    class KilledError(Exception):
        """Stands for SIGKILL."""

    def killed(kept: Progress, time: str) -> Progress:
        raise KilledError

    log = NodeLog(logs, 0)
    kept = begin(log, pod(0))
    with monkeypatch.context() as patch:
        patch.setattr("prl_submit.backends.kubernetes.log_copy._counted", killed)
        with pytest.raises(KilledError):
            log.take(kept, 0, taken("a", "b"))
    assert text(logs) == f"{before}a\nb\n"
    again = NodeLog(logs, 0)
    kept = begin(again, pod(0))
    again.take(kept, kept.total, taken("a", "b", "c"))
    assert text(logs) == f"{before}a\nb\nc\n"


def test_two_readers_of_the_same_lines(logs: Path) -> None:
    log = NodeLog(logs, 0)
    one, two = begin(log, pod(0)), begin(log, pod(0))
    log.take(one, 0, taken("a", "b", "c"))
    log.take(two, 0, taken("a", "b"))
    log.take(two, 2, taken("c", "d"))
    log.take(one, 3, taken("d", "e"))
    assert text(logs) == "a\nb\nc\nd\ne\n"
    assert note(logs).total == 5


def test_a_later_pods_turn(logs: Path) -> None:
    log = NodeLog(logs, 0)
    old = begin(log, other("old"))
    log.take(old, 0, taken("a"))
    log.take(begin(log, pod(0)), 0, taken("b"))
    log.take(old, 1, taken("too late"))
    assert text(logs) == "a\nb\n"
    assert log.begin(other("old"), 0) is None
    assert NodeLog(logs, 0).begin(other("old"), 0) is None
    log.set_here(old)
    assert not note(logs).here


def test_the_same_container_started_again_is_a_later_one(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.take(begin(log, pod(0), 0), 0, taken("a"))
    log.take(begin(log, pod(0), 1), 0, taken("b"))
    assert text(logs) == "a\nb\n"
    assert log.begin(pod(0), 0) is None
    assert begin(log, pod(0), 1).total == 1


def test_what_is_written_before_a_later_pods_first_line_stays(logs: Path) -> None:
    log = NodeLog(logs, 0)
    old = begin(log, other("old"))
    log.take(old, 0, taken("a"))
    late = begin(log, pod(0))
    log.take(old, 1, taken("b"))
    log.take(late, 0, taken("c"))
    assert text(logs) == "a\nb\nc\n"


def test_of_three_pods_none_comes_back(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.take(begin(log, other("first")), 0, taken("a"))
    second, third = begin(log, other("second")), begin(log, other("third"))
    log.take(second, 0, taken("b"))
    log.take(third, 0, taken("c"))
    log.take(second, 1, taken("too late"))
    assert text(logs) == "a\nb\nc\n"


def test_a_pods_half_line_and_the_next_pods_first(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.take(begin(log, other("old")), 0, [(stamp(1), b"cut off")])
    kept = begin(log, pod(0))
    log.take(kept, 0, taken("b"))
    log.take(kept, 1, [(stamp(2), b"no end")])
    assert text(logs) == "cut off\nb\nno end"
    assert note(logs).size == len("cut off\nb\nno end")


def test_a_log_that_somebody_removed(logs: Path) -> None:
    log = NodeLog(logs, 0)
    kept = begin(log, pod(0))
    log.take(kept, 0, taken("a"))
    (logs / "node0.log").unlink()
    log.take(kept, 1, taken("b"))
    assert text(logs) == "b\n"
    assert note(logs).size == 2


@pytest.mark.parametrize("content", [b"", b"{", b'{"total": "x"}'])
def test_a_note_that_does_not_read(logs: Path, content: bytes) -> None:
    (logs / ".kept0.json").write_bytes(content)
    log = NodeLog(logs, 0)
    log.take(begin(log, pod(0)), 0, taken("a"))
    assert text(logs) == "a\n"
    assert note(logs).total == 1


def test_a_pod_that_writes_here_itself(logs: Path) -> None:
    log = NodeLog(logs, 0)
    assert not writes_here(logs, 0, "mr-01234567-master-0")
    (logs / ".pod0").write_text("mr-01234567-master-0\n")
    assert writes_here(logs, 0, "mr-01234567-master-0")
    assert not writes_here(logs, 0, "mr-01234567-master-1")
    log.set_here(begin(log, pod(0)))
    again = begin(NodeLog(logs, 0), pod(0))
    assert again.here
    assert not begin(log, other("new")).here


def test_a_log_that_has_been_replaced_by_the_whole_one(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.take(begin(log, pod(0)), 0, taken("b"))
    (logs / "node0.log").write_text("a\nb\n")
    log.set_whole([pod(0), other("unread")])
    assert begin(NodeLog(logs, 0), pod(0)).here
    assert NodeLog(logs, 0).begin(other("unread"), 0) is None
    assert note(logs).size == 4


# ------------------------------------------------------------------ which starts have a log
@pytest.mark.parametrize(
    ("status", "starts"),
    [
        ({"state": {"running": {}}}, [(0, False)]),
        ({"state": ended(0)}, [(0, False)]),
        ({"state": {"waiting": {}}}, []),
        ({"state": {"running": {}}, "restartCount": 2, "lastState": ended(1)}, [(1, True), (2, False)]),
        ({"state": {"waiting": {}}, "restartCount": 2, "lastState": ended(1)}, [(1, True)]),
        ({"state": {"running": {}}, "restartCount": 2}, [(2, False)]),
    ],
)  # fmt: skip
def test_starts(status: dict[str, object], starts: list[tuple[int, bool]]) -> None:
    seen = pod(0, containerStatuses=[{"name": "pytorch", **status}], startTime=utc(1))
    assert list(_starts(seen)) == starts


def test_a_pod_that_no_kubelet_has_seen() -> None:
    assert list(_starts(pod(0, "Pending"))) == []
