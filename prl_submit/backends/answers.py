"""What a backend answers about a run, and what is kept of the answer in the run directory."""

from __future__ import annotations

from msgspec import Struct

from prl_submit.runs.belonging import record_job_id
from prl_submit.runs.directory import Run
from prl_submit.runs.final_state import write_verdict
from prl_submit.runs.last_known import forget_missing, note_missing
from prl_submit.runs.states import State


class BackendAnswer(Struct, frozen=True, kw_only=True):
    """The state of a run, and what the backend knows of its job besides."""

    state: State
    #: The id of the job where the backend has just found it: run.json may have another one, or none.
    job_id: str | None = None
    #: True if the job has ended and nothing can change its state any more.
    is_final: bool = False
    #: True if the backend answered that it has no such job, False if it has; None if it cannot be asked.
    is_missing: bool | None = None
    #: For a final state that the job's files alone tell: what they were like, so that a new sign of life voids it.
    footprint: str | None = None


def keep(run: Run, answer: BackendAnswer) -> State:
    """Write down what the next command needs of an answer; the state. Another user's run stays as it is."""
    if run.record is not None:
        if answer.is_missing:
            note_missing(run.path, run.record)
        elif answer.is_missing is False:
            forget_missing(run.path)
        if answer.job_id is not None:
            record_job_id(run, run.record, answer.job_id)
    if answer.is_final:
        write_verdict(run, answer.state, answer.footprint)
    return answer.state
