"""A queue without a server: one job after another on this machine.

Each job is a file in the spool folder, and a process that waits until it has the folder's lock. Then the process
writes its pid into the file and becomes launch.sh. All processes of the job inherit the lock, so the next job
begins when the last of them has ended. A job whose file is gone does not begin.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.base import Backend, ignore_message
from prl_submit.backends.inherited_variables import is_inherited
from prl_submit.backends.submit_once import record_first
from prl_submit.planning.plan import Plan
from prl_submit.runs.cancellation import CancelNote, cancel_reason
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.record import Record
from prl_submit.runs.states import CANCELLED, FINISHED, LOST, QUEUED, RUNNING, State, finished_state

#: Words: the spool folder, the job's file, launch.sh.
_WAIT_AND_RUN = """\
exec 9>"$1/lock" && flock 9 && [[ -e $2 ]] || exit
echo $$ >"$2" && exec bash "$3"
"""
_POLL_S = 0.05


class SpoolBackend(Backend):
    """The spool folder that the environment variable SPOOL names."""

    def ask(self, plan: Plan, artefact: str) -> str:
        """A job always finds room in the queue."""
        return f"{len(list(_spool().glob('job-*')))} jobs are before it"

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Make the job's file and start the process that waits for its turn."""
        return record_first(run, read_run(run), record, lambda: _enqueue(run))

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """By exit.json, by the job's file and by the process that the file names."""
        found = [finished_state(run) or _state(run) for run in runs]
        return [BackendAnswer(state=state, is_final=state.state in FINISHED) for state in found]

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """Take a waiting job out of the queue; send SIGTERM to launch.sh of a running one."""
        job = _job_file(run)
        if job is None or not job.exists():
            return False
        note = CancelNote(run.path)
        pid = _pid(job)
        if pid is None:
            job.unlink()
        else:
            os.kill(pid, signal.SIGTERM)
        while wait and pid is not None and _is_alive(pid):
            time.sleep(_POLL_S)
        note.close()
        return True


def _spool() -> Path:
    spool = Path(os.environ["SPOOL"])
    spool.mkdir(exist_ok=True)
    return spool


def _enqueue(run: Path) -> str:
    """The id of the new job: the name of its file."""
    handle, job = tempfile.mkstemp(prefix="job-", dir=_spool())
    os.close(handle)
    words = ["bash", "-c", _WAIT_AND_RUN, "spool", str(_spool()), job, str(run / "launch.sh")]
    environ = {name: text for name, text in os.environ.items() if is_inherited(name)}
    with open(os.devnull, "r+b") as nothing:
        streams = (nothing, nothing, nothing)
        subprocess.Popen(words, -1, None, *streams, env=environ, start_new_session=True)
    return Path(job).name


def _job_file(run: Run) -> Path | None:
    job_id = run.record.job_id if run.record else None
    return None if job_id is None else _spool() / job_id


def _state(run: Run) -> State:
    job = _job_file(run)
    if job is None or not job.exists():
        reason = cancel_reason(run.path)
        return State(state=LOST if reason is None else CANCELLED, reason=reason)
    pid = _pid(job)
    if pid is None:
        return State(state=QUEUED, reason="waits for the job before it")
    if _is_alive(pid):
        return State(state=RUNNING)
    return finished_state(run) or State(state=LOST, reason="it left no exit.json")


def _pid(job: Path) -> int | None:
    """The pid of launch.sh; None while the job waits."""
    return int(job.read_text().strip() or 0) or None


def _is_alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


BACKEND = SpoolBackend()
