"""The states of a platform's runs, from files alone: nothing here starts a process or waits."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prl_submit.backends.asking import states_of
from prl_submit.backends.platform import backend as module
from prl_submit.backends.platform.backend import PlatformBackend
from prl_submit.errors import BackendRefusedError
from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import (
    ATTEMPTS,
    CANCEL,
    LOGS,
    VERDICT,
    alive_file,
    node_log,
    starts_file,
)
from prl_submit.runs.record import PlatformJob
from prl_submit.runs.signs_of_life import footprint, last_size
from prl_submit.runs.states import State
from tests.support.platform_runs import TOKEN, alive, cancelled, ended, platform_run, touch

HOUR = 3600.0
LONG = 600.0
WAITING = "waiting for the platform to start it"


class Pauses:
    """Takes the place of time.sleep: no time passes, and `meanwhile` is called."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def __call__(self, seconds: float) -> None:
        """Pause."""
        self.seconds.append(seconds)
        self.meanwhile()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """The pauses that the backend makes."""
    made = Pauses()
    monkeypatch.setattr("time.sleep", made)
    return made


@pytest.fixture
def run(tmp_path: Path, pauses: Pauses) -> Run:
    """A prepared run."""
    return platform_run(tmp_path / "v1-20261130-120000")


def state(run: Run) -> State:
    """What a command that has just been started sees."""
    (answer,) = PlatformBackend().states([run])
    return answer.state


def told(run: Run) -> tuple[str, str | None]:
    found = state(run)
    return found.state, found.reason


def test_never_started(run: Run, pauses: Pauses) -> None:
    assert told(run) == ("QUEUED", WAITING)
    (run.path / LOGS).rmdir()
    assert told(run) == ("QUEUED", WAITING)
    assert pauses.seconds == []


def test_some_nodes_have_started(run: Run) -> None:
    alive(run, 0, doing="waiting for node 1")
    assert told(run) == ("RUNNING", "waiting for node 1 of 2")
    alive(run, 0, doing="waiting for nodes 1, 2, 3", nodes=4)
    alive(run, 2, nodes=4)
    assert told(run) == ("RUNNING", "waiting for nodes 1, 3 of 4")


def test_another_node_than_the_first_has_started(run: Run) -> None:
    alive(run, 1)
    assert told(run) == ("RUNNING", "waiting for node 0 of 2")


def test_running_on_hosts(run: Run, pauses: Pauses) -> None:
    alive(run, 0)
    alive(run, 1)
    assert told(run) == ("RUNNING", "on n0, n1")
    alive(run, 0, doing="saving after SIGTERM")
    assert told(run) == ("RUNNING", "on n0, n1: saving after SIGTERM")
    for node in range(32):
        alive(run, node, nodes=32)
    assert told(run) == ("RUNNING", "on n0, n1, n2, n3 and 28 more")
    assert pauses.seconds == []


def test_one_host_for_two_nodes_is_named_once(run: Run) -> None:
    alive(run, 0, host="here")
    alive(run, 1, host="here")
    assert told(run) == ("RUNNING", "on here")


@pytest.mark.parametrize("age", [10 * HOUR, LONG, -1.0, -5 * HOUR])
def test_a_beat_that_moves_is_life_whatever_the_clocks_say(
    run: Run, pauses: Pauses, age: float
) -> None:
    alive(run, 0, age=age, nodes=1)
    pauses.meanwhile = lambda: alive(run, 0, age=age, nodes=1, beat=2)
    assert told(run) == ("RUNNING", "on n0")
    assert pauses.seconds == [7]


@pytest.mark.parametrize("age", [10 * HOUR, 2 * HOUR, -5 * HOUR])
def test_a_dead_node_is_lost_whatever_the_clocks_say(run: Run, pauses: Pauses, age: float) -> None:
    alive(run, 0, age=age, nodes=1)
    found = state(run)
    assert found.state == "LOST"
    assert found.reason is not None
    assert found.reason.startswith("no sign of life of node 0 (n0)")
    assert pauses.seconds == [7]


def test_lost_says_since_when(run: Run) -> None:
    alive(run, 0, age=250.0)
    alive(run, 1, age=240.0)
    assert told(run) == ("LOST", "no sign of life of node 0 (n0) for 4m")


def test_silence_shorter_than_stated_is_no_loss(run: Run, pauses: Pauses) -> None:
    alive(run, 0, age=170.0, nodes=1)
    assert told(run) == ("RUNNING", "on n0")
    assert pauses.seconds == []


def test_the_stated_silence(tmp_path: Path, pauses: Pauses) -> None:
    run = platform_run(tmp_path / "v2-20261130-120000", place=PlatformJob(silence=12))
    alive(run, 0, age=13.0)
    assert told(run)[0] == "LOST"
    assert pauses.seconds == [5]
    run = platform_run(tmp_path / "v3-20261130-120000", place=PlatformJob(silence=7200))
    alive(run, 0, age=HOUR, nodes=1)
    assert told(run) == ("RUNNING", "on n0")


def test_more_than_a_day_is_long_by_every_clock(run: Run, pauses: Pauses) -> None:
    alive(run, 0, age=25 * HOUR)
    assert told(run) == ("LOST", "no sign of life of node 0 (n0) for 1d01h")
    assert pauses.seconds == []


def test_one_pause_for_all_silent_runs(tmp_path: Path, pauses: Pauses) -> None:
    runs = [platform_run(tmp_path / f"v{i}-20261130-120000") for i in range(200)]
    for run in runs:
        alive(run, 0, age=LONG, nodes=1)
    living = runs[::50]

    def beat() -> None:
        for run in living:
            alive(run, 0, age=LONG, nodes=1, beat=2)

    pauses.meanwhile = beat
    answers = PlatformBackend().states(runs)
    assert pauses.seconds == [7]
    found = [run for run, answer in zip(runs, answers, strict=True) if answer.state.state != "LOST"]
    assert found == living


def test_who_watches_needs_no_pause_and_no_clock(
    run: Run, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait` looks every two seconds: it has seen the beat move, by its own clock."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    backend = PlatformBackend()

    def look(beat: int, at: float) -> str:
        now[0] = 1000.0 + at
        alive(run, 0, age=5 * HOUR, nodes=1, beat=beat)
        return backend.states([run])[0].state.state

    alive(run, 0, age=5 * HOUR, nodes=1, beat=1)
    pauses.meanwhile = lambda: look_again(2)

    def look_again(beat: int) -> None:
        now[0] += 6
        alive(run, 0, age=5 * HOUR, nodes=1, beat=beat)

    assert backend.states([run])[0].state.state == "RUNNING"
    assert len(pauses.seconds) == 1
    assert look(3, 10) == "RUNNING"
    assert look(3, 100) == "RUNNING"  # silent for 90 s of its 180 s
    assert look(3, 191) == "LOST"
    assert look(4, 300) == "RUNNING"
    assert len(pauses.seconds) == 1


def test_who_has_looked_before_needs_no_pause(
    run: Run, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait` said RUNNING ten seconds ago, and the beat is still the same."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    backend = PlatformBackend()
    alive(run, 0, age=175.0, nodes=1)
    assert backend.states([run])[0].state.state == "RUNNING"
    now[0] += 10
    alive(run, 0, age=185.0, nodes=1)
    assert backend.states([run])[0].state.state == "LOST"
    assert pauses.seconds == []


def test_the_pause_is_long_enough_for_the_slowest_beat(tmp_path: Path, pauses: Pauses) -> None:
    quick = platform_run(tmp_path / "v2-20261130-120000", place=PlatformJob(silence=6))
    slow = platform_run(tmp_path / "v3-20261130-120000")
    for run in (quick, slow):
        alive(run, 0, age=LONG)
    PlatformBackend().states([quick, slow])
    assert pauses.seconds == [7]


# ------------------------------------------------------------------ how it ended
def test_exit_json_tells_the_end(run: Run, pauses: Pauses) -> None:
    alive(run, 0)
    ended(run, 0)
    assert told(run) == ("SUCCEEDED", None)
    ended(run, 0, code=1, reason="node 1 (n1) failed: out of memory")
    found = state(run)
    assert (found.state, found.exit_code) == ("FAILED", 1)
    assert found.reason == "node 1 (n1) failed: out of memory"
    assert pauses.seconds == []


def test_exit_json_of_an_attempt_before_the_resume(tmp_path: Path, pauses: Pauses) -> None:
    run = platform_run(tmp_path / "v1-20261130-120000", restarts=1, token="new")
    alive(run, 0)  # of the old token
    ended(run, 0, code=1, restarts=0)
    assert told(run) == ("QUEUED", WAITING)
    alive(run, 0, token="new", attempt=1, nodes=1)
    found = state(run)
    assert (found.state, found.reason, found.restarts) == ("RUNNING", "on n0", 1)


def test_a_node_that_outlives_the_end_is_no_new_attempt(run: Run) -> None:
    ended(run, 0, code=1, reason="out of memory")
    alive(run, 0)
    alive(run, 1)
    assert told(run) == ("FAILED", "out of memory")


def test_nodes_of_an_earlier_attempt_are_missing(run: Run) -> None:
    alive(run, 0, attempt=1)
    alive(run, 1, attempt=0, age=LONG)
    assert told(run) == ("RUNNING", "waiting for node 1 of 2")


def test_what_a_node_said_in_an_earlier_attempt_is_not_its_end_now(run: Run) -> None:
    alive(run, 1, attempt=1, age=LONG)
    ended(run, 1, code=1, restarts=0, reason="out of memory")
    assert told(run) == ("LOST", "no sign of life of node 1 (n1) for 10m")


def test_the_platform_starts_it_again_after_failed(run: Run, pauses: Pauses) -> None:
    ended(run, 0, code=1, restarts=0)
    ended(run, 1, code=1, restarts=0)
    alive(run, 0, attempt=0, age=LONG)
    alive(run, 1, attempt=1)
    found = state(run)
    assert (found.state, found.reason) == ("RUNNING", "waiting for node 0 of 2")
    assert found.restarts == 1
    alive(run, 1, attempt=1, age=LONG)
    found = state(run)  # node 1 was killed again before node 0 came
    assert (found.state, found.exit_code, found.restarts) == ("FAILED", 1, 0)
    assert pauses.seconds == [7]


def test_the_platform_starts_it_again_after_lost(run: Run) -> None:
    alive(run, 0, age=LONG)
    assert state(run).state == "LOST"
    alive(run, 0, attempt=1, nodes=1)
    found = state(run)
    assert (found.state, found.restarts) == ("RUNNING", 1)


@pytest.mark.parametrize("code", [0, 143])
def test_what_has_ended_for_good_is_not_started_again(run: Run, pauses: Pauses, code: int) -> None:
    """launch.sh refuses; a container that only says so is not a running job."""
    ended(run, 0, code=code, state="SUCCEEDED" if code == 0 else "CANCELLED")
    alive(run, 0, attempt=1, age=LONG)
    assert told(run)[0] == ("SUCCEEDED" if code == 0 else "CANCELLED")
    assert pauses.seconds == []


def test_node_0_never_came(run: Run) -> None:
    """exit.json is node 0's, so the other node's own exit file tells the end."""
    alive(run, 1, ended=True)
    ended(run, 1, code=1, reason="node 0 did not come within 30m")
    found = state(run)
    assert (found.state, found.exit_code) == ("FAILED", 1)
    assert found.reason == "node 0 did not come within 30m"


def test_lost_names_what_the_other_nodes_said(run: Run) -> None:
    alive(run, 0, age=250.0)
    alive(run, 1, age=LONG, ended=True)
    ended(run, 1, code=1, reason="out of memory")
    assert told(run) == ("LOST", "no sign of life of node 0 (n0) for 4m; node 1: out of memory")


def test_a_node_has_failed_and_the_first_has_not_ended_yet(run: Run) -> None:
    alive(run, 0)
    alive(run, 1, age=20.0)
    ended(run, 1, code=1, reason="out of memory")
    assert told(run) == ("RUNNING", "on n0, n1; node 1: out of memory")


def test_ended_without_exit_json(run: Run, pauses: Pauses) -> None:
    """A launch.sh that begins the next attempt gives a last sign of life, and writes no exit.json."""
    alive(run, 0, ended=True, nodes=1, doing="ended")
    assert told(run) == ("RUNNING", "on n0: ended")
    alive(run, 0, ended=True, nodes=1, age=LONG)  # or exit.json could not be written
    assert told(run) == ("LOST", "no sign of life of node 0 (n0) for 10m")


# ------------------------------------------------------------------ cancelled at each moment
def test_cancelled_before_it_started(run: Run, pauses: Pauses) -> None:
    assert PlatformBackend().cancel(run, wait=True)
    assert state(run).state == "CANCELLED"
    assert (cancel_reason(run.path) or "").startswith("cancelled by ")
    assert pauses.seconds == []


def test_cancelled_while_it_runs(run: Run) -> None:
    cancelled(run)
    alive(run, 1)
    assert told(run) == (
        "RUNNING",
        "waiting for node 0 of 2; cancelled by ann, and is about to end",
    )
    alive(run, 0)
    assert told(run) == ("RUNNING", "on n0, n1; cancelled by ann, and is about to end")
    ended(run, 0, code=143, state="CANCELLED", reason="cancelled by ann")
    assert told(run) == ("CANCELLED", "cancelled by ann")


def test_cancelled_when_it_was_lost(run: Run) -> None:
    alive(run, 0, age=LONG)
    cancelled(run)
    assert told(run) == ("CANCELLED", "cancelled by ann")


def test_cancelled_after_its_end(run: Run) -> None:
    ended(run, 0)
    cancelled(run)
    assert told(run) == ("SUCCEEDED", None)
    ended(run, 0, code=1, reason="out of memory")
    assert told(run) == ("FAILED", "out of memory")


def test_cancel_waits_for_the_end(run: Run, pauses: Pauses) -> None:
    alive(run, 0)

    def end() -> None:
        ended(run, 0, code=143, state="CANCELLED")

    pauses.meanwhile = end
    assert PlatformBackend().cancel(run, wait=True)
    assert state(run).state == "CANCELLED"


def test_a_second_cancel_changes_nothing(run: Run) -> None:
    cancelled(run)
    before = (run.path / CANCEL).stat()
    assert PlatformBackend().cancel(run, wait=True)
    after = (run.path / CANCEL).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert told(run) == ("CANCELLED", "cancelled by ann")


def test_cancel_gives_up(run: Run, pauses: Pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    now, beats = [0.0], iter(range(2, 10_000))
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    alive(run, 0, beat=1)

    def live_on() -> None:
        now[0] += 1
        alive(run, 0, beat=next(beats))

    pauses.meanwhile = live_on
    with pytest.raises(BackendRefusedError) as caught:
        PlatformBackend().cancel(run, wait=True)
    assert "still gives signs of life after 360 s" in caught.value.message


def test_a_cancel_that_cannot_be_written_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """launch.sh looks for the file alone, so without it nothing was cancelled."""

    def full(_run: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_cancel", full)
    with pytest.raises(BackendRefusedError) as caught:
        PlatformBackend().cancel(run, wait=False)
    assert "was not cancelled" in caught.value.message
    assert "No space left on device" in caught.value.message


def test_what_is_left(run: Run, pauses: Pauses) -> None:
    assert not PlatformBackend().is_left(run)
    ended(run, 0, code=1)
    alive(run, 0, age=LONG)
    alive(run, 1)
    assert PlatformBackend().is_left(run)
    ended(run, 1, code=1)
    assert not PlatformBackend().is_left(run)
    assert pauses.seconds == []


# ------------------------------------------------------------------ files that launch.sh did not write
HOSTILE = [
    b"",
    b"{",
    b"not JSON",
    b"\x00\xff\xfe",
    b"[]",
    b"null",
    b"[" * 20_000,
    b'{"token": "t", "beat": 99999999999999999999999999}',
    b'{"token": "t", "attempt": -1, "beat": 1, "node": 0, "host": "x", "nodes": 2, "nproc_per_node": 1}',
    b'{"token": "t", "attempt": 0, "beat": 1, "node": 7, "host": "x", "nodes": 2, "nproc_per_node": 1}',
    b'{"token": "t", "attempt": 0, "beat": 1, "node": 0, "host": "x", "nodes": 99999999, "nproc_per_node": 1}',
    b'{"token": "t", "attempt": 0, "beat": true, "node": 0, "host": [], "nodes": "2", "nproc_per_node": 1}',
    b'{"token": "\\ud800", "attempt": 0, "beat": 1, "node": 0, "host": "x", "nodes": 1, "nproc_per_node": 1}',
    b" " * 1_000_000,
    b'{"token": "t", "attempt": 0, "beat": 1, "node": 0, "host": "x", "nodes": 1, "nproc_per_node": 1}'
    + b" " * 20_000,
]


@pytest.mark.parametrize("content", HOSTILE)
def test_damaged_signs_of_life(run: Run, pauses: Pauses, content: bytes) -> None:
    alive(run, 0)
    file = alive_file(run.path, 0)
    file.write_bytes(content)
    assert told(run) == ("RUNNING", "launch.sh has started on node 0")
    touch(file, LONG)
    assert told(run) == ("LOST", "no sign of life of node 0 for 10m")
    starts_file(run.path, 0, TOKEN).unlink()  # then it may be of an earlier attempt
    assert told(run) == ("QUEUED", WAITING)


def test_damaged_files_of_an_earlier_order(run: Run) -> None:
    """They do not tell their token, so the file with this token's starts decides."""
    alive(run, 0, token="old")
    alive_file(run.path, 0).write_text("{")
    assert told(run) == ("QUEUED", WAITING)


def test_started_when_the_last_order_left_its_sign_of_life(run: Run) -> None:
    alive(run, 0, token="old", age=LONG)
    starts_file(run.path, 0, TOKEN).write_text("x\n")
    assert told(run) == ("RUNNING", "launch.sh has started on node 0")


def test_a_damaged_file_that_changes_is_life(run: Run, pauses: Pauses) -> None:
    alive(run, 0)
    file = alive_file(run.path, 0)
    file.write_bytes(b"{")
    touch(file, 5 * HOUR)
    pauses.meanwhile = lambda: touch(file, 5 * HOUR - 3)
    assert told(run)[0] == "RUNNING"


def test_started_without_a_sign_of_life(run: Run, pauses: Pauses) -> None:
    """launch.sh was killed between its first two files."""
    file = starts_file(run.path, 0, TOKEN)
    file.write_text("x\n")
    assert told(run)[0] == "RUNNING"
    touch(file, LONG)
    assert told(run) == ("LOST", "no sign of life of node 0 for 10m")


def test_links_are_not_followed(run: Run, tmp_path: Path) -> None:
    alive(run, 0)
    file = alive_file(run.path, 0)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert told(run) == ("RUNNING", "launch.sh has started on node 0")
    file.unlink()
    os.mkfifo(file)
    assert told(run) == ("RUNNING", "launch.sh has started on node 0")


def test_signs_of_life_of_another_token(run: Run) -> None:
    alive(run, 0, token="other")
    assert told(run) == ("QUEUED", WAITING)


def test_escape_sequences_are_not_passed_on(run: Run) -> None:
    evil = "\x1b]0;title\x07\x1b[2Jn0\n\u202e\x9b31m"
    alive(run, 0, host=evil, doing=evil, job=evil, nodes=1)
    found = state(run)
    assert found.state == "RUNNING"
    for text in (found.reason, found.job_id):
        assert text is not None
        assert text.isprintable()


def test_long_texts_are_cut(run: Run) -> None:
    alive(run, 0, host="h" * 5000, doing="d" * 5000, nodes=1)
    assert len(state(run).reason or "") < 300


def test_a_folder_that_cannot_be_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    alive(run, 0, age=LONG)
    node_log(run.path / LOGS, 0).touch()

    def refused(_folder: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("prl_submit.backends.platform.state_from_files.os.listdir", refused)
    found = state(run)
    assert found.state == "RUNNING"
    assert found.reason == f"as last known: {run.path / LOGS} cannot be listed: Permission denied"


# ------------------------------------------------------------------ what is kept
def test_lost_is_kept_until_a_sign_of_life(run: Run, pauses: Pauses) -> None:
    alive(run, 0, age=LONG)
    assert states_of([run])[0].state == "LOST"
    assert (run.path / VERDICT).exists()
    pauses.seconds.clear()
    (found,) = states_of([run])
    assert found.state == "LOST"
    assert pauses.seconds == []  # `list` stays fast
    alive(run, 0, age=LONG - 1, beat=2)
    pauses.meanwhile = lambda: alive(run, 0, age=LONG - 2, beat=3)
    assert states_of([run])[0].state == "RUNNING"


def test_what_voids_a_kept_loss(run: Run) -> None:
    alive(run, 0, age=LONG)
    assert states_of([run])[0].state == "LOST"
    cancelled(run)
    assert states_of([run])[0].state == "CANCELLED"
    ended(run, 0)
    assert states_of([run])[0].state == "SUCCEEDED"


def test_an_end_after_a_loss(run: Run) -> None:
    """A node that hung has gone on to the end."""
    alive(run, 0, age=LONG)
    assert states_of([run])[0].state == "LOST"
    ended(run, 0)
    assert states_of([run])[0].state == "SUCCEEDED"


def test_a_loss_seen_while_the_files_changed_is_not_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive(run, 0, age=25 * HOUR)

    def changed(path: Path) -> str:
        mark = footprint(path)
        alive(run, 0, beat=2)
        return mark

    monkeypatch.setattr(module, "footprint", changed)
    (answer,) = PlatformBackend().states([run])
    assert answer.state.state == "LOST"
    assert not answer.is_final


def test_another_users_run_is_read_and_not_written(
    run: Run, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("final_state", "last_known", "belonging"):
        monkeypatch.setattr(f"prl_submit.runs.{name}.stranger", lambda _run: 4711)
    alive(run, 0, age=LONG, job="dlc-1")
    before = sorted(path.name for path in run.path.rglob("*"))
    for _ in range(2):
        assert states_of([run])[0].state == "LOST"
    assert sorted(path.name for path in run.path.rglob("*")) == before
    assert len(pauses.seconds) == 2
    again = read_run(run.path)
    assert again is not None
    assert again.record == run.record


def test_the_platforms_id_becomes_the_job_id(run: Run) -> None:
    alive(run, 0, job="dlc-1")
    assert states_of([run])[0].job_id == "dlc-1"
    again = read_run(run.path)
    assert again is not None
    assert again.record is not None
    assert again.record.job_id == "dlc-1"
    assert again.record.place == PlatformJob(silence=180)


def test_the_platforms_id_of_a_run_that_nobody_looked_at_before_its_end(run: Run) -> None:
    alive(run, 0, job="dlc-1")
    ended(run, 0)
    assert states_of([run])[0].job_id == "dlc-1"
    again = read_run(run.path)
    assert again is not None
    assert again.require_record().job_id == "dlc-1"
    assert states_of([again])[0].state == "SUCCEEDED"


def test_the_size_of_the_last_attempt(run: Run) -> None:
    assert last_size(run.path) is None
    alive(run, 0, token="old", attempt=0, nodes=4, nproc_per_node=2)
    assert last_size(run.path) == (4, 2)
    alive(run, 1, attempt=1, nodes=3, nproc_per_node=8, ended=True)
    assert last_size(run.path) == (3, 8)
    alive_file(run.path, 1).write_text("damaged")
    assert last_size(run.path) == (4, 2)


def test_json_of_a_sign_of_life_may_grow(run: Run) -> None:
    """Keys are only ever added."""
    alive(run, 0, nodes=1, more={"keys": [1]})
    assert told(run) == ("RUNNING", "on n0")
    assert json.loads(alive_file(run.path, 0).read_text())["more"] == {"keys": [1]}
    assert not (run.path / ATTEMPTS).exists()
