"""The final state of jobs that have ended or are gone, and of pods that still run then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest

from prl_submit.backends.kubernetes.ended_job import still_running
from prl_submit.backends.kubernetes.evidence import KubernetesEvidence
from prl_submit.backends.kubernetes.judge import judge
from prl_submit.backends.kubernetes.objects import ObjectMeta, Pod, PyTorchJob
from prl_submit.runs.exits import ExitRecord
from prl_submit.runs.states import (
    CANCELLED,
    FAILED,
    LOST,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    TIMEOUT,
    State,
)
from tests.support.time_zone import time_zone
from tests.unit.kubernetes.judged import (
    AGAIN,
    HINT,
    MINE,
    OOM,
    RUNS,
    RUNS_2,
    SIGNAL,
    SOMEBODY,
    STOPPED,
    TOLD,
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
    removed,
    utc,
    word,
)


@pytest.fixture(autouse=True)
def _an_hour_east() -> Iterator[None]:
    """The submitter's time zone differs from the pods'."""
    with time_zone("XYZ-1"):
        yield


# ------------------------------------------------------------------ success
def test_success() -> None:
    """A job that succeeded is SUCCEEDED, with the times of its exit.json."""
    found = verdict(job("Succeeded"), dead_pod(0, 0), exit=word(0, restarts=1))
    assert told(found) == (SUCCEEDED, 0, None)
    assert found.restarts == 1
    assert (found.started_at, found.ended_at) == (word(0).started_at, word(0).ended_at)


def test_success_where_the_volume_is_not_here() -> None:
    said = message(word(0, restarts=2))
    found = verdict(job("Succeeded"), dead_pod(0, 0, said=said))
    assert (told(found), found.restarts) == ((SUCCEEDED, 0, None), 2)
    assert found.ended_at == word(0).ended_at


def test_success_that_only_the_operator_tells() -> None:
    found = verdict(job("Succeeded", completionTime=utc(40)))
    assert found == State(state=SUCCEEDED, exit_code=0, started_at=at(1), ended_at=at(40))


def test_an_earlier_attempts_failure_is_not_told_of_a_success() -> None:
    found = verdict(job("Succeeded"), exit=word(143, restarts=0), starts=2)
    assert (told(found), found.restarts) == ((SUCCEEDED, 0, None), 1)


def test_a_success_stays_one_while_its_job_is_removed() -> None:
    """The cluster removes it a week after its end, by its ttlSecondsAfterFinished."""
    assert verdict(job("Succeeded", deleted=True), exit=word(0)).state == SUCCEEDED


def test_a_success_that_somebody_cancelled_too_late() -> None:
    assert verdict(job("Succeeded"), exit=word(0), cancelled=MINE).state == SUCCEEDED
    assert verdict(None, exit=word(0), cancelled=MINE).state == SUCCEEDED


# ------------------------------------------------------------------ one node's failure
@pytest.mark.parametrize(
    ("dead", "code", "reason"),
    [
        (dead_pod(0, 3), 3, "exit code 3"),
        (dead_pod(0, 3, said="last line\nof the log"), 3, "exit code 3: last line of the log"),
        (dead_pod(0, 3, said=message(word(3))), 3, "words for 3"),
        (dead_pod(0, 3, said='{"not": "ours"}'), 3, 'exit code 3: {"not": "ours"}'),
        (dead_pod(0, 137), 137, "exit code 137: killed (SIGKILL)"),
        (dead_pod(0, 137, reason="OOMKilled"), 137, OOM),
        (dead_pod(0, 1, reason="OOMKilled", said=message(word(1))), 1, OOM),
        (dead_pod(0, 128, reason="StartError", said="exec: no such file"), 128, "StartError: exec: no such file"),
        (dead_pod(0, 128, reason="ContainerCannotRun"), 128, "ContainerCannotRun"),
        (dead_pod(0, 143, why="Evicted"), 143, "evicted"),
        (dead_pod(0, 137, why="Evicted", message="The node was low on resource: memory."), 137, "evicted: The node was low on resource: memory"),
        (dead_pod(0, 143, why="Evicted", said=message(word(143))), 143, "evicted"),
        (dead_pod(0, 143, why="Terminated", message="Pod was terminated in response to imminent node shutdown."), 143, "Terminated: Pod was terminated in response to imminent node shutdown"),
        (dead_pod(0, 143, why="NodeLost"), 143, "NodeLost"),
        (pod(0, "Failed", reason="UnexpectedAdmissionError", message="Allocate failed due to no GPUs"), 137, "UnexpectedAdmissionError: Allocate failed due to no GPUs"),
        (pod(0, "Failed"), 137, "the pod failed before its container started"),
    ],
)  # fmt: skip
def test_a_pod_that_failed(dead: Pod, code: int, reason: str) -> None:
    assert told(verdict(failed_job(), dead)) == (FAILED, code, reason)


@pytest.mark.parametrize(
    ("target", "who"),
    [
        ({"reason": "PreemptionByScheduler", "message": "default-scheduler: preempting to accommodate a higher priority pod"}, "preempted by a job of higher priority (default-scheduler: preempting to accommodate a higher priority pod)"),
        ({"reason": "PreemptionByKubeScheduler"}, "preempted by a job of higher priority"),
        ({"reason": "DeletionByTaintManager"}, "its node failed or was drained"),
        ({"reason": "EvictionByEvictionAPI"}, "evicted, its node is being drained"),
        ({"reason": "DeletionByPodGC"}, "its node is gone"),
        ({"reason": "TerminationByKubelet"}, "evicted by its node"),
        ({"reason": "SomethingNew"}, "SomethingNew"),
        ({}, "disrupted"),
    ],
)  # fmt: skip
def test_disruptions(target: dict[str, str], who: str) -> None:
    """exit.json says only that a signal stopped it. Without one, the DisruptionTarget condition is all there is."""
    disrupted = [{"type": "DisruptionTarget", "status": "True", **target}]
    dead = dead_pod(0, 143, conditions=disrupted, said=message(word(143)))
    reason = f"words for 143 (its pod was told to end: {who}{HINT})"
    assert told(verdict(failed_job(), dead)) == (FAILED, 143, reason)
    assert told(verdict(failed_job(), dead, exit=word(143))) == (FAILED, 143, reason)
    silent = dead_pod(0, 137, conditions=disrupted)
    assert told(verdict(failed_job(), silent)) == (FAILED, 137, f"{who}{HINT}")
    assert verdict(failed_job(), silent, max_restarts=2).reason == who


def test_a_disruption_that_was_called_off() -> None:
    spared = [condition("DisruptionTarget", "False", reason="DeletionByPodGC")]
    dead = dead_pod(0, 3, conditions=spared, said=message(word(3)))
    assert verdict(failed_job(), dead).reason == "words for 3"


def test_exit_json_tells_what_the_pod_does() -> None:
    dead = dead_pod(0, 65, said="torn")
    found = verdict(failed_job("PyTorchJob mr is failed"), dead, exit=word(65))
    assert told(found) == (FAILED, 65, "words for 65")
    assert (found.started_at, found.ended_at) == (at(3), at(19))  # in the submitter's zone


def test_the_pod_knows_who_killed_it() -> None:
    killed = dead_pod(0, 137, reason="OOMKilled")
    assert told(verdict(failed_job(), killed, exit=word(137))) == (FAILED, 137, OOM)
    found = verdict(
        failed_job(), killed, exit=word(143), starts=2
    )  # exit.json is of the attempt before
    assert told(found) == (FAILED, 137, f"{OOM}; after 1 restart")


def test_a_job_that_only_the_operator_calls_failed() -> None:
    said = "PyTorchJob mr is failed because 1 Worker replica(s) failed."
    found = verdict(failed_job(said), nodes=2)
    gone = f"master-0, worker-0 gone: {SOMEBODY}{HINT}"
    assert told(found) == (FAILED, None, f"{said.rstrip('.')}; {gone}")
    assert verdict(failed_job(said), nodes=2, untold="no").reason == said.rstrip(".")
    assert (found.started_at, found.ended_at) == (at(1), at(30))
    assert str(verdict(failed_job()).reason).startswith("the PyTorchJob failed; master-0 gone")


@pytest.mark.parametrize(("starts", "reason"), [(1, "exit code 1"), (2, "exit code 1; after 1 restart"), (4, "exit code 1; after 3 restarts")])  # fmt: skip
def test_the_restarts_before_it_failed(starts: int, reason: str) -> None:
    found = verdict(failed_job(), dead_pod(0, 1), starts=starts, max_restarts=3)
    assert (found.reason, found.restarts) == (reason, starts - 1)


def test_times_of_a_failure() -> None:
    found = verdict(failed_job(), dead_pod(0, 1, minute=25))
    assert (found.started_at, found.ended_at) == (at(2), at(25))


def test_cancelled_with_the_job_still_there() -> None:
    found = verdict(failed_job(), dead_pod(0, 143), cancelled=MINE)
    assert (found.state, found.reason, found.ended_at) == (CANCELLED, MINE, at(30))


def test_an_older_operator_leaves_its_job_restarting() -> None:
    for code in (1, 3, 127):
        assert told(verdict(AGAIN, dead_pod(0, code))) == (FAILED, code, f"exit code {code}")
    for code in (128, 137, 200, 201):  # these are started again
        assert verdict(AGAIN, dead_pod(0, code), max_restarts=3).state == QUEUED
    found = verdict(RUNS_2, dead_pod(0, 200), dead_pod(1, 3))
    assert told(found) == (FAILED, 3, "worker-0: exit code 3")


# ------------------------------------------------------------------ time limits
DEADLINE = "PyTorchJob mr-01234567 has failed because it was active longer than specified deadline"
LIMIT = "the time limit was reached (activeDeadlineSeconds)"
POD_LIMIT = "Pod was active on the node longer than the specified deadline"


@pytest.mark.parametrize(
    ("seen", "pods", "more", "code", "reason"),
    [
        (failed_job(DEADLINE), [], {}, None, LIMIT),
        (failed_job("", "DeadlineExceeded"), [], {}, None, LIMIT),
        (failed_job(DEADLINE), [], {"exit": word(124, TIMEOUT)}, 124, "words for 124"),
        (failed_job(DEADLINE), [], {"exit": word(143)}, None, LIMIT),
        (failed_job(), [dead_pod(0, 143, why="DeadlineExceeded", message=POD_LIMIT)], {}, None, LIMIT),
        (failed_job(), [dead_pod(0, 143, why="DeadlineExceeded", said=message(word(124, TIMEOUT)))], {}, 124, "words for 124"),
        # launch.sh ended it before the cluster had to
        (failed_job(), [dead_pod(0, 124, said=message(word(124, TIMEOUT)))], {}, 124, "words for 124"),
        (failed_job(), [dead_pod(0, 201, said=message(word(124, TIMEOUT)))], {"exit": word(124, TIMEOUT)}, 124, "words for 124"),
    ],
)  # fmt: skip
def test_time_limits(
    seen: PyTorchJob, pods: list[Pod], more: dict[str, Any], code: int | None, reason: str
) -> None:
    """A job that ended at a limit of time is TIMEOUT."""
    assert told(verdict(seen, *pods, **more)) == (TIMEOUT, code, reason)


def test_a_time_limit_is_not_told_of_restarts() -> None:
    assert verdict(failed_job(DEADLINE), starts=3).reason == LIMIT
    stopped = dead_pod(0, 124, said=message(word(124, TIMEOUT, restarts=2)))
    found = verdict(failed_job(), stopped, starts=3)
    assert (found.reason, found.restarts) == ("words for 124", 2)


# ------------------------------------------------------------------ several nodes
@pytest.mark.parametrize(
    ("pods", "reason", "code"),
    [
        ([dead_pod(0, 3, minute=11), dead_pod(1, 3, minute=10)], "worker-0: exit code 3", 3),
        ([dead_pod(0, 3, minute=10), dead_pod(1, 3, minute=11)], "master-0: exit code 3", 3),
        ([dead_pod(0, 3), dead_pod(1, 4)], "master-0: exit code 3", 3),
        # 200: another node was lost; 143: SIGTERM. Such nodes only followed, even if they ended first.
        ([dead_pod(0, 200, minute=10), dead_pod(1, 3, minute=11)], "worker-0: exit code 3", 3),
        ([dead_pod(0, 143, minute=10), dead_pod(1, 3, minute=11)], "worker-0: exit code 3", 3),
        ([dead_pod(0, 200, minute=10, said=message(word(200))), dead_pod(1, 137, reason="OOMKilled", minute=11)], f"worker-0: {OOM}", 137),
        ([dead_pod(0, 3, minute=12), dead_pod(1, 143, why="Evicted", minute=11)], "worker-0: evicted", 143),
        ([dead_pod(0, 200, minute=11), dead_pod(1, 200, minute=10)], "worker-0: exit code 200", 200),
        ([dead_pod(0, 0), dead_pod(1, 3)], "worker-0: exit code 3", 3),
        # The kubelet stopped the worker; the master then failed because it had lost the worker.
        ([dead_pod(0, 1, minute=21), removed(dead_pod(1, 143, minute=20, said=STOPPED))], f"worker-0: {TOLD}", 143),
    ],
)  # fmt: skip
def test_the_first_to_fail_by_itself(pods: list[Pod], reason: str, code: int) -> None:
    assert told(verdict(failed_job(), *pods)) == (FAILED, code, reason)


def test_nodes_whose_exit_json_is_here() -> None:
    found = verdict(failed_job(), exit=word(200), others=[(1, word(3, node="n7"))], nodes=2)
    assert told(found) == (FAILED, 3, "worker-0: words for 3")


def test_exit_json_and_pods_have_different_time_zones() -> None:
    """20:19 in the pods' zone is before 21:20 in ours, which is the same as 20:20 there."""
    early = word(3, ended_at="2026-11-22T20:21:00+00:00")
    killed = dead_pod(1, 137, reason="OOMKilled", minute=20)  # 20:20 UTC
    found = verdict(failed_job(), dead_pod(0, 3, minute=21), killed, exit=early)
    assert found.reason == f"worker-0: {OOM}"
    assert (found.started_at, found.ended_at) == (at(2), at(21))


def test_a_pod_without_node_rank_says_nothing_of_the_jobs_end() -> None:
    stray = msgspec.structs.replace(dead_pod(0, 9), metadata=ObjectMeta(name="x"))
    assert str(verdict(failed_job("said"), stray).reason).startswith("said; master-0 gone")


# ------------------------------------------------------------------ deleted jobs
def test_deleted_and_nothing_known() -> None:
    assert judge(KubernetesEvidence(job=None)) is None
    assert judge(KubernetesEvidence(job=None, others=[(1, word(143))], nodes=2)) is None


@pytest.mark.parametrize("code", [1, 3, 65, 137])
def test_deleted_with_an_exit_json(code: int) -> None:
    found = verdict(None, exit=word(code, restarts=2))
    assert told(found) == (FAILED, code, f"words for {code}")
    assert (found.started_at, found.ended_at, found.restarts) == (at(3), at(19), 2)


def test_deleted_with_a_success() -> None:
    found = verdict(None, exit=word(0, restarts=1))
    assert (told(found), found.restarts) == ((SUCCEEDED, 0, None), 1)


def test_deleted_with_a_time_limit() -> None:
    assert told(verdict(None, exit=word(124, TIMEOUT))) == (TIMEOUT, 124, "words for 124")


@pytest.mark.parametrize("code", [143, 200])
def test_deleted_by_somebody_else(code: int) -> None:
    found = verdict(None, exit=word(code), others=[(1, word(143))], nodes=2, restarts_before=1)
    assert told(found) == (LOST, code, f"somebody deleted the PyTorchJob (words for {code})")
    assert (found.started_at, found.ended_at, found.restarts) == (at(3), at(19), 1)


def test_deleted_where_another_node_failed_first() -> None:
    found = verdict(None, exit=word(143), others=[(1, word(3))], nodes=2)
    assert told(found) == (FAILED, 3, "worker-0: words for 3")


def test_deleted_and_interrupted_in_its_pod() -> None:
    found = verdict(None, exit=word(130, CANCELLED))
    assert told(found) == (CANCELLED, 130, "words for 130")


@pytest.mark.parametrize("exit_", [None, word(143), word(143, CANCELLED), word(3)])
def test_deleted_and_cancelled(exit_: ExitRecord | None) -> None:
    found = verdict(None, exit=exit_, cancelled=MINE, restarts_before=1)
    assert (found.state, found.reason, found.restarts) == (CANCELLED, MINE, 1)
    assert found.ended_at == (at(19) if exit_ else None)


# ------------------------------------------------------------------ failed for the operator, and still running
#: When `failed_job` failed, and half a minute later.
FAILED_AT = datetime(2026, 11, 22, 20, 30, tzinfo=timezone.utc).timestamp()
SOON = FAILED_AT + 30
PREEMPTED = event(f"{NAME}-master-0", "Preempted", "Preempted by ns/big on node n0", type="Normal")


@pytest.mark.parametrize(
    ("conditions", "events", "why"),
    [
        ([], [], SOMEBODY),
        ([condition("DisruptionTarget", reason="PreemptionByScheduler")], [], "preempted by a job of higher priority"),
        ([], [PREEMPTED], "preempted by a job of higher priority (Preempted by ns/big on node n0)"),
        ([], [event(f"{NAME}-master-0", "TaintManagerEviction", "Marking for deletion Pod ns/x", type="Normal")], "its node failed or was drained"),
        ([], [event(f"{NAME}-master-0", "TaintManagerEviction", "Cancelling deletion of Pod ns/x", type="Normal")], SOMEBODY),
        ([], [event(f"{NAME}-master-0", "Preempted", "of the pod before", uid="other")], SOMEBODY),
    ],
)  # fmt: skip
def test_a_container_in_its_grace_period_is_running(
    conditions: list[dict[str, Any]], events: list[Any], why: str
) -> None:
    leaving = removed(pod(0, conditions=conditions), minute=32)
    found = verdict(failed_job(SAID), leaving, events=events, now=SOON)
    reason = f"being removed: {why}; it has until 21:32:00 at most"
    assert told(found) == (RUNNING, None, reason)
    assert found.is_ending


SAID = "PyTorchJob mr is failed because 1 Master replica(s) failed."
TOLD_3 = dead_pod(1, 3, said=message(word(3)))


def test_its_end_is_told_by_its_exit_json() -> None:
    ended = removed(dead_pod(0, 143, said=STOPPED), minute=32)
    assert told(verdict(failed_job(SAID), ended, now=SOON)) == (FAILED, 143, TOLD)
    # The pod is gone: exit.json tells the end, or the pod as it was last.
    said = word(143, reason=SIGNAL)
    assert told(verdict(failed_job(SAID), exit=said, now=SOON)) == (FAILED, 143, TOLD)
    assert told(verdict(failed_job(SAID), gone=[ended], now=SOON)) == (FAILED, 143, TOLD)
    found = verdict(failed_job(SAID), gone=[ended], events=[PREEMPTED], now=SOON)
    assert "told to end: preempted by a job of higher priority (Preempted by ns/big" in str(
        found.reason
    )


def test_an_end_without_exit_json_names_who_removed_the_pod() -> None:
    found = verdict(failed_job(SAID), events=[PREEMPTED], now=SOON)
    why = "preempted by a job of higher priority (Preempted by ns/big on node n0)"
    assert found.reason == f"{SAID.rstrip('.')}; master-0 gone: {why}{HINT}"
    killed = removed(dead_pod(0, 137), minute=32)
    found = verdict(failed_job(SAID), killed, now=SOON)
    words = f"exit code 137: killed (SIGKILL) (its pod was told to end: {SOMEBODY}{HINT})"
    assert told(found) == (FAILED, 137, words)


def test_a_training_that_was_complete_when_its_pod_was_removed() -> None:
    """launch.sh found all steps trained and saved, although the operator counts a failure."""
    assert verdict(failed_job(SAID), exit=word(0)).state == SUCCEEDED
    done = removed(dead_pod(0, 0, said=message(word(0))), minute=32)
    assert verdict(failed_job(SAID), done, now=SOON).state == SUCCEEDED
    late = removed(dead_pod(1, 143, said=STOPPED), minute=32)
    assert verdict(failed_job(SAID), dead_pod(0, 0), late, exit=word(0)).state == SUCCEEDED
    assert verdict(failed_job(SAID), exit=word(0), others=[(1, word(3))], nodes=2).state == FAILED


@pytest.mark.parametrize("phase", ["Running", "Failed"])
def test_peers_of_a_node_that_failed_are_about_to_end(phase: str) -> None:
    """The kubelet sets the phase Failed at a pod's deadline, while its container still has its grace period."""
    runs = pod(0, phase, state={"running": {"startedAt": utc(2)}})
    found = verdict(failed_job(), runs, TOLD_3, now=SOON, grace=30.0)
    assert told(found) == (RUNNING, None, "worker-0: words for 3; master-0 about to end")
    assert found.is_ending


def test_peers_of_a_killed_node_run_on() -> None:
    killed = dead_pod(1, 137, reason="OOMKilled")
    state, words = left(pod(0), killed, after=1)
    assert told(state) == (FAILED, 137, f"worker-0: {OOM}")
    assert words.startswith("master-0 still running")


def left(*pods: Pod, after: float) -> tuple[State, str]:
    seen = KubernetesEvidence(
        job=failed_job(), pods=pods, nodes=len(pods), now=FAILED_AT + after, grace=30.0
    )
    state = judge(seen)
    assert state is not None
    return state, still_running(seen)


def test_pods_that_do_not_end_are_left_after_a_while() -> None:
    assert left(pod(0), TOLD_3, after=89)[0].state == RUNNING
    state, words = left(pod(0), TOLD_3, after=91)
    assert told(state) == (FAILED, 3, "worker-0: words for 3")
    assert words == "master-0 still running; `prl-submit cancel` ends that too"
    state, words = left(pending(0), TOLD_3, after=91)
    assert state.state == FAILED
    assert words == "master-0 yet to start; `prl-submit cancel` prevents that"
    late = pod(0, "Failed", state={"running": {}})
    assert left(late, dead_pod(1, 3), after=91)[0].state == RUNNING
    assert left(late, dead_pod(1, 3), after=121)[0].state == FAILED
    assert left(dead_pod(0, 143), dead_pod(1, 3), after=1)[1] == ""


def test_a_node_that_does_not_answer_is_waited_for_for_five_minutes() -> None:
    lost = removed(pod(0), minute=31)  # to be killed a minute after the failure
    assert left(lost, after=359)[0].state == RUNNING
    state, words = left(lost, after=361)
    assert state.state == FAILED
    assert words.startswith("master-0 on n0 should have ended long ago; its node may be lost")


def test_a_removal_long_after_the_end_does_not_make_it_run_again() -> None:
    swept = removed(pod(0), minute=45, grace=60)
    state, words = left(swept, dead_pod(1, 3), after=14.5 * 60)
    assert state.state == FAILED
    assert words.startswith("master-0 still running")


@pytest.mark.parametrize(
    ("of", "more", "why"),
    [
        (AGAIN, {}, SOMEBODY),
        (RUNS, {}, SOMEBODY),
        (job("Created", suspend=True), {"queue": "team-a"}, "Kueue has suspended the job (queue team-a)"),
        (job("Created", "Suspended"), {}, "the job is suspended"),
    ],
)  # fmt: skip
def test_a_pod_of_a_job_that_goes_on_runs_while_it_is_being_removed(
    of: PyTorchJob, more: dict[str, Any], why: str
) -> None:
    found = verdict(of, removed(pod(0), minute=32), now=SOON, max_restarts=3, **more)
    reason = f"being removed: {why}; it has until 21:32:00 at most"
    assert told(found) == (RUNNING, None, reason)
    lost = verdict(of, removed(pod(0), minute=20), now=SOON, max_restarts=3, **more)
    assert lost.state == QUEUED


def test_pods_outlive_a_job_that_somebody_deleted() -> None:
    found = verdict(None, removed(pod(0), minute=32), now=SOON)
    words = f"the PyTorchJob is gone: somebody deleted it; being removed: {SOMEBODY}"
    assert told(found) == (RUNNING, None, f"{words}; it has until 21:32:00 at most")
    orphan = verdict(None, pod(0), now=SOON)
    assert orphan.reason == "the PyTorchJob is gone: somebody deleted it; master-0 runs on"
    ended = removed(dead_pod(0, 143, said=STOPPED), minute=32)
    found = verdict(None, ended, now=SOON)
    assert told(found) == (LOST, 143, f"somebody deleted the PyTorchJob ({SIGNAL})")


def test_starts_after_a_suspension_are_not_among_the_restarts() -> None:
    found = verdict(AGAIN, pending(0), starts=4, readmitted=2, max_restarts=3)
    assert (found.reason, found.restarts) == ("restart 1 of 3; master-0: starts on n0", 3)
    found = verdict(job("Created"), pending(0), starts=2, readmitted=1)
    assert (found.reason, found.restarts) == ("master-0: starts on n0", 1)


@pytest.mark.parametrize("cancelled", [None, MINE])
@pytest.mark.parametrize("why", ["", "it has run longer than specified deadline"])
def test_the_jobs_own_proof_counts_more_than_what_ended_its_pods(
    cancelled: str | None, why: str
) -> None:
    """The operator calls a pod failed that is being deleted; launch.sh found every step saved."""
    done = word(0, reason="all 14 steps are trained and saved; then: stopped by signal 15")
    pods = [dead_pod(0, 0, said=message(done)), dead_pod(1, 143, said=STOPPED)]
    found = verdict(failed_job(why), *pods, exit=done, cancelled=cancelled)
    assert (found.state, found.exit_code, found.reason) == (SUCCEEDED, 0, done.reason)
