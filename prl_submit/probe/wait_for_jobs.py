"""Probe jobs that were sent: whether they have ended, what came of them, how they are ended.

submitit's own waiting asks sacct alone, every 600 s at worst, and has nothing to ask where there is
no accounting. So we look for the file of the result, and ask squeue why it does not come.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Union

from msgspec import Struct

from prl_submit.backends.slurm.job_listing import is_live, is_waiting, squeue_argv
from prl_submit.backends.slurm.reasons import why_waiting
from prl_submit.backends.slurm.slurm_commands import Slurm
from prl_submit.backends.slurm.states import squeue
from prl_submit.errors import EXIT_JOB_FAILED, BackendUnreachableError, PrlSubmitError
from prl_submit.probe import on_node

#: Seconds between two looks for the result, and between two questions to squeue.
LOOK_S = 0.1
ASK_S = 2.0
#: Seconds for a cancelled job to end.
END_S = 5.0
_PYTHON = (
    "--python PATH names a Python on the nodes with submitit, of the same minor version as this one"
)


class ProbeFailedError(PrlSubmitError):
    """A node was not looked at."""

    exit_code = EXIT_JOB_FAILED


#: What came of one probe: the node function's answer, or why there is none.
Outcome = Union[dict[str, Any], ProbeFailedError]


class How(Struct, frozen=True):
    """How probes run: seconds to wait, the nodes' python (a shell word), who is told of progress."""

    timeout_s: float
    tell: Callable[[str], None]
    python: Union[str, None] = None


class ProbeJob(Protocol):
    """A probe job that was sent."""

    where: str
    #: submitit's.
    job: Any
    #: Seconds until a result that was written can be seen here.
    settle_s: float

    def state(self) -> tuple[bool, str]:
        """Whether it has ended, and its state in words."""

    def cancel(self) -> None:
        """End it."""


class LocalJob:
    """On this machine."""

    settle_s = 0.2

    def __init__(self, job: Any) -> None:
        self.job = job
        self.where = "this machine"

    def state(self) -> tuple[bool, str]:
        """From its process."""
        ended = self.job.done()
        return ended, "the probe's process ended" if ended else "running"

    def cancel(self) -> None:
        """SIGINT, which makes submitit end its tasks; then SIGKILL."""
        self.job.cancel()
        if not _wait(self.job.done):
            os.kill(int(self.job.job_id), signal.SIGKILL)  # our child, so the pid is still its


class SlurmJob:
    """In a partition; `name` is its alone."""

    settle_s = 3.0

    def __init__(self, job: Any, partition: str, name: str, slurm: Slurm) -> None:
        self.job = job
        self.where = f"partition {partition}"
        self._name = name
        self._slurm = slurm
        self._asked = float("-inf")
        self._last = (False, f"job {job.job_id} was submitted")

    def state(self) -> tuple[bool, str]:
        """From squeue, at most every ASK_S; an answer that does not come ends nothing."""
        if time.monotonic() - self._asked < ASK_S:
            return self._last
        self._asked = time.monotonic()
        try:
            self._last = self._ask()
        except BackendUnreachableError as error:
            self._last = (False, error.message)
        return self._last

    def _ask(self) -> tuple[bool, str]:
        job_id = self.job.job_id
        jobs = squeue(self._slurm, squeue_argv(job_ids=[job_id]))
        if not jobs:
            return True, f"Slurm has no job {job_id} any more"
        (job, *_) = jobs
        if is_waiting(job):
            return False, f"job {job_id} is {job.state}: {why_waiting(job)}"
        reason = f" ({job.reason})" if job.reason else ""
        node_ = f" on {job.nodes}" if job.nodes else ""
        return not is_live(job), f"job {job_id} is {job.state}{reason}{node_}"

    def cancel(self) -> None:
        """End it by scancel, and wait for the end, so that nothing writes into the folder any more."""
        cancel_named(self._name, self._slurm)

        def ended() -> bool:
            self._asked = float("-inf")
            return self.state()[0]

        _wait(ended)


def cancel_named(name: str, slurm: Slurm) -> None:
    """End the job of that name: sbatch may have sent it and not come back with its id."""
    slurm.order(["scancel", f"--name={name}"])


def collect(open_jobs: list[ProbeJob], how: How) -> list[Outcome]:
    """What came of each job. Those that have ended are taken out of `open_jobs`."""
    jobs = list(open_jobs)
    found: dict[ProbeJob, Outcome] = {}
    ended_at: dict[ProbeJob, float] = {}
    told: dict[ProbeJob, str] = {}
    deadline = time.monotonic() + how.timeout_s
    while True:
        for job in list(open_jobs):
            outcome = _result(job)
            if outcome is None:
                ended, words = job.state()
                if told.setdefault(job, "") != words and not ended:
                    told[job] = words
                    how.tell(f"{job.where}: {words}")
                if (
                    ended
                    and time.monotonic() - ended_at.setdefault(job, time.monotonic()) > job.settle_s
                ):
                    outcome = _came_to_nothing(job, words)
            if outcome is not None:
                found[job] = outcome
                open_jobs.remove(job)
        if not open_jobs:
            return [found[job] for job in jobs]
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_S)
    return [found[job] if job in found else _too_late(job, how) for job in jobs]


def _result(job: ProbeJob) -> Outcome | None:
    path: Path = job.job.paths.result_pickle
    os.listdir(path.parent)  # NFS clients look anew
    if not path.exists():
        return None
    from submitit.core.utils import pickle_load

    verdict, value = pickle_load(path)
    if verdict == "success":
        answer: dict[str, Any] = value
        return answer
    return ProbeFailedError(
        f"{job.where}: the probe failed there: {on_node.last_line(value)}", _PYTHON
    )


def _came_to_nothing(job: ProbeJob, words: str) -> ProbeFailedError:
    log: Path = job.job.paths.stderr
    try:
        said = on_node.last_line(log.read_text("utf-8", "replace"))
    except OSError:
        hint = f"nothing was written: do the nodes have {log.parent.parent}? --output-root DIR takes a folder that they share"
        return ProbeFailedError(f"{job.where}: no answer: {words}", hint)
    why = f": {said}" if said else ""
    advice = _PYTHON if "No such file" in said or "module" in said.lower() else None
    return ProbeFailedError(f"{job.where}: no answer: {words}{why}", advice)


def _too_late(job: ProbeJob, how: How) -> ProbeFailedError:
    message = (
        f"{job.where}: no answer within {how.timeout_s:g} s: {job.state()[1]}; it was cancelled"
    )
    return ProbeFailedError(message, "--timeout 1h waits longer; --partition NAME asks another one")


def end(open_jobs: list[ProbeJob]) -> None:
    """Cancel what is still open; a second Ctrl-C cannot leave half of it running."""
    if not open_jobs:
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for job in open_jobs:
            job.cancel()
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + END_S
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True
