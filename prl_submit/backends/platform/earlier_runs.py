"""The run that a command goes on in, if a platform starts the command again."""

from __future__ import annotations

from pathlib import Path

from prl_submit.backends.base import NothingToStart
from prl_submit.backends.platform.begun_trainings import begun_trainings, may_train_again
from prl_submit.backends.platform.handshake import digest
from prl_submit.errors import EXIT_JOB_FAILED
from prl_submit.runs.belonging import belonging, stranger
from prl_submit.runs.cancellation import cancel_reason
from prl_submit.runs.directory import Run, list_runs
from prl_submit.runs.exits import read_exit
from prl_submit.runs.layout import alive_file
from prl_submit.runs.limits import limits_of
from prl_submit.runs.record import PlatformJob
from prl_submit.runs.signs_of_life import read_sign
from prl_submit.runs.states import CANCELLED, SUCCEEDED, State, finished_state
from prl_submit.system.owners import owner_of_new_files

#: The exit code of a job that SIGTERM ended, which launch.sh has for a cancelled run too.
_EXIT_CANCELLED = 143
AGAIN = "--new-run (or PRL_NEW_RUN=1) makes a new run"


def run_key(place: str, spec: str, job: str | None, host: str) -> str:
    """The key of a run in its record: the same if the platform starts the same job again.

    Without an id of the platform's job the host name of node 0 is part of it: a later job with the same
    variables, which are often the same for all jobs, must not go on in this run.
    """
    return digest([place, spec, job if job is not None else f"on {host}"])


def find_earlier_run(root: Path, key: str) -> Run | None:
    """The newest run with this key; None if there is none. Copies and other users' runs are left out."""
    for run in reversed(list_runs(root)):
        place = run.record.place if run.record else None
        if isinstance(place, PlatformJob) and place.key == key and _is_ours(root, run):
            return run
    return None


def _is_ours(root: Path, run: Run) -> bool:
    """True if the run's job belongs to this directory, and the directory to this user."""
    return belonging(run).has_job and stranger(run.path, owner_of_new_files(root)) is None


def find_run_of_node(root: Path, place: str, spec: str, rank: int, host: str) -> Run | None:
    """The newest run with this place and spec, if this host was the node `rank` in it; else None.

    For a node that does not know the host name of node 0, which is part of the key: exit.json tells it.
    """
    for run in reversed(list_runs(root)):
        known = run.record.place if run.record else None
        ended = read_exit(run.path, 0)
        if not isinstance(known, PlatformJob) or ended is None or ended.node is None:
            continue
        if known.key == run_key(place, spec, None, ended.node) and _is_ours(root, run):
            sign = read_sign(alive_file(run.path, rank), rank)
            return run if sign is not None and sign.host == host else None
    return None


def why_not_again(run: Run) -> NothingToStart | None:
    """Why the run must not be started again; None if a node can go on in it."""
    state = finished_state(run)
    if state is not None and state.state == SUCCEEDED:
        words = f"{run.name} SUCCEEDED; it is not trained again"
        return NothingToStart(0, words, AGAIN)
    reason = cancel_reason(run.path)
    if reason is not None or (state is not None and state.state == CANCELLED):
        words = f"{run.name} is CANCELLED ({reason or 'cancelled'}); it is not started again"
        return NothingToStart(_EXIT_CANCELLED, words, AGAIN)
    return _used_up(run, state)


def _used_up(run: Run, state: State | None) -> NothingToStart | None:
    """Why a run that has failed must not be started again: it was trained as often as the spec allows."""
    if state is None or may_train_again(run):
        return None  # where no attempt has ended, or the last one was killed, launch.sh refuses
    allowed = limits_of(run.path, run.require_record()).max_restarts
    words = (
        f"{run.name} {state.state}{f': {state.reason}' if state.reason else ''}; its training has begun "
        f"{_times(begun_trainings(run))} and restarts.max is {allowed}, so it is not started again"
    )
    hint = f"`prl-submit resume {run.name}` continues from its last checkpoint; {AGAIN}"
    return NothingToStart(EXIT_JOB_FAILED, words, hint)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
