"""Why a job waits, in words."""

from __future__ import annotations

import pytest

from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.backends.slurm.reasons import wanted_words, why_waiting

# What squeue prints as a reason: codes, and for some reasons a sentence.
NEVER = ("BadConstraints", "DependencyNeverSatisfied", "InvalidAccount", "InvalidQOS")


def words(reason: str | None, gpus: int = 4, nodes: int = 1) -> str:
    """The words for a waiting job."""
    return why_waiting(
        ListedJob(job_id="1", state="PENDING", reason=reason, gpus=gpus, node_count=nodes)
    )


@pytest.mark.parametrize(
    ("gpus", "nodes", "text"),
    [
        (0, 1, "1 node"),
        (0, 2, "2 nodes"),
        (1, 1, "1 GPU"),
        (4, 1, "4 GPUs"),
        (1, 2, "2 GPUs on 2 nodes"),
        (8, 2, "16 GPUs on 2 nodes"),
    ],
)
def test_what_is_asked_for(gpus: int, nodes: int, text: str) -> None:
    assert wanted_words(gpus, nodes) == text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (None, "waiting for 4 GPUs"),
        ("Priority", "waiting for 4 GPUs (Priority)"),
        ("Resources", "waiting for 4 GPUs (Resources)"),
        ("JobHeldUser", "held; `scontrol release` lets it go (JobHeldUser)"),
        ("Dependency", "waiting for the job it depends on (Dependency)"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n[1-2]",
            "a node it asks for is down or drained (ReqNodeNotAvail, UnavailableNodes:n[1-2])",
        ),
        (
            "ReqNodeNotAvail(Unavailable:n1)",
            "a node it asks for is down or drained (ReqNodeNotAvail(Unavailable:n1))",
        ),
        (
            "ReqNodeNotAvail, Reserved for maintenance",
            "a node it asks for is reserved for maintenance (ReqNodeNotAvail, Reserved for maintenance)",
        ),
        *(
            (reason, f"a node it asks for is busy, or reserved for another job ({reason})")
            for reason in (
                "ReqNodeNotAvail",
                "ReqNodeNotAvail, May be reserved for other job",
                "ReqNodeNotAvail, UnavailableNodes:",
                "ReqNodeNotAvail(Unavailable:)",
            )
        ),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
            "the nodes it could run on are down, drained or reserved (Nodes required for job are DOWN, "
            "DRAINED or reserved for jobs in higher priority partitions)",
        ),
        (
            "launch failed requeued held",
            "its start failed, and Slurm holds it; `scontrol release` tries again "
            "(launch failed requeued held)",
        ),
        (
            "job requeued in held state",
            "put back and held; `scontrol release` lets it go (job requeued in held state)",
        ),
        ("AssocGrpGRES", "your account is at a limit (AssocGrpGRES)"),
        ("AssociationJobLimit", "your account may not run more jobs at once (AssociationJobLimit)"),
        ("QOSMaxGRESPerUser", "its QoS is at a limit (QOSMaxGRESPerUser)"),
        ("QOSJobLimit", "its QoS may not run more jobs at once (QOSJobLimit)"),
        ("SomethingNew", "waiting: SomethingNew"),
    ],
)
def test_reasons(reason: str | None, text: str) -> None:
    """Slurm's reasons for waiting become plain words."""
    assert words(reason) == text


@pytest.mark.parametrize("reason", [*NEVER, "PartitionTimeLimit", "PartitionNodeLimit"])
def test_a_job_that_will_never_start_is_told_so(reason: str) -> None:
    assert words(reason).endswith(f"it will never start ({reason})")


@pytest.mark.parametrize(
    "reason", ["Licenses", "BeginTime", "Prolog", "Reservation", "SomethingNew"]
)
def test_slurms_own_code_is_shown_too(reason: str) -> None:
    assert reason in words(reason)
