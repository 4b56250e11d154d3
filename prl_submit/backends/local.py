"""This machine: launch.sh as a detached process.

The job commits itself: the forked child writes run.json with its own identity and then becomes
launch.sh. So whatever instant the submitting process is killed at, either no job runs and none is
listed, or one runs and is listed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from prl_submit import processes
from prl_submit.backends import Keeper, NothingToKeep, nobody
from prl_submit.cancellation import CancelNote, cancel_reason
from prl_submit.errors import BackendRefusedError, Refusal, RefusedError
from prl_submit.files import write_atomic
from prl_submit.plan import Plan
from prl_submit.runs import (
    CANCEL,
    EXIT,
    LAUNCH,
    PLAN,
    RECORD,
    Process,
    Record,
    Run,
    read_run,
    write_record,
)
from prl_submit.states import CANCELLED, LOST, RUNNING, State, finished_state

#: Variables of an outer job that would confuse this one.
_NOT_INHERITED = ("PRL_SUBMIT_", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "BASH_ENV")
#: Seconds; a look at /proc costs nothing.
POLL_S = 0.0
_POLL_S = 0.05
#: launch.sh's own name in the list of processes.
_ARGV0 = "bash"
#: How long a killed process may take to be gone.
_KILL_S = 10.0


def artefact_name() -> str | None:
    """None: launch.sh is all there is."""
    return None


def submit(run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = nobody) -> Record:
    """Fork, detach, record, become launch.sh. Returns the record the child wrote."""
    before = _read_or_none(run / RECORD)  # the record of the attempt that is resumed
    reader, writer = os.pipe()
    _flush_output()
    # Ctrl-C waits for these milliseconds: in their midst nobody could say whether a job exists.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _become_job(run, record, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            fault = answers.read().decode(
                "utf-8", "replace"
            )  # ends when the child has exec'd or died
        killed_by = None if fault else _killed_before_it_began(pid)
        if fault:
            os.waitpid(pid, 0)
        if fault or killed_by is not None:
            _put_back(run, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    if killed_by == signal.SIGINT:
        raise KeyboardInterrupt  # without a run: nothing was started
    if fault or killed_by is not None:
        fault = fault or f"signal {killed_by} ended its process before launch.sh began"
        raise BackendRefusedError(f"the job could not be started: {fault}")
    written = read_run(run)
    return written.record if written and written.record else record


def _flush_output() -> None:
    """The child must not write our buffers once more; a stream that is closed or full has none."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()


def _killed_before_it_began(pid: int) -> int | None:
    """The signal that ended the child before it became launch.sh; None where it did become it.

    The pipe closes at exec and at death alike. At exec the command line of the process changes.
    """
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        if processes.command_line(pid)[:1] == [_ARGV0]:
            return None
        time.sleep(0.001)


def _put_back(run: Path, before: bytes | None) -> None:
    """run.json as it was before the child, which may have been killed while it wrote."""
    for part in run.glob(f".{RECORD}.*.part"):
        part.unlink(missing_ok=True)
    if before is None:
        (run / RECORD).unlink(missing_ok=True)
    else:
        write_atomic(run / RECORD, before)


def _read_or_none(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _become_job(run: Path, record: Record, writer: int) -> None:
    """In the child. Never returns: exec, or _exit with the reason sent to the parent.

    SIGINT and SIGTERM stay blocked until the record is written: only the exec itself can be hit.
    """
    before = _read_or_none(run / RECORD)
    try:
        os.setsid()  # survives the terminal
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        environ = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
        bash = _find_bash(environ)
        me = processes.identify(os.getpid())
        write_record(run, msgspec.structs.replace(record, job_id=str(me.pid), process=me))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.execve(bash, [_ARGV0, str(run / LAUNCH)], environ)
    except BaseException as error:
        with contextlib.suppress(OSError):
            _put_back(run, before)  # the parent may have been killed, and does it otherwise
        os.write(writer, (str(error) or type(error).__name__).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _find_bash(environ: dict[str, str]) -> str:
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, "bash")
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError("bash is not on PATH")


def ask_online(plan: Plan, artefact: str) -> str:
    """This machine itself is asked. Raises RefusedError where it has not what the job needs."""
    from prl_submit.here import lacking
    from prl_submit.shell import run

    if found := list(lacking(plan, os.environ, run)):
        raise RefusedError(found)
    venv = plan.environment.venv
    if venv and not os.path.exists(os.path.join(plan.workdir, os.path.expanduser(venv), "bin")):
        message = f"virtual environment {venv} is not here"
        raise RefusedError([Refusal("environment.venv", message, "make it first")])
    return "this machine starts it at once"


def states(runs: Sequence[Run]) -> list[State]:
    """RUNNING while the very process lives; what ended without exit.json was killed."""
    return [finished_state(run) or _state(run) for run in runs]


def _state(run: Run) -> State:
    process = run.record.process if run.record else None
    if process is None:
        return State(state=LOST, reason="run.json names no process")
    if processes.is_alive(process):
        return State(state=RUNNING, started_at=run.record.ordered_at if run.record else None)
    if _is_elsewhere(process):
        return State(state=RUNNING, reason=f"as last known: it runs on {process.host}, ask there")
    # It may have ended between the caller's look at exit.json and ours at the process.
    return finished_state(run) or _vanished(run, process)


def _is_elsewhere(process: Process) -> bool:
    """On another machine, or in another container of this one, that shares the output folder."""
    return not processes.is_visible(process) and process.host != os.uname().nodename


def _vanished(run: Run, process: Process) -> State:
    if (run.path / CANCEL).exists() and not _left(run):
        return State(state=CANCELLED, reason=cancel_reason(run.path))
    if process.boot != processes.boot_id():
        return State(state=LOST, reason="the machine was restarted while it ran")
    if not processes.is_visible(process):
        return State(state=LOST, reason="the container it ran in is gone")
    if (run.path / EXIT).exists() and run.record and not run.record.restarts:
        return State(state=LOST, reason="it has ended, but its exit.json is damaged")
    left = _left(run)
    reason = f"process {process.pid} ended without exit.json: killed (SIGKILL), or the disk is full"
    if left:
        reason += (
            f"; {len(left)} of its processes still run, `prl-submit cancel {run.run}` ends them"
        )
    return State(state=LOST, reason=reason)


def _left(run: Run) -> list[int]:
    return processes.with_token(run.record.token) if run.record else []


def node_name(node: int) -> str:
    """`node0`, as its log is called."""
    return f"node{node}"


def log_keeper(run: Run, tell: Callable[[str], None] = nobody) -> Keeper:
    """The job writes its log itself."""
    return NothingToKeep()


def is_left(run: Run) -> bool:
    """Its end is the end of all of it."""
    return False


CANCEL_WAITS = False


def cancel(run: Run, *, wait: bool) -> bool:
    """SIGTERM to launch.sh, which stops its ranks; SIGKILL to whatever outlives the grace.

    Always waits: a local job holds this machine's GPUs until it is gone.
    """
    process = run.record.process if run.record else None
    if process is None:
        return False
    if _is_elsewhere(process):
        raise BackendRefusedError(
            f"{run.run} runs on {process.host}, whose processes cannot be reached from here",
            f"cancel it there: prl-submit cancel {run.path}",
        )
    if not processes.is_alive(process) and not _left(run):
        return True  # lost before anybody cancelled it
    cancel_note = CancelNote(run.path)
    deadline = time.monotonic() + _grace(run.path) + 10
    try:
        _end(run, process, deadline)
    except PermissionError:
        raise BackendRefusedError(f"{run.run} is somebody else's: it cannot be ended") from None
    cancel_note.close()
    return True


def _end(run: Run, process: Process, deadline: float) -> None:
    signal_group(process, signal.SIGTERM)
    while processes.is_alive(process) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    signal_group(process, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_S
    while left := _left(run):
        if time.monotonic() > deadline:
            pids = ", ".join(map(str, left))
            raise BackendRefusedError(
                f"{run.run}: SIGKILL did not end process {pids}",
                "it hangs in the kernel, often in the GPU's driver or on a file server",
            )
        for pid in left:
            processes.send(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def signal_group(process: Process, number: signal.Signals) -> None:
    """Signal launch.sh, which leads its group, and a setup command in its foreground.

    bash hears of the signal only when that command has ended.
    """
    if not processes.is_alive(process):
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def _grace(run: Path) -> int:
    try:
        plan = msgspec.json.decode((run / PLAN).read_bytes())
        return int(plan["plan"]["restarts"]["grace"])
    except (OSError, KeyError, TypeError, ValueError):
        return 120
