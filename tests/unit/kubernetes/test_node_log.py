"""Lines of pods' logs in a node's file: each once and in order, whichever process copies or is killed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from prl_submit.backends.kubernetes.log_lines import CopyProgress, Line
from prl_submit.backends.kubernetes.node_log import NodeLog, container_starts
from prl_submit.backends.kubernetes.objects import ObjectMeta, Pod
from prl_submit.runs.logs import writes_here
from tests.unit.kubernetes.objects import ended, pod, utc


def stamp(second: int, part: int = 0) -> str:
    """A time as the kubelet writes it, always with nine digits."""
    return f"2026-11-22T20:00:{second:02d}.{part:09d}Z"


# ------------------------------------------------------------------ the file
@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path


def taken(*words: str, second: int = 1) -> list[Line]:
    """Lines as `append_new` takes them."""
    return [(stamp(second), f"{word}\n".encode()) for word in words]


def begin(log: NodeLog, of: Pod, start: int = 0) -> CopyProgress:
    """The progress of a container whose turn has come."""
    progress = log.begin(of, start)
    assert progress is not None
    return progress


def text(logs: Path, node: int = 0) -> str:
    return (logs / f"node{node}.log").read_text()


def note(logs: Path) -> CopyProgress:
    return msgspec.json.decode((logs / ".kept0.json").read_bytes(), type=CopyProgress)


def other(uid: str) -> Pod:
    """A new pod with the same name and another uid."""
    first = pod(0)
    return msgspec.structs.replace(first, metadata=ObjectMeta(first.metadata.name, uid))


def test_lines_are_appended_and_the_progress_is_saved(logs: Path) -> None:
    log = NodeLog(logs, 0)
    progress = begin(log, pod(0))
    log.append_new(progress, 0, taken("a", "b"))
    log.append_new(progress, 2, taken("c", second=2))
    assert text(logs) == "a\nb\nc\n"
    found = note(logs)
    assert (found.pod, found.newest, found.count) == ("uid-0", stamp(2), 1)
    assert (found.total, found.size, found.here) == (3, 6, False)


def test_a_later_reader_continues(logs: Path) -> None:
    first = NodeLog(logs, 0)
    first.append_new(begin(first, pod(0)), 0, taken("a", "b"))
    second = NodeLog(logs, 0)
    progress = begin(second, pod(0))
    assert progress.total == 2
    second.append_new(progress, progress.total, taken("c"))
    assert text(logs) == "a\nb\nc\n"


def test_nodes_have_files_of_their_own(logs: Path) -> None:
    for node in (0, 1):
        log = NodeLog(logs, node)
        log.append_new(begin(log, pod(node)), 0, taken(f"of {node}"))
    assert (text(logs, 0), text(logs, 1)) == ("of 0\n", "of 1\n")


def test_killed_between_writing_lines_and_saving_the_progress(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.append_new(begin(log, pod(0)), 0, taken("a"))
    with (logs / "node0.log").open("a") as file:
        file.write("b\nhalf")
    again = NodeLog(logs, 0)
    progress = begin(again, pod(0))
    again.append_new(progress, progress.total, taken("b", "half a line"))
    assert text(logs) == "a\nb\nhalf a line\n"


@pytest.mark.parametrize("before", ["", "of the pod before\n"])
def test_killed_while_writing_the_first_lines_of_a_pod(
    logs: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if before:
        log = NodeLog(logs, 0)
        log.append_new(begin(log, other("old")), 0, taken(before.strip()))

    class KilledError(Exception):
        """Stands for SIGKILL."""

    def killed(progress: CopyProgress, time: str) -> CopyProgress:
        raise KilledError

    log = NodeLog(logs, 0)
    progress = begin(log, pod(0))
    with monkeypatch.context() as patch:
        patch.setattr("prl_submit.backends.kubernetes.node_log.with_line", killed)
        with pytest.raises(KilledError):
            log.append_new(progress, 0, taken("a", "b"))
    assert text(logs) == f"{before}a\nb\n"
    again = NodeLog(logs, 0)
    progress = begin(again, pod(0))
    again.append_new(progress, progress.total, taken("a", "b", "c"))
    assert text(logs) == f"{before}a\nb\nc\n"


def test_two_readers_of_the_same_lines(logs: Path) -> None:
    log = NodeLog(logs, 0)
    one, two = begin(log, pod(0)), begin(log, pod(0))
    log.append_new(one, 0, taken("a", "b", "c"))
    log.append_new(two, 0, taken("a", "b"))
    log.append_new(two, 2, taken("c", "d"))
    log.append_new(one, 3, taken("d", "e"))
    assert text(logs) == "a\nb\nc\nd\ne\n"
    assert note(logs).total == 5


def test_a_later_pods_turn(logs: Path) -> None:
    log = NodeLog(logs, 0)
    old = begin(log, other("old"))
    log.append_new(old, 0, taken("a"))
    log.append_new(begin(log, pod(0)), 0, taken("b"))
    log.append_new(old, 1, taken("too late"))
    assert text(logs) == "a\nb\n"
    assert log.begin(other("old"), 0) is None
    assert NodeLog(logs, 0).begin(other("old"), 0) is None
    log.mark_written_by_pod(old)
    assert not note(logs).here


def test_the_same_container_started_again_is_a_later_one(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.append_new(begin(log, pod(0), 0), 0, taken("a"))
    log.append_new(begin(log, pod(0), 1), 0, taken("b"))
    assert text(logs) == "a\nb\n"
    assert log.begin(pod(0), 0) is None
    assert begin(log, pod(0), 1).total == 1


def test_what_is_written_before_a_later_pods_first_line_stays(logs: Path) -> None:
    log = NodeLog(logs, 0)
    old = begin(log, other("old"))
    log.append_new(old, 0, taken("a"))
    late = begin(log, pod(0))
    log.append_new(old, 1, taken("b"))
    log.append_new(late, 0, taken("c"))
    assert text(logs) == "a\nb\nc\n"


def test_after_a_third_pod_the_second_cannot_write(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.append_new(begin(log, other("first")), 0, taken("a"))
    second, third = begin(log, other("second")), begin(log, other("third"))
    log.append_new(second, 0, taken("b"))
    log.append_new(third, 0, taken("c"))
    log.append_new(second, 1, taken("too late"))
    assert text(logs) == "a\nb\nc\n"


def test_a_pods_half_line_and_the_next_pods_first(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.append_new(begin(log, other("old")), 0, [(stamp(1), b"cut off")])
    progress = begin(log, pod(0))
    log.append_new(progress, 0, taken("b"))
    log.append_new(progress, 1, [(stamp(2), b"no end")])
    assert text(logs) == "cut off\nb\nno end"
    assert note(logs).size == len("cut off\nb\nno end")


def test_a_log_that_somebody_removed(logs: Path) -> None:
    log = NodeLog(logs, 0)
    progress = begin(log, pod(0))
    log.append_new(progress, 0, taken("a"))
    (logs / "node0.log").unlink()
    log.append_new(progress, 1, taken("b"))
    assert text(logs) == "b\n"
    assert note(logs).size == 2


@pytest.mark.parametrize("content", [b"", b"{", b'{"total": "x"}'])
def test_a_progress_file_that_cannot_be_read(logs: Path, content: bytes) -> None:
    (logs / ".kept0.json").write_bytes(content)
    log = NodeLog(logs, 0)
    log.append_new(begin(log, pod(0)), 0, taken("a"))
    assert text(logs) == "a\n"
    assert note(logs).total == 1


def test_a_pod_that_writes_here_itself(logs: Path) -> None:
    log = NodeLog(logs, 0)
    assert not writes_here(logs, 0, "mr-01234567-master-0")
    (logs / ".pod0").write_text("mr-01234567-master-0\n")
    assert writes_here(logs, 0, "mr-01234567-master-0")
    assert not writes_here(logs, 0, "mr-01234567-master-1")
    log.mark_written_by_pod(begin(log, pod(0)))
    again = begin(NodeLog(logs, 0), pod(0))
    assert again.here
    assert not begin(log, other("new")).here


def test_a_log_that_collect_has_replaced(logs: Path) -> None:
    log = NodeLog(logs, 0)
    log.append_new(begin(log, pod(0)), 0, taken("b"))
    (logs / "node0.log").write_text("a\nb\n")
    log.mark_complete([pod(0), other("unread")])
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
    assert list(container_starts(seen)) == starts


def test_a_pod_that_no_kubelet_has_seen() -> None:
    assert list(container_starts(pod(0, "Pending"))) == []
