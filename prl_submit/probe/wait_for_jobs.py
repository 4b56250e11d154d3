"""Wait for probe jobs: for their results, or for their end without a result.

submitit's own waiting asks only sacct, at worst every 600 s, and gets no answer on a cluster without
accounting. So we look for the file of the result, and ask squeue in which state the job is.
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
from prl_submit.backends.slurm.slurm_commands import SlurmCommands
from prl_submit.backends.slurm.states import squeue
from prl_submit.errors import EXIT_JOB_FAILED, BackendUnreachableError, PrlSubmitError
from prl_submit.probe import on_node

#: Seconds between two looks for the result, and between two questions to squeue.
LOOK_S = 0.1
ASK_S = 2.0
#: Seconds that a cancelled job gets to end.
END_S = 5.0
_PYTHON = (
    "--python PATH names a Python on the nodes with submitit, of the same minor version as this one"
)


class ProbeFailedError(PrlSubmitError):
    """A node could not be probed."""

    exit_code = EXIT_JOB_FAILED


#: The outcome of one probe: the answer of `on_node.look`, or why there is none.
Outcome = Union[dict[str, Any], ProbeFailedError]


class How(Struct, frozen=True):
    """How to run probes: for how long, whom to tell of progress, with which Python on the nodes.

    `python` is a word of the shell, quoted if need be.
    """

    timeout_s: float
    tell: Callable[[str], None]
    python: Union[str, None] = None


class ProbeJob(Protocol):
    """A probe job that was started."""

    where: str
    #: submitit's object of the job.
    job: Any
    #: Seconds until we see a file that the job wrote; on a network file system that takes a while.
    settle_s: float

    def state(self) -> tuple[bool, str]:
        """True if the job has ended; and its state in words."""

    def cancel(self) -> None:
        """End the job."""


class LocalJob:
    """A probe job on this machine."""

    settle_s = 0.2

    def __init__(self, job: Any) -> None:
        self.job = job
        self.where = "this machine"

    def state(self) -> tuple[bool, str]:
        """The state of the job's process."""
        ended = self.job.done()
        return ended, "the probe's process ended" if ended else "running"

    def cancel(self) -> None:
        """Send SIGINT, at which submitit ends its tasks; if that takes too long, SIGKILL."""
        self.job.cancel()
        if not _wait(self.job.done):
            os.kill(
                int(self.job.job_id), signal.SIGKILL
            )  # the process is our child, so nobody else has its number


class SlurmJob:
    """A probe job in a partition of Slurm. No other job has its name."""

    settle_s = 3.0

    def __init__(self, job: Any, partition: str, name: str, slurm: SlurmCommands) -> None:
        self.job = job
        self.where = f"partition {partition}"
        self._name = name
        self._slurm = slurm
        self._asked = float("-inf")
        self._last = (False, f"job {job.job_id} was submitted")

    def state(self) -> tuple[bool, str]:
        """The state by squeue, asked every ASK_S at most. Without an answer the job counts as running."""
        if time.monotonic() - self._asked < ASK_S:
            return self._last
        self._asked = time.monotonic()
        try:
            self._last = self._ask()
        except BackendUnreachableError as error:
            self._last = (False, error.message)
        return self._last

    def _ask(self) -> tuple[bool, str]:
        """The state that squeue reports now."""
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
        """Cancel the job and wait for its end: it must not write into a folder that we remove."""
        cancel_named(self._name, self._slurm)

        def ended() -> bool:
            self._asked = float("-inf")
            return self.state()[0]

        _wait(ended)


def cancel_named(name: str, slurm: SlurmCommands) -> None:
    """Cancel by name: sbatch may have submitted the job without telling us its id."""
    slurm.order(["scancel", f"--name={name}"])


def collect(open_jobs: list[ProbeJob], how: How) -> list[Outcome]:
    """Wait for the jobs; the outcome of each. A job that has ended is taken out of `open_jobs`."""
    jobs = list(open_jobs)
    waiting = {job: _Waiting(job, how.tell) for job in jobs}
    found: dict[ProbeJob, Outcome] = {}
    deadline = time.monotonic() + how.timeout_s
    while True:
        for job in list(open_jobs):
            outcome = waiting[job].look()
            if outcome is not None:
                found[job] = outcome
                open_jobs.remove(job)
        if not open_jobs or time.monotonic() > deadline:
            break
        time.sleep(LOOK_S)
    return [found[job] if job in found else _too_late(job, how) for job in jobs]


class _Waiting:
    """The waiting for one job."""

    def __init__(self, job: ProbeJob, tell: Callable[[str], None]) -> None:
        self._job = job
        self._tell = tell
        self._told = ""
        self._ended_at: float | None = None

    def look(self) -> Outcome | None:
        """The job's outcome; None while there may still come one. Tells of each new state."""
        outcome = _result(self._job)
        if outcome is not None:
            return outcome
        has_ended, words = self._job.state()
        if not has_ended:
            if words != self._told:
                self._told = words
                self._tell(f"{self._job.where}: {words}")
            return None
        now = time.monotonic()
        if self._ended_at is None:
            self._ended_at = now
        if now - self._ended_at > self._job.settle_s:
            return _came_to_nothing(self._job, words)
        return None


def _result(job: ProbeJob) -> Outcome | None:
    """The result that the job wrote; None if it has not."""
    path: Path = job.job.paths.result_pickle
    os.listdir(path.parent)  # makes an NFS client read the folder anew
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
    """The error for a job that ended without a result. `words`: its state."""
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
    """The error for a job that is still open when the time is over."""
    message = (
        f"{job.where}: no answer within {how.timeout_s:g} s: {job.state()[1]}; it was cancelled"
    )
    return ProbeFailedError(message, "--timeout 1h waits longer; --partition NAME asks another one")


def end(open_jobs: list[ProbeJob]) -> None:
    """Cancel all open jobs. Ctrl-C is ignored meanwhile, because it would leave some running."""
    if not open_jobs:
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for job in open_jobs:
            job.cancel()
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(check: Callable[[], bool]) -> bool:
    """Wait until `check` is true, END_S at most; whether it became true."""
    deadline = time.monotonic() + END_S
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True
