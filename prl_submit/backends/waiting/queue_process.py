"""The process of the waiting queue: it starts runs in their order when there is room, and then ends.

It can be killed at any instant. Nothing that matters is in its memory alone: run.json of each run says whether
the run still waits, and processes say which GPUs are in use. A run is started under the run's lock, and only if
run.json then says that it waits; so no run starts twice, and none starts that was cancelled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from prl_submit import backends
from prl_submit.backends.asking import states_of
from prl_submit.backends.waiting.next_runs import WaitingRun, choose
from prl_submit.backends.waiting.predecessors import Predecessors
from prl_submit.backends.waiting.queue_file import (
    QueueFile,
    output_root_of_queue,
    read_queue,
    write_queue,
)
from prl_submit.backends.waiting.release import end_waiting, release, waits
from prl_submit.errors import BackendRefusedError, BackendUnreachableError, PrlSubmitError
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.exclusive import BusyError
from prl_submit.runs.layout import CANCEL
from prl_submit.runs.plan_file import read_plan
from prl_submit.runs.states import CANCELLED, FAILED, FINISHED, State
from prl_submit.runs.times import local_now

#: Seconds between two looks. A backend may ask for more.
_PAUSE_S = 1.0
#: Seconds until a run that could not be started is tried again.
_AGAIN_S = 30.0


class WaitingQueue:
    """The runs of one queue.json."""

    def __init__(self, folder: Path, queue: QueueFile) -> None:
        self._folder = folder
        self._queue = queue
        self._predecessors = Predecessors()
        self._needs: dict[str, WaitingRun] = {}
        self._waiting: dict[str, Run] = {}
        self._running: dict[str, Run] = {}
        #: Until when no run is started, and why, after a backend has not taken one.
        self._hold: tuple[float, str] = (0.0, "")
        self._told = ""

    def run(self) -> None:
        """Start runs until none waits, or until SIGTERM."""
        for name in self._queue.runs:
            self._read(name)
        self._say(f"the queue of {self._queue.name} begins: {len(self._waiting)} wait")
        while self._waiting:
            try:
                self._step()
            except OSError as error:  # the disk is full, or a file server is gone: both may pass
                self._say(f"tried again: {error}")
            if self._waiting and signal.sigtimedwait([signal.SIGTERM], self._pause()):
                self._say("the queue was ended by SIGTERM")
                return
        self._say("the queue ends: no run waits any more")

    def _read(self, name: str) -> None:
        """Read a run and what it needs."""
        run = read_run(output_root_of_queue(self._folder) / name)
        if run is None or run.record is None:
            self._say(f"{name} is left out: {run.fault if run else 'it is gone'}")
            return
        if not waits(run):
            self._running[name] = run
        try:
            plan = read_plan(run.path).plan
            pool = backends.load(plan.backend).shared_gpus(plan)
        except PrlSubmitError as error:
            self._say(f"{name} is left out: {error.message}")
            if waits(run):
                end_waiting(run, State(state=FAILED, reason=f"it never started: {error.message}"))
            return
        on_gpus = plan.resources.nproc_per_node if pool else 0
        count = None if pool is None else on_gpus
        self._needs[name] = WaitingRun(name=name, gpus=count, pool=pool or ())
        if waits(run):
            self._waiting[name] = run

    def _pause(self) -> float:
        """Seconds until the next look: the longest pause that a backend asks for."""
        runs = [*self._waiting.values(), *self._running.values()]
        names = {run.record.backend for run in runs if run.record is not None}
        return max([_PAUSE_S, *map(backends.pause, names)])

    def _step(self) -> None:
        """Look once, start what can start, and write why the others wait."""
        _reap_children()
        self._forget_ended()
        reasons = self._start_some()
        queue = msgspec.structs.replace(self._queue, running=len(self._running), reasons=reasons)
        if queue != self._queue:
            write_queue(self._folder, queue)
            self._queue = queue

    def _forget_ended(self) -> None:
        """Forget the runs that have ended or were cancelled, and end those that can never start."""
        for name, run in list(self._waiting.items()):
            is_cancelled = os.path.lexists(run.path / CANCEL)
            if is_cancelled or not os.path.isdir(run.path):
                self._say(f"{name} is {'cancelled' if is_cancelled else 'gone'}")
                del self._waiting[name]
        running = list(self._running)
        states = states_of([self._running[name] for name in running])
        for name, state in zip(running, states, strict=True):
            if state.state in FINISHED:
                del self._running[name]
                self._hold = (0.0, "")  # there may be room now
        self._predecessors.ask(self._waiting.values())
        for name, run in list(self._waiting.items()):
            why = self._predecessors.why_never(run)
            if why is not None:
                self._end(name, State(state=CANCELLED, reason=f"{why}, so it never started"))

    def _start_some(self) -> dict[str, str]:
        """Start the runs whose turn has come; why each other run waits."""
        until, why = self._hold
        if time.monotonic() < until:
            return dict.fromkeys(self._waiting, why)
        wanted = [
            msgspec.structs.replace(self._needs[name], waits_for=self._predecessors.open_ones(run))
            for name, run in self._waiting.items()
        ]
        running = [need.gpus for name in self._running if (need := self._needs.get(name))]
        with self._gpus_in_use(wanted) as busy:
            choice = choose(wanted, running, busy, self._queue.max_parallel)
            reasons = dict(choice.reasons)
            for name, gpus in choice.starts.items():
                fault = self._start(name, gpus)
                if fault is not None:
                    return dict.fromkeys(self._waiting, fault)
        return {name: reason for name, reason in reasons.items() if name in self._waiting}

    def _gpus_in_use(
        self, wanted: Sequence[WaitingRun]
    ) -> contextlib.AbstractContextManager[set[str]]:
        """The GPUs in use; while this lasts, no other queue gives out GPUs."""
        for need in wanted:
            if need.gpus and not need.waits_for:
                record = self._waiting[need.name].require_record()
                return backends.load(record.backend).gpus_in_use()
        return contextlib.nullcontext(set())

    def _start(self, name: str, gpus: Sequence[str]) -> str | None:
        """Start a run; why no run can start now, in words, or None."""
        run = self._waiting[name]
        try:
            found = release(run, None if self._needs[name].gpus is None else gpus, self._say)
        except BusyError:
            return None  # somebody cancels the run at this moment: look again
        except (BackendUnreachableError, OSError) as error:  # a full disk: nothing was started
            return self._hold_back(f"tried again: {error}")
        except BackendRefusedError as error:
            if self._running:
                return self._hold_back(f"tried again when another run has ended: {error.message}")
            self._end(name, State(state=FAILED, reason=f"it never started: {error.message}"))
            return None
        except PrlSubmitError as error:  # whether there is a job the run's state will tell
            self._say(f"{name}: {error.message}")
            found = read_run(run.path)
        del self._waiting[name]
        if found is not None and found.record is not None and not found.record.is_waiting:
            self._running[name] = found
            on = f" on GPU {','.join(gpus)}" if gpus else ""
            self._say(f"{name} was started{on}: job {found.record.job_id}")
        return None

    def _hold_back(self, why: str) -> str:
        """Start no run for a while."""
        self._hold = (time.monotonic() + _AGAIN_S, why)
        if self._told != why:
            self._told = why
            self._say(why)
        return why

    def _end(self, name: str, state: State) -> None:
        """End a run that will never start."""
        try:
            end_waiting(self._waiting[name], state)
        except BusyError:
            return
        del self._waiting[name]
        self._say(f"{name} is {state.state}: {state.reason}")

    @staticmethod
    def _say(words: str) -> None:
        """A line in queue.log. The queue goes on without the line if the disk is full."""
        with contextlib.suppress(OSError):
            os.write(1, f"{local_now()} {words}\n".encode("utf-8", "replace"))


def _reap_children() -> None:
    """Let the jobs that have ended leave the list of processes: they are this process's children."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(folder: str, lock: int) -> None:
    """Be the queue of a folder. `lock`: the descriptor of the folder's lock, which no job must inherit."""
    os.set_inheritable(lock, False)
    place = Path(folder)
    queue = read_queue(place)
    if queue is None:
        sys.exit(f"{folder}: queue.json cannot be read")
    WaitingQueue(place, queue).run()
