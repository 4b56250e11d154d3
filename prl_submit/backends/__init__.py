"""Where jobs run. One module per backend, imported only when it is asked for.

A backend is a module of this package that has the functions of `Backend`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from prl_submit.spec.traits import find_traits, traits_of

if TYPE_CHECKING:  # `check` needs names only; these would be a tenth of its time
    from pathlib import Path

    from prl_submit.errors import Problem
    from prl_submit.planning.plan import Plan, Planned
    from prl_submit.rules.job import Job
    from prl_submit.runs.directory import Run
    from prl_submit.runs.record import Record
    from prl_submit.runs.states import State


def ignore_message(words: str) -> None:
    """Hears what a backend says, and keeps it to itself."""


class LogCopier(Protocol):
    """Brings a job's log into `logs/`, where the job does not write it there itself."""

    def start(self) -> None:
        """Keep on bringing lines in the background."""

    def finish(self) -> None:
        """Bring all that was written until now, and no more. Raises PrlSubmitError."""


class NoLogCopier:
    """For jobs that write their log where everybody reads it."""

    def start(self) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class Backend(Protocol):
    """What a backend can do."""

    def ask_online(self, plan: Plan, artefact: str) -> str:
        """What the backend would do with the job, in words. Raises as `submit` does."""

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Start the job of a prepared run directory and write its record, at most once.

        `tell` hears what the backend had to say of a job that it took.
        A crash at any instant leaves either no job and no record, or a job with its record.
        """

    def states(self, runs: Sequence[Run]) -> list[State]:
        """The state of each run. Raises nothing for a backend that does not answer: as last known."""

    def node_name(self, node: int) -> str:
        """What users of the backend call a node of a job."""

    def log_copier(self, run: Run, tell: Callable[[str], None] = ignore_message) -> LogCopier:
        """Brings the job's log here; `tell` hears why it cannot. Raises PrlSubmitError."""

    def is_left(self, run: Run) -> bool:
        """Whether something of a job that has ended still runs. Raises PrlSubmitError."""

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """End the job and free what it holds. `wait`: return when nothing of it is left.

        False where the backend knows of no job of this run.
        """


class Options(Protocol):
    """options.py of a backend: what `check` and `render` need of it, quick to import and pure."""

    def check_section(self, job: Job, plan: Plan) -> Iterator[Problem]:
        """What is wrong with the backend's section of the spec, and with what the backend cannot do."""

    def artefact(self, plan: Plan, launch: str, token: str, site: Path | None) -> str:
        """The text of `Traits.artefact`. `launch`: the text of launch.sh. Needed only with that trait."""


def load_options(name: str) -> Options:
    """Import the options.py of a backend, and nothing else of it. Raises PrlSubmitError for an unknown one."""
    return cast(Options, import_module(f"{_package(name)}.options"))


def check_section(planned: Planned) -> list[Problem]:
    """The problems that the backend's own rules find in a plan."""
    from prl_submit.rules import run_rules

    options = load_options(planned.plan.backend)
    return run_rules(planned.job, [lambda job: options.check_section(job, planned.plan)])


def pause(name: str) -> float:
    """Seconds between two questions to a backend; 0 for one that this version does not know."""
    traits = find_traits(name)
    return 0.0 if traits is None else traits.poll_s


def load(name: str) -> Backend:
    """Import a backend. Raises PrlSubmitError for an unknown one."""
    return cast(Backend, import_module(f"{_package(name)}.backend"))


def _package(name: str) -> str:
    traits = traits_of(name)
    return traits.package or f"{__name__}.{traits.name}"
