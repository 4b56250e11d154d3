"""A platform: prl-submit prepares the run, and the platform starts launch.sh on each node."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from prl_submit.backends.answers import BackendAnswer
from prl_submit.backends.base import Backend, Finding, NodeOfJob, StartCommand, ignore_message
from prl_submit.backends.platform.begun_trainings import may_train_again
from prl_submit.backends.platform.pulse import Pulse
from prl_submit.backends.platform.state_from_files import (
    Look,
    is_for_good,
    look,
    silence_of,
    state_of,
)
from prl_submit.errors import BackendRefusedError, PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.planning.plan import Plan, Planned
from prl_submit.runs.cancellation import cancel_reason, write_cancel
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.last_known import as_last_known
from prl_submit.runs.layout import CANCEL, LAUNCH, alive_file
from prl_submit.runs.limits import limits_of
from prl_submit.runs.plan_file import find_plan
from prl_submit.runs.record import PlatformJob, Record, write_record
from prl_submit.runs.signs_of_life import SignOfLife, footprint, read_sign, second_look_s
from prl_submit.runs.states import LOST, State, finished_state

#: Seconds between two looks at a job that was told to end.
_POLL_S = 0.5
#: Seconds beyond its grace that a job has to end.
_BEYOND_GRACE_S = 60


class PlatformBackend(Backend):
    """A platform that runs one pasted command on each node."""

    def __init__(self) -> None:
        self._pulse = Pulse()

    def ask(self, plan: Plan, artefact: str) -> str:
        """Nobody can be asked: the platform's queue is seen on its web page only."""
        return "the platform starts it when the command of the prepared run is pasted there"

    def submit(
        self, run: Path, plan: Plan, record: Record, tell: Callable[[str], None] = ignore_message
    ) -> Record:
        """Write the record: the run is prepared, and begins when the platform starts launch.sh."""
        known = _known_place(run, record)
        place = msgspec.structs.replace(known, silence=plan.platform.silence)
        record = msgspec.structs.replace(record, place=place, job_id=place.job)
        write_record(run, record)
        return record

    def refusal_to_wait(self, plan: Plan) -> PrlSubmitError:
        """The refusal of --after: nobody but the platform starts the job."""
        return PrlSubmitError(
            "--after: a platform starts the job when its command is pasted there, so prl-submit cannot "
            "hold the job back; nothing was created",
            "prepare the run without --after, and paste its command when the other run has succeeded: "
            "`prl-submit wait RUN` ends then",
        )

    def node_here(self, planned: Planned, environ: Mapping[str, str]) -> NodeOfJob | None:
        """This node, as the platform's variables tell it; None on a machine without such variables."""
        from prl_submit.backends.platform.variables import see_platform

        seen = see_platform(environ, planned.plan.platform)
        if seen is None:
            return None
        from prl_submit.backends.platform.pasted_node import node_of

        return node_of(planned, seen)

    def doctor(self) -> Finding:
        """Which platform this machine is a node of, and what its variables say."""
        from prl_submit.backends.platform.doctor_line import doctor_line

        return doctor_line(os.environ)

    def how_to_start(self, run: Run) -> StartCommand:
        """The command to paste, and the secrets that the form must set: no file of the run may hold them."""
        plan = find_plan(run.path)
        secrets = plan.environment.secrets if plan is not None else []
        return StartCommand(
            "paste this as the command of every node:",
            f"bash {bash(str(run.path / LAUNCH))}",
            f"and set there as variables: {', '.join(secrets)}" if secrets else None,
        )

    def states(self, runs: Sequence[Run]) -> list[BackendAnswer]:
        """By the files of the run directories alone, with one pause for all runs that need a second look."""
        found = {index: self._answer(run) for index, run in enumerate(runs)}
        doubtful = [index for index, answer in found.items() if answer is None]
        if doubtful:
            time.sleep(max(_pause(runs[index]) for index in doubtful))
        for index in doubtful:
            found[index] = self._answer(runs[index], is_last=True)
        return [answer for answer in found.values() if answer is not None]

    def _answer(self, run: Run, *, is_last: bool = False) -> BackendAnswer | None:
        """What the files of a run say; None if a second look is needed."""
        ended = finished_state(run)
        if ended is not None and is_for_good(ended):
            job = _job_of(run)
            return BackendAnswer(state=msgspec.structs.replace(ended, job_id=job), job_id=job)
        seen = look(run)
        if seen.fault is not None:
            return BackendAnswer(state=seen.ended or as_last_known(run.path, seen.fault))
        alive = self._alive(run, seen, seen.open_signs)
        state = state_of(seen, alive, clock=time.time(), is_last=is_last)
        return None if state is None else _kept(run, seen, state)

    def _alive(self, run: Run, seen: Look, signs: Sequence[SignOfLife]) -> dict[int, bool | None]:
        """For each node whether it lives; see `Pulse.is_alive`."""
        silence = silence_of(seen.record)
        for sign in signs:
            self._pulse.note(run.path, sign)
        return {
            sign.node: sign.node not in seen.over and self._pulse.is_alive(run.path, sign, silence)
            for sign in signs
        }

    def is_left(self, run: Run) -> bool:
        """True if launch.sh of a node still gives signs of life."""
        for is_last in (False, True):
            seen = look(run)
            alive = self._alive(run, seen, seen.signs)
            if any(alive.values()):
                return True
            if is_last or None not in alive.values():
                break
            time.sleep(_pause(run))
        return False

    def may_start_again(self, run: Run) -> bool:
        """True if restarts.max allows launch.sh one more training."""
        return may_train_again(run)

    def cancel(self, run: Run, *, wait: bool) -> bool:
        """Write cancel.json, which launch.sh of each node looks for. Raises BackendRefusedError.

        `wait`: until no node gives a sign of life any more.
        """
        if cancel_reason(run.path) is None:
            _write_cancel(run)
        record = run.require_record()
        seconds = limits_of(run.path, record).grace + silence_of(record) + _BEYOND_GRACE_S
        deadline = time.monotonic() + seconds
        while wait and self.is_left(run):
            if time.monotonic() > deadline:
                raise BackendRefusedError(
                    f"{run.name} was told to end, and still gives signs of life after {seconds} s",
                    "end the job on the platform's page",
                )
            time.sleep(_POLL_S)
        return True


def _pause(run: Run) -> int:
    """Seconds between the two looks at a run."""
    return second_look_s(silence_of(run.require_record()))


def _job_of(run: Run) -> str | None:
    """The platform's id of a job that has ended, if run.json has none: node 0 has written it."""
    record = run.require_record()
    if record.job_id is not None:
        return None
    sign = read_sign(alive_file(run.path, 0), 0)
    return sign.job if sign is not None and sign.token == record.token else None


def _kept(run: Run, seen: Look, state: State) -> BackendAnswer:
    """The answer, with what is to be kept of it.

    LOST is kept, or each `list` would pause for a second look. The files are read once more, because they
    may have changed since `seen`, and then the mark of what they are like must not be kept with this state.
    """
    job = next((sign.job for sign in seen.signs if sign.job is not None), None)
    state = msgspec.structs.replace(state, job_id=job)
    if state.state != LOST:
        return BackendAnswer(state=state, job_id=job)
    mark = footprint(run.path)
    is_final = look(run) == seen
    return BackendAnswer(state=state, job_id=job, is_final=is_final, footprint=mark)


def _write_cancel(run: Run) -> None:
    """Write cancel.json. Raises BackendRefusedError: without the file launch.sh goes on."""
    try:
        write_cancel(run.path)
    except OSError as error:
        raise BackendRefusedError(
            f"{run.name} was not cancelled: {CANCEL} cannot be written: {error.strerror}",
            "end the job on the platform's page",
        ) from None


def _known_place(run: Path, record: Record) -> PlatformJob:
    """What is known of the platform's job: from the node that made this run, or from before a `resume`."""
    before = read_run(run)
    for known in (record, before.record if before else None):
        if known is not None and isinstance(known.place, PlatformJob):
            return known.place
    return PlatformJob()


BACKEND = PlatformBackend()
