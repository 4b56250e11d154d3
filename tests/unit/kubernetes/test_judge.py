"""The state of live jobs, restarts and earlier attempts. A live job is never called ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from prl_submit.backends.kubernetes.evidence import KubernetesEvidence, termination_record
from prl_submit.backends.kubernetes.judge import needs_pods
from prl_submit.backends.kubernetes.objects import Pod, PyTorchJob
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import (
    CANCELLED,
    FINISHED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
    State,
)
from tests.support.time_zone import time_zone
from tests.unit.kubernetes.judged import (
    AGAIN,
    MINE,
    OOM,
    RUNS,
    RUNS_2,
    at,
    told,
    verdict,
)
from tests.unit.kubernetes.objects import (
    NAME,
    condition,
    dead_pod,
    event,
    failed_job,
    job,
    message,
    pending,
    pod,
    unschedulable,
    word,
)


@pytest.fixture(autouse=True)
def _an_hour_east() -> Iterator[None]:
    """The submitter's time zone differs from the pods'."""
    with time_zone("XYZ-1"):
        yield


# ------------------------------------------------------------------ live jobs
LIVE = {
    "new": (job(), QUEUED),
    "taken": (job("Created"), QUEUED),
    "suspended": (job("Created", "Suspended"), QUEUED),
    "restarting": (AGAIN, QUEUED),
    "running": (RUNS, RUNNING),
    "deleted before it began": (job("Created", deleted=True), QUEUED),
    "being deleted": (job("Created", "Running", active=1, deleted=True), RUNNING),
}
INTERRUPTED = [word(124, TIMEOUT), word(143), word(130), word(143, CANCELLED), word(200)]


@pytest.mark.parametrize("exit_", [None, *INTERRUPTED])
@pytest.mark.parametrize("kind", LIVE)
def test_a_live_job_is_not_finished(kind: str, exit_: ExitRecord | None) -> None:
    seen, state = LIVE[kind]
    found = verdict(seen, exit=exit_)
    assert (found.state, found.exit_code, found.ended_at) == (state, None, None)


def test_running() -> None:
    """A job with a running pod is RUNNING since the pod's start."""
    found = verdict(RUNS, pod(0))
    assert found == State(state=RUNNING, started_at=at(2))


def test_running_where_the_pods_need_not_be_asked() -> None:
    assert verdict(RUNS_2, nodes=2) == State(state=RUNNING, started_at=at(2))


def test_it_runs_when_the_last_of_its_pods_does() -> None:
    assert verdict(RUNS_2, pod(0), pod(1)).started_at == at(2, 1)
    half = verdict(RUNS_2, pod(0), pending(1, "ContainerCreating"))
    assert told(half) == (QUEUED, None, "1 of 2 pods run; worker-0: starts on n1")
    assert verdict(RUNS_2, pod(0), nodes=2).state == QUEUED


def test_a_node_that_has_ended_is_not_waited_for() -> None:
    found = verdict(RUNS_2, dead_pod(0, 0), pod(1), exit=word(0))
    assert told(found) == (RUNNING, None, "node 0 has ended")


@pytest.mark.parametrize(("cancelled", "reason"), [(None, "being deleted"), (MINE, f"being deleted: {MINE}")])  # fmt: skip
def test_being_deleted(cancelled: str | None, reason: str) -> None:
    """A deleted job is RUNNING until its pods have ended."""
    seen = job("Created", "Running", active=1, deleted=True)
    found = verdict(seen, pod(0), cancelled=cancelled)
    assert (told(found), found.started_at) == ((RUNNING, None, reason), at(2))


def test_a_failure_of_a_job_that_is_being_deleted_is_the_deletions() -> None:
    seen = job("Failed", deleted=True)
    assert verdict(seen, dead_pod(0, 143), cancelled=MINE).state == RUNNING


# ------------------------------------------------------------------ why a job waits
@pytest.mark.parametrize(
    ("seen", "pods", "more", "reason"),
    [
        (job(), [], {"age": 60.0}, "no operator has taken it yet; is the training-operator running?"),
        (job("Suspended"), [], {}, "suspended"),
        (job("Suspended"), [], {"queue": "team-a"}, "waits in Kueue's queue team-a"),
        (
            job("Created"),
            [unschedulable(0, "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.")],
            {},
            "master-0: 0/4 nodes: 4 Insufficient nvidia.com/gpu",
        ),
        (
            job("Created"),
            [pending(0, "ErrImagePull", "registry.example/img:1: not found")],
            {},
            "master-0: the image cannot be pulled (ErrImagePull: registry.example/img:1: not found)",
        ),
        (
            job("Created"),
            [],
            {"events": [event(NAME, "FailedCreatePod", "Error creating: exceeded quota: team")]},
            "its pods cannot be made: Error creating: exceeded quota: team",
        ),
        (
            job("Created"),
            [],
            {"untold": "dev may not list pods in namespace ml"},
            "its pods are being made (dev may not list pods in namespace ml)",
        ),
    ],
)  # fmt: skip
def test_why_it_waits(seen: PyTorchJob, pods: list[Pod], more: dict[str, Any], reason: str) -> None:
    assert told(verdict(seen, *pods, **more)) == (QUEUED, None, reason)


# ------------------------------------------------------------------ restarts
@pytest.mark.parametrize(
    ("pods", "more", "reason", "restarts"),
    [
        ([dead_pod(0, 137, reason="OOMKilled")], {}, f"master-0: {OOM}, restart 1 of 3; its pods are being made", 0),
        ([pending(0)], {"starts": 3}, "restart 2 of 3; master-0: starts on n0", 2),
        ([pending(0)], {"starts": 1}, "restart 1 of 3; master-0: starts on n0", 0),
        ([pending(0)], {"starts": 5}, "restart 4; master-0: starts on n0", 4),
        ([pending(0)], {"starts": 2, "max_restarts": 0}, "restart 1; master-0: starts on n0", 1),
        ([pending(0)], {"starts": 2, "restarts_before": 4}, "restart 1 of 3; master-0: starts on n0", 5),
        (
            [dead_pod(0, 201, why="DeadlineExceeded", said=message(word(124, TIMEOUT, restarts=1)))],
            {"starts": 2},
            "master-0: words for 124, restart 1 of 3; its pods are being made",
            1,
        ),
        (
            [pod(0), dead_pod(1, 143, why="Evicted", message="The node was low on memory.")],
            {},
            "worker-0: evicted: The node was low on memory, restart 1 of 3; 1 of 2 pods run",
            0,
        ),
    ],
)  # fmt: skip
def test_restarting(pods: list[Pod], more: dict[str, Any], reason: str, restarts: int) -> None:
    """A job whose pods are made again is QUEUED, with the reason and the count."""
    found = verdict(AGAIN, *pods, **({"max_restarts": 3} | more))
    assert (found.state, found.reason, found.restarts) == (QUEUED, reason, restarts)


def test_a_restarted_job_that_runs_again() -> None:
    found = verdict(RUNS, pod(0), starts=3, exit=word(143, restarts=1), max_restarts=3)
    assert found == State(state=RUNNING, started_at=at(2), restarts=2)


def test_a_restart_that_only_the_run_directory_tells() -> None:
    """Operators before 1.8 leave the condition Running for a while."""
    found = verdict(job("Created"), pending(0), starts=2, max_restarts=1)
    assert found.reason == "restart 1 of 1; master-0: starts on n0"


@pytest.mark.parametrize(
    ("evidence", "restarts"),
    [
        ({}, 0),
        ({"restarts_before": 2}, 2),
        ({"starts": 1}, 0),
        ({"starts": 3}, 2),
        ({"starts": 3, "restarts_before": 2}, 4),
        ({"exit": word(1, restarts=3)}, 3),
        ({"others": [(1, word(1, restarts=3))]}, 3),
        ({"pods": [dead_pod(0, 1, said=message(word(1, restarts=3)))]}, 3),
    ],
)
def test_restarts_of(evidence: dict[str, Any], restarts: int) -> None:
    """The restarts are the highest number that exit.json, messages or starts of containers give."""
    assert KubernetesEvidence(job=None, **evidence).restarts == restarts


# ------------------------------------------------------------------ earlier attempts
@pytest.mark.parametrize("old", [word(0), word(1), *INTERRUPTED])
def test_a_running_job_is_not_judged_by_its_earlier_attempt(old: ExitRecord) -> None:
    found = verdict(RUNS, pod(0), exit=old, others=[(1, old)], starts=2, max_restarts=3)
    assert (told(found), found.restarts) == ((RUNNING, None, None), 1)


def test_a_job_that_was_given_up_is_not_judged_by_its_earlier_attempt() -> None:
    old = word(65, ended_at="2026-11-22T20:01:00+00:00")
    found = verdict(AGAIN, dead_pod(0, 3), exit=old, others=[(1, old)], starts=2, nodes=2)
    assert found.reason == "master-0: exit code 3; after 1 restart"


def test_the_newest_attempts_exit_json_counts() -> None:
    found = verdict(RUNS, pod(0), exit=word(0, restarts=1), starts=2)
    assert found.reason == "node 0 has ended"


# ------------------------------------------------------------------ which pods are needed, and other questions
@pytest.mark.parametrize(
    ("seen", "has_word", "expected"),
    [
        (RUNS_2, False, False),
        (RUNS, False, True),
        (job("Created"), False, True),
        (job("Created", condition("Running", "False"), active=2), False, True),
        (job("Created", "Running", active=2, deleted=True), False, True),
        (failed_job(), True, True),
        (job("Succeeded"), True, False),
        (job("Succeeded"), False, True),
    ],
)
def test_when_pods_must_be_listed(seen: PyTorchJob, has_word: bool, expected: bool) -> None:
    assert needs_pods(seen, 2, has_word=has_word) is expected


@pytest.mark.parametrize(
    "text", ["", "last line", "[]", "{}", '{"exit_code": "3"}', '{"exit_code": 3']
)
def test_termination_messages_that_are_not_launch_shs(text: str) -> None:
    assert termination_record(dead_pod(0, 3, said=text).terminated) is None
    assert termination_record(None) is None


def test_ended_jobs_have_final_states() -> None:
    for seen in (failed_job(), job("Succeeded")):
        assert verdict(seen).state in FINISHED


def test_workers_that_still_run_after_a_success() -> None:
    """The operator calls a job succeeded when its master has; the other pods still write their logs."""
    found = verdict(job("Succeeded"), dead_pod(0, 0), pod(1), exit=word(0))
    assert (found.state, found.reason) == (RUNNING, "node 0 has ended")
    assert (
        verdict(job("Succeeded"), dead_pod(0, 0), dead_pod(1, 0), exit=word(0)).state == SUCCEEDED
    )
