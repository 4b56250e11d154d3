"""Attempts of a run, and their states, for the tests of judge and ended_job."""

from __future__ import annotations

from typing import Any

from prl_submit.backends.kubernetes.evidence import KubernetesEvidence
from prl_submit.backends.kubernetes.judge import judge
from prl_submit.backends.kubernetes.objects import Pod, PyTorchJob
from prl_submit.runs.states import (
    State,
)
from tests.unit.kubernetes.objects import (
    job,
    message,
    word,
)

MINE = "cancelled by me"
SOMEBODY = "node drained, preempted, or deleted by somebody"
HINT = "; restarts.max: 1 would start it again"
SIGNAL = "stopped by signal 15 while training"
TOLD = f"{SIGNAL} (its pod was told to end: {SOMEBODY}{HINT})"
STOPPED = message(word(143, reason=SIGNAL))
OOM = "out of memory (OOMKilled); resources.memory is the limit of the whole pod"
RUNS = job("Created", "Running", active=1)
RUNS_2 = job("Created", "Running", active=2)
AGAIN = job("Created", "Restarting")


def at(minute: int, second: int = 0) -> str:
    """A time as the submitter reads it."""
    return f"2026-11-22T21:{minute:02d}:{second:02d}+01:00"


def verdict(of: PyTorchJob | None, *pods: Pod, **evidence: Any) -> State:
    """The state; the test fails if there is none."""
    evidence.setdefault("nodes", max(len(pods), 1))
    state = judge(KubernetesEvidence(job=of, pods=pods, **evidence))
    assert state is not None
    return state


def told(state: State) -> tuple[str, int | None, str | None]:
    """State, exit code and reason."""
    return state.state, state.exit_code, state.reason
