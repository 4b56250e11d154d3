"""Starting a local job: a forked child writes run.json and becomes launch.sh.

The job records itself: the child writes run.json with its own identity and then becomes launch.sh. So whatever
instant the submitting process is killed at, either no job runs and none is listed, or one runs and is listed.
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

from prl_submit.backends.inherited_variables import is_inherited
from prl_submit.backends.local import processes
from prl_submit.errors import BackendRefusedError
from prl_submit.runs.directory import read_run
from prl_submit.runs.layout import LAUNCH, RECORD
from prl_submit.runs.record import Record, write_record
from prl_submit.system.files import remove_inside, write_inside
from prl_submit.system.reading import read_record

#: The name of launch.sh in the list of processes.
_ARGV0 = "bash"


def start_job(run: Path, record: Record, gpus: Sequence[str] | None = None) -> Record:
    """Start launch.sh detached from this process; the record that the child wrote.

    `gpus`: the GPUs that the job sees; None: those that this process sees.

    Raises BackendRefusedError where the job could not be started, and KeyboardInterrupt where Ctrl-C came
    first; run.json is then as it was before.
    """
    before = _read_or_none(run / RECORD)  # the record of the attempt that is resumed
    # Ctrl-C waits for these milliseconds: during them nobody could say whether a job exists.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        fault, killed_by = fork_into(
            lambda: _become_job(run, record, gpus), lambda words: words[:1] == [_ARGV0]
        )
        if fault or killed_by is not None:
            _put_back(run, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
    if killed_by == signal.SIGINT:
        raise KeyboardInterrupt  # without a run, because nothing was started
    if killed_by is not None:
        fault = f"signal {killed_by} ended its process before launch.sh began"
    if fault:
        raise BackendRefusedError(f"the job could not be started: {fault}")
    written = read_run(run)
    return written.record if written and written.record else record


def fork_into(
    become: Callable[[], object], is_it: Callable[[list[str]], bool]
) -> tuple[str, int | None]:
    """Let a child become another program. Why it did not: its own words, or the signal that ended it.

    `become` calls exec at its end. `is_it`: true for the command line of the program.
    """
    reader, writer = os.pipe()
    _flush_output()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _try_to(become, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        # This reading ends when the child has become the program, or has died.
        fault = answers.read().decode("utf-8", "replace")
    if fault:
        os.waitpid(pid, 0)
        return fault, None
    return "", _killed_before_it_began(pid, is_it)


def _try_to(become: Callable[[], object], writer: int) -> None:
    """In the child: become the program, or send the reason why not to the parent and exit."""
    try:
        become()
    except BaseException as error:
        os.write(writer, (str(error) or type(error).__name__).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def _flush_output() -> None:
    """Empty our buffers, or the child would write them once more. A closed or full stream is left alone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()


def _killed_before_it_began(pid: int, is_it: Callable[[list[str]], bool]) -> int | None:
    """The signal that ended the child before it became the program; None where it did become that.

    The pipe closes in both cases. Only where the child became the program does its command line change.
    """
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        if is_it(processes.command_line(pid)):
            return None
        time.sleep(0.001)


def _put_back(run: Path, before: bytes | None) -> None:
    """Make run.json what it was before the child, which may have been killed while it wrote."""
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


def _become_job(run: Path, record: Record, gpus: Sequence[str] | None) -> None:
    """In the child: write run.json and become launch.sh. Raises what goes wrong.

    SIGINT and SIGTERM stay blocked until the record is written, so they can hit only the exec itself.
    """
    before = _read_or_none(run / RECORD)
    try:
        detach()
        environ = {name: text for name, text in os.environ.items() if is_inherited(name)}
        if gpus is not None:
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
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
    except BaseException:
        with contextlib.suppress(OSError):
            _put_back(run, before)  # the parent does the same, but may have been killed
        raise


def detach() -> None:
    """Leave the terminal: a session of its own, and nothing to read from or write to."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def _find_bash(environ: dict[str, str]) -> str:
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, "bash")
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError("bash is not on PATH")
