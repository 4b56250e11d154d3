"""A platform: prl-submit prepares the run, and the platform starts launch.sh on each node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.base import Backend, ignore_message
from prl_submit.errors import BackendRefusedError
from prl_submit.launch.quote import bash
from prl_submit.planning.plan import Plan
from prl_submit.runs.cancellation import cancel_reason, write_cancel
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import CANCEL, LAUNCH
from prl_submit.runs.record import PlatformJob, Record, write_record
from prl_submit.runs.states import CANCELLED, QUEUED, State, finished_state


class PlatformBackend(Backend):
    """A platform that runs one pasted command on each node."""

    def ask(self, plan: Plan, artefact: str) -> str:
        """Nobody can be asked: the platform's queue is seen on its web page only."""
        return "the platform starts it when the command of the prepared run is pasted there"

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Write the record: the run is prepared, and begins when the platform starts launch.sh."""
        record = msgspec.structs.replace(record, place=PlatformJob(silence=plan.platform.silence))
        write_record(run, record)
        return record

    def how_to_start(self, run: Run) -> list[str]:
        """The command that the user has to paste."""
        return ["paste this as the command of every node:", f"bash {bash(str(run.path / LAUNCH))}"]

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """By the files of the run directory alone."""
        return [BackendAnswer(state=finished_state(run) or _state(run)) for run in runs]

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """Write cancel.json, which launch.sh looks for."""
        try:
            write_cancel(run.path)
        except OSError as error:
            raise BackendRefusedError(
                f"{run.name} was not cancelled: {CANCEL} cannot be written: {error.strerror}",
                "end it on the platform's page",
            ) from None
        return True


def _state(run: Run) -> State:
    reason = cancel_reason(run.path)
    if reason is not None:
        return State(state=CANCELLED, reason=reason)
    return State(state=QUEUED, reason="waiting for the platform to start it")


BACKEND = PlatformBackend()
