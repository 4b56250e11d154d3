"""This machine: launch.sh as a detached process.

The job commits itself: the forked child writes run.json with its own identity and then becomes
launch.sh. So whatever instant the submitting process is killed at, either no job runs and none is
listed, or one runs and is listed.

What run.json says of a process is not believed: a process is the job's only if it carries the mark
of the run and its directory (`processes.Mark`), and nothing else is ever signalled.
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

from prl_submit.backends import Backend, ignore_message
from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.inherited_variables import is_inherited
from prl_submit.backends.local import processes
from prl_submit.errors import BackendRefusedError, RefusedError
from prl_submit.planning.plan import Plan
from prl_submit.runs.cancellation import CancelNote, cancel_reason
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import CANCEL, EXIT, LATEST, LAUNCH, RECORD
from prl_submit.runs.limits import limits_of
from prl_submit.runs.record import LocalProcess, Record, write_record
from prl_submit.runs.states import CANCELLED, LOST, RUNNING, State, finished_state
from prl_submit.system.files import remove_inside, write_inside
from prl_submit.system.owners import owner_of, user_name
from prl_submit.system.reading import read_record

_POLL_S = 0.05
#: launch.sh's own name in the list of processes.
_ARGV0 = "bash"
#: Seconds in which the forked child becomes launch.sh.
_BECOMES_S = 5.0
#: How long a killed process may take to be gone.
_KILL_S = 10.0


class LocalBackend(Backend):
    """This machine."""

    def ask(self, plan: Plan, artefact: str) -> str:
        """This machine itself is asked. Raises RefusedError where it has not what the job needs."""
        from prl_submit.backends.local.this_machine import lacking
        from prl_submit.system.shell import run

        if found := list(lacking(plan, os.environ, run)):
            raise RefusedError(found)
        return "this machine starts it at once"

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
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

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """RUNNING while the very process lives; what ended without exit.json was killed."""
        return [BackendAnswer(state=finished_state(run) or _state(run)) for run in runs]

    def forward_signal(self, run: Run, number: signal.Signals) -> bool:
        """Signal launch.sh, which ends the job as `cancel` would."""
        process = _process_of(run)
        if process is None:
            return False
        signal_job(run, process, number)
        return True

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """SIGTERM to launch.sh, which stops its ranks; SIGKILL to whatever outlives the grace.

        Always waits: a local job holds this machine's GPUs until it is gone.
        """
        process = _process_of(run)
        if process is None:
            return False
        if _is_elsewhere(process):
            raise BackendRefusedError(
                f"{run.name} runs on {process.host}, whose processes cannot be reached from here",
                f"cancel it there: prl-submit cancel {run.path}",
            )
        is_ours = processes.is_alive(process) and is_job(run, process)
        if is_ours is None:
            raise BackendRefusedError(
                f"{run.name} is {user_name(owner_of(run.path))}'s: its processes cannot be ended by you"
            )
        if not is_ours and not _left(run):
            return True  # lost before anybody cancelled it
        cancel_note = CancelNote(run.path)
        deadline = time.monotonic() + limits_of(run.path, run.require_record()).grace + 10
        try:
            _end(run, process, deadline)
        except PermissionError:
            raise BackendRefusedError(
                f"{run.name} is somebody else's: it cannot be ended"
            ) from None
        cancel_note.close()
        return True


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
        remove_inside(run, RECORD)
    else:
        write_inside(run, RECORD, before)


def _read_or_none(path: Path) -> bytes | None:
    try:
        return read_record(path)
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
        environ = {name: text for name, text in os.environ.items() if is_inherited(name)}
        bash = _find_bash(environ)
        mark = processes.mark_of(record.token, run)
        if mark is not None:
            environ[processes.TOKEN_VARIABLE] = mark.of_launcher
        me = processes.identify(os.getpid())
        write_record(run, msgspec.structs.replace(record, job_id=str(me.pid), place=me))
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


def _state(run: Run) -> State:
    process = _process_of(run)
    if process is None:
        return State(state=LOST, reason="run.json names no process")
    if processes.is_alive(process) and _looks_like_the_job(run, process):
        return State(state=RUNNING, started_at=run.record.ordered_at if run.record else None)
    if _is_elsewhere(process):
        return State(state=RUNNING, reason=f"as last known: it runs on {process.host}, ask there")
    # It may have ended between the caller's look at exit.json and ours at the process.
    return finished_state(run) or _vanished(run, process)


def _process_of(run: Run) -> LocalProcess | None:
    """The process that run.json names; None where it names none."""
    place = run.record.place if run.record else None
    return place if isinstance(place, LocalProcess) else None


def _is_elsewhere(process: LocalProcess) -> bool:
    """On another machine, or in another container of this one, that shares the output folder."""
    return not processes.is_visible(process) and process.host != os.uname().nodename


def _vanished(run: Run, process: LocalProcess) -> State:
    if os.path.exists(run.path / CANCEL) and not _left(run):
        return State(state=CANCELLED, reason=cancel_reason(run.path))
    if process.boot != processes.boot_id():
        return State(state=LOST, reason="the machine was restarted while it ran")
    if not processes.is_visible(process):
        return State(state=LOST, reason="the container it ran in is gone")
    if os.path.exists(run.path / EXIT) and run.record and not run.record.restarts:
        return State(state=LOST, reason="it has ended, but its exit.json is damaged")
    left = _left(run)
    if (by_hand := _started_by_hand(run, left)) is not None:
        return State(state=RUNNING, reason=f"launch.sh was started by hand, as process {by_hand}")
    reason = f"process {process.pid} ended without exit.json: killed (SIGKILL), or the disk is full"
    if processes.is_alive(process):
        reason = f"process {process.pid}, which {RECORD} names, is not of this run"
    if left:
        reason += (
            f"; {len(left)} of its processes still run, `prl-submit cancel {run.name}` ends them"
        )
    return State(state=LOST, reason=reason)


def _left(run: Run) -> list[int]:
    """The processes of the job: they carry its mark, and are of the run's owner or ours."""
    if run.record is None:
        return []
    users = (owner_of(run.path), os.geteuid())
    found = processes.marked(processes.mark_of(run.record.token, run.path))
    return [pid for pid in found if processes.user_of(pid) in users]


def _started_by_hand(run: Run, left: Sequence[int]) -> int | None:
    """The pid of a launch.sh of this run that somebody typed: marked processes are its children."""
    for parent in {processes.parent_of(pid) for pid in left}:
        words = processes.command_line(parent) if parent else []
        script = next((word for word in words[1:] if os.path.basename(word) == LAUNCH), None)
        if parent and script and _is_file_of(run, parent, script):
            return parent
    return None


def _is_file_of(run: Run, pid: int, script: str) -> bool:
    """Whether a process names this run's launch.sh; it may have changed its folder since."""
    users = (owner_of(run.path), os.geteuid())
    named = os.path.basename(os.path.dirname(script)) in (run.path.name, LATEST, "", ".")
    return named and processes.user_of(pid) in users


def is_job(run: Run, process: LocalProcess) -> bool | None:
    """Whether a process is launch.sh of this very run; None where we may not look at it."""
    mark = processes.mark_of(run.record.token, run.path) if run.record else None
    while mark is not None:
        entries = processes.environment(process.pid)
        if entries is None:
            return None
        if mark.is_on(entries):
            return processes.user_of(process.pid) in (owner_of(run.path), os.geteuid())
        # Younger than this it may not have become launch.sh yet.
        if not 0 <= processes.age(process) < _BECOMES_S or not processes.is_alive(process):
            # An older prl-submit started it without the mark, which its children have.
            return processes.leads(process.pid, _left(run))
        time.sleep(_POLL_S)
    return False


def _looks_like_the_job(run: Run, process: LocalProcess) -> bool:
    """As far as can be seen: to look at another user's processes is not allowed."""
    found = is_job(run, process)
    return processes.user_of(process.pid) == owner_of(run.path) if found is None else found


def _end(run: Run, process: LocalProcess, deadline: float) -> None:
    signal_job(run, process, signal.SIGTERM)
    by_hand = _started_by_hand(run, _left(run))
    if by_hand is not None:
        processes.send(by_hand, signal.SIGTERM)
    while time.monotonic() < deadline and (
        (processes.is_alive(process) and is_job(run, process))
        or (by_hand is not None and processes.command_line(by_hand))
    ):
        time.sleep(_POLL_S)
    signal_job(run, process, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_S
    while left := _left(run):
        if time.monotonic() > deadline:
            pids = ", ".join(map(str, left))
            raise BackendRefusedError(
                f"{run.name}: SIGKILL did not end process {pids}",
                "it hangs in the kernel, often in the GPU's driver or on a file server",
            )
        for pid in left:
            processes.send(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def signal_job(run: Run, process: LocalProcess, number: signal.Signals) -> None:
    """Signal launch.sh, which leads its group, and a setup command in its foreground.

    bash hears of the signal only when that command has ended. Nothing is signalled that is not of
    this run, whatever run.json says.
    """
    if not processes.is_alive(process) or not is_job(run, process):
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


BACKEND = LocalBackend()
