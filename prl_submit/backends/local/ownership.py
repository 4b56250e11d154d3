"""Which processes of this machine belong to a run.

run.json is not believed: anybody may have written it, and pids are given out again. A process belongs to a run only
if it carries the mark of the run and its directory (`processes.Mark`), and nothing else is ever signalled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from prl_submit.backends.local import processes
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import LATEST, LAUNCH
from prl_submit.runs.record import LocalProcess
from prl_submit.system.owners import owner_of

_POLL_S = 0.05
#: Seconds in which the forked child becomes launch.sh.
_BECOMES_S = 5.0


def process_of(run: Run) -> LocalProcess | None:
    """The process that run.json names; None where it names none."""
    place = run.record.place if run.record else None
    return place if isinstance(place, LocalProcess) else None


def is_elsewhere(process: LocalProcess) -> bool:
    """True if it runs on another machine, or in another container of this one, that shares the output folder."""
    return not processes.is_visible(process) and process.host != os.uname().nodename


def is_job(run: Run, process: LocalProcess) -> bool | None:
    """True if a process is launch.sh of this very run; None if we may not look at the process."""
    mark = processes.mark_of(run.record.token, run.path) if run.record else None
    while mark is not None:
        entries = processes.environment(process.pid)
        if entries is None:
            return None
        if mark.is_on(entries):
            return processes.user_of(process.pid) in _users(run)
        # A process that is younger than this may not have become launch.sh yet.
        if not 0 <= processes.age(process) < _BECOMES_S or not processes.is_alive(process):
            # An older prl-submit started launch.sh without the mark, which its children have.
            return processes.leads(process.pid, remaining(run))
        time.sleep(_POLL_S)
    return False


def may_be_job(run: Run, process: LocalProcess) -> bool:
    """`is_job`; of a process of another user, at which we may not look, whether its user is the run's owner."""
    found = is_job(run, process)
    return processes.user_of(process.pid) == owner_of(run.path) if found is None else found


def remaining(run: Run) -> list[int]:
    """The pids of the job: they carry its mark, and their user is the run's owner or this process's user."""
    if run.record is None:
        return []
    found = processes.marked(processes.mark_of(run.record.token, run.path))
    return [pid for pid in found if processes.user_of(pid) in _users(run)]


def _users(run: Run) -> tuple[int | None, int]:
    return owner_of(run.path), os.geteuid()


def started_by_hand(run: Run, pids: Sequence[int]) -> int | None:
    """The pid of a launch.sh of this run that somebody typed: it is the parent of processes with the mark."""
    for parent in {processes.parent_of(pid) for pid in pids}:
        words = processes.command_line(parent) if parent else []
        script = next((word for word in words[1:] if os.path.basename(word) == LAUNCH), None)
        if parent and script and _is_script_of(run, parent, script):
            return parent
    return None


def _is_script_of(run: Run, pid: int, script: str) -> bool:
    """True if a process was started with this run's launch.sh. The user may have changed the folder since."""
    is_named = os.path.basename(os.path.dirname(script)) in (run.path.name, LATEST, "", ".")
    return is_named and processes.user_of(pid) in _users(run)


def signal_job(run: Run, process: LocalProcess, number: signal.Signals) -> None:
    """Signal launch.sh and the other processes of its group: a setup command in its foreground.

    bash acts on the signal only when that command has ended, so the command needs the signal too.
    """
    if not processes.is_alive(process) or not is_job(run, process):
        return
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass
