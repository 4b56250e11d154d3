"""What every backend does, and what a backend answers with."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from signal import Signals
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from prl_submit.errors import PrlSubmitError
from prl_submit.runs.layout import CANCEL

if TYPE_CHECKING:
    from pathlib import Path

    from prl_submit.backends.answers import BackendAnswer
    from prl_submit.errors import Problem
    from prl_submit.planning.plan import Plan, Planned
    from prl_submit.rules.job import Job
    from prl_submit.runs.directory import Run
    from prl_submit.runs.record import Place, Record
    from prl_submit.runs.states import State
    from prl_submit.spec.sections import JobSpec, Platform


def ignore_message(words: str) -> None:
    """Drop a backend's message: nobody is there to read it."""


class LogCopier(Protocol):
    """Copies a job's log into `logs/` of the run directory, for jobs that do not write it there themselves."""

    def start(self) -> None:
        """Begin to copy lines in the background."""

    def finish(self) -> None:
        """Copy all lines that were written until now, and stop. Raises PrlSubmitError."""


class NoLogCopier:
    """For jobs that write their log into the run directory themselves."""

    def start(self) -> None:
        """There is nothing to copy."""

    def finish(self) -> None:
        """There is nothing to copy."""


class Finding(Struct, frozen=True):
    """One thing that `doctor` looked at. `ok` None: good to know, not needed."""

    name: str
    ok: bool | None
    detail: str
    hint: str | None = None


class NothingToStart(Struct, frozen=True):
    """Why a node of a job starts nothing, in words, and its exit code. 0: there is nothing left to do."""

    code: int
    words: str
    hint: str | None = None


class NodeOfJob(Protocol):
    """This process, where a platform runs `prl-submit SPEC` itself on every node of a job."""

    def start(
        self, make: Callable[[Place], Run], *, new_run: bool, tell: Callable[[str], None]
    ) -> NothingToStart:
        """Find the job's run, or make it, and become its launch.sh.

        Returns only if there is nothing to start. Raises PrlSubmitError. `make`: makes the run, with this
        place in its record. `new_run`: an earlier run of the same command is not gone on in.
        """


class StartCommand(Struct, frozen=True):
    """A command that the user has to start, as a backend that only prepares a run cannot.

    `where`: where to start it, in words. `also`: what else the user has to do; None if nothing.
    """

    where: str
    command: str
    also: str | None = None


class SweepItem(Struct, frozen=True):
    """One run of a sweep: its prepared directory, its plan, and the record that the order is to write.

    run.json is there already, with `is_waiting` true. `record` has it false.
    """

    run: Path
    plan: Plan
    record: Record


class SweepOrder(Struct, frozen=True):
    """Runs of one sweep that are to be submitted together: all of them, or those that a resume starts.

    `folder`: the sweep's folder; `name`, `id`: the sweep's. `max_parallel`: how many of its runs may run at
    a time; None: as many as there is room for.
    """

    folder: Path
    name: str
    id: str
    max_parallel: int | None
    items: list[SweepItem]


class Backend(ABC):
    """What a backend does. The defaults are those of a scheduler whose jobs write into the run directory."""

    @abstractmethod
    def ask(self, plan: Plan, artefact: str) -> str:
        """What the backend would do with the job, in words (`check --online`). Raises as `submit` does."""

    @abstractmethod
    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Start the job of a prepared run directory and write its record, at most once.

        `tell` gets the messages of a backend that took the job. A crash at any instant leaves either no
        job and no record, or a job with its record. Raises RefusedError, BackendRefusedError,
        BackendUnreachableError, or OutcomeUnknownError where nobody can say whether the job was taken.
        """

    def submit_many(
        self, sweep: SweepOrder, tell: Callable[[str], None] = ignore_message
    ) -> list[Record]:
        """Start the jobs of a sweep's prepared runs, or let them wait for their turn; the records in run.json.

        Raises as `submit` does, or KeyboardInterrupt: then some runs may have been submitted. Those that were
        not still have the record with `is_waiting` true, so a resume of the sweep submits them. Default: each
        is submitted after the other, and `max_parallel` is not kept. A run that somebody has cancelled
        meanwhile is left out.
        """
        return [
            msgspec.structs.replace(item.record, is_waiting=True)
            if (item.run / CANCEL).exists()
            else self.submit(item.run, item.plan, item.record, tell)
            for item in sweep.items
        ]

    def start_on(
        self,
        gpus: Sequence[str] | None,
        run: Path,
        plan: Plan,
        record: Record,
        tell: Callable[[str], None] = ignore_message,
    ) -> Record:
        """`submit`, on these GPUs of this machine; None: the job finds its own. Default: `submit`."""
        return self.submit(run, plan, record, tell)

    def job_to_wait_for(self, run: Run, state: State) -> str | None:
        """The id of a run's job, if the backend itself can start a job after that one has succeeded.

        `state`: of the run. Default: None, so the waiting queue waits.
        """
        return None

    def refusal_to_wait(self, plan: Plan) -> PrlSubmitError | None:
        """Why the job cannot wait for other runs; None if it can. Default: None."""
        return None

    def shared_gpus(self, plan: Plan) -> Sequence[str] | None:
        """The GPUs of this machine of which the waiting queue gives the job some. Raises PrlSubmitError.

        Default: None, because the job finds its own. Empty: the job trains on the CPU.
        """
        return None

    def gpus_in_use(self) -> AbstractContextManager[set[str]]:
        """The GPUs of this machine that jobs use; while this lasts, no other queue gives out GPUs.

        Default: none.
        """
        return contextlib.nullcontext(set())

    @abstractmethod
    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """What each run is doing, in one question for all. This only answers; who asks keeps what matters.

        Raises nothing if the backend does not answer: the states are then those last known.
        """

    @abstractmethod
    def cancel(self, run: Run, *, wait: bool) -> bool:
        """End the job and free what it holds. `wait`: return when nothing of it is left.

        False where the backend knows of no job of this run.
        """

    def cancel_many(self, runs: Sequence[Run], *, wait: bool) -> list[bool | PrlSubmitError]:
        """End the jobs of several runs; for each what `cancel` returns, or the error that it raises.

        Default: one after the other.
        """
        return [self._cancel_or_error(run, wait) for run in runs]

    def _cancel_or_error(self, run: Run, wait: bool) -> bool | PrlSubmitError:
        try:
            return self.cancel(run, wait=wait)
        except PrlSubmitError as error:
            return error

    def how_to_start(self, run: Run) -> StartCommand | None:
        """What the user has to start so that a prepared run begins.

        Default: None, because `submit` itself starts the job.
        """
        return None

    def refusal_here(self, environ: Mapping[str, str], names: Platform) -> PrlSubmitError | None:
        """Why no job must be started from where this command was typed; None if nothing speaks against it.

        This is asked before anything is made. `names`: the section `platform:` of the spec. Default: None.
        """
        return None

    def node_here(self, planned: Planned, environ: Mapping[str, str]) -> NodeOfJob | None:
        """This process as a node of the job, where the backend's nodes run `prl-submit SPEC` themselves.

        Raises PrlSubmitError if this is a node, but cannot be one of this job. Default: None, because the
        backend starts launch.sh on the nodes.
        """
        return None

    def node_name(self, node: int) -> str:
        """What users of the backend call a node of a job. Default: as its log file is called."""
        return f"node{node}"

    def log_copier(self, run: Run, tell: Callable[[str], None] = ignore_message) -> LogCopier:
        """Brings the job's log here; `tell` gets the reason why it cannot. Raises PrlSubmitError.

        Default: the job writes its log here itself.
        """
        return NoLogCopier()

    def is_left(self, run: Run) -> bool:
        """True if something of a job that has ended still runs. Raises PrlSubmitError.

        Default: the end of a job is the end of everything it started.
        """
        return False

    def may_start_again(self, run: Run) -> bool:
        """True if somebody else may start a job again that has failed, unless cancel.json is there.

        Default: a job that has ended does not start again.
        """
        return False

    def where_files_are(self, run: Run) -> str | None:
        """Where the job's files are if they are not all in the run directory, in words.

        Default: None, because the job writes all of them here.
        """
        return None

    def collect(self, run: Run, only: Sequence[str], tell: Callable[[str], None]) -> FilesBrought:
        """Bring what the job wrote elsewhere into the run directory. Raises PrlSubmitError.

        `only`: patterns of names in the run directory; none: all of it. Default: there is nothing to bring.
        """
        return FilesBrought(0, 0)

    def forward_signal(self, run: Run, number: Signals) -> bool:
        """Hand a signal to the job, for backends with the trait `foreground`; True if the job got it.

        Default: nothing is handed on, because the job does not depend on this process.
        """
        return False

    def doctor(self) -> Finding | None:
        """Whether this machine can submit to the backend. Default: nothing is needed."""
        return None


class FilesBrought(NamedTuple):
    """How many files `collect` brought, and how many bytes."""

    files: int
    size: int


class Options(Protocol):
    """options.py of a backend: what `check` and `render` need of it, quick to import and pure."""

    def check_section(self, job: Job, plan: Plan) -> Iterator[Problem]:
        """What is wrong with the backend's section of the spec, and with what the backend cannot do."""

    def artefact(
        self, plan: Plan, scripts: Mapping[str, str], token: str, site: Path | None
    ) -> str:
        """The text of `Traits.artefact`. Needed only with that trait.

        `scripts`: the texts of launch.sh and launch.lib.sh, by name.
        """

    def size_of_nodes(
        self, spec: JobSpec, environ: Mapping[str, str]
    ) -> Mapping[str, tuple[int, str]]:
        """The keys of the job's size that this machine, as a node of the job, tells: the number, and who says it.

        Needed only with the trait `nodes_tell_size`.
        """

    def is_node(self, plan: Plan, environ: Mapping[str, str]) -> bool:
        """True if this machine is a node of such a job, as far as its variables tell.

        Needed only with the trait `nodes_tell_size`.
        """
