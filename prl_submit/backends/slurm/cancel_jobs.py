"""Cancel the jobs of any number of runs with one squeue and one scancel."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prl_submit.backends.slurm import states as slurm_states
from prl_submit.backends.slurm.array_ids import in_few_words
from prl_submit.backends.slurm.job_listing import ListedJob, is_live
from prl_submit.backends.slurm.job_table import JobTable
from prl_submit.backends.slurm.slurm_commands import (
    SlurmCommands,
    first_line,
    gave_no_answer,
    unreachable,
)
from prl_submit.errors import BackendRefusedError, PrlSubmitError
from prl_submit.runs.cancellation import CancelNote
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import CANCEL
from prl_submit.runs.record import Record
from prl_submit.system.files import remove_inside
from prl_submit.system.side_by_side import side_by_side

_POLL_S = 1.0

#: A run's job as Slurm lists it now, None if it lists none, or why a listed job must not be touched.
_Found = ListedJob | PrlSubmitError | None


def cancel_jobs(
    runs: Sequence[Run], slurm: SlurmCommands, *, wait: bool
) -> list[bool | PrlSubmitError]:
    """For each run: true if it had a job, which ends or has ended; or why its job was not cancelled.

    Slurm gives the processes KillWait (usually 30 s) to end. Raises BackendUnreachableError if nothing was asked.
    """
    found = _find(runs, slurm)
    live = [i for i, job in enumerate(found) if _is_live(job)]
    faults = _cancel([runs[i] for i in live], [found[i] for i in live], slurm) if live else []
    told = [runs[i] for i, fault in zip(live, faults, strict=True) if fault is None]
    while wait and told and any(_is_live(job) for job in _find(told, slurm)):
        time.sleep(_POLL_S)
    results = [job if isinstance(job, PrlSubmitError) else job is not None for job in found]
    for i, fault in zip(live, faults, strict=True):
        results[i] = True if fault is None else fault
    return results


def _is_live(job: _Found) -> bool:
    return isinstance(job, ListedJob) and is_live(job)


def _find(runs: Sequence[Run], slurm: SlurmCommands) -> list[_Found]:
    """The runs' jobs as Slurm has them now. A later job with the same id is another one."""
    records = [run.record and slurm_states.present(run, run.record) for run in runs]
    asked = [record for record in records if record is not None]
    if not asked:
        return [None] * len(runs)
    jobs = slurm_states.squeue_for([run for run in runs if run.record is not None], asked, slurm)
    table = JobTable(jobs)
    return [
        None if record is None else _own_job(run, record, table)
        for run, record in zip(runs, records, strict=True)
    ]


def _own_job(run: Run, record: Record, table: JobTable) -> _Found:
    jobs = table.candidates(record)
    found = slurm_states.match(run.path, record, jobs)
    if found is None and record.job_id is not None:
        why = slurm_states.why_strange(run.path, record, jobs)
        if why is not None:
            return BackendRefusedError(f"{run.name}: {why}; nothing was cancelled")
    return found


def _cancel(
    runs: Sequence[Run], jobs: Sequence[_Found], slurm: SlurmCommands
) -> list[PrlSubmitError | None]:
    """Call scancel once. For each run: None, or why its job was not cancelled."""
    notes = side_by_side(lambda run: CancelNote(run.path), runs)
    ids = [job.job_id for job in jobs if isinstance(job, ListedJob)]
    try:
        answer = slurm.order(["scancel", *in_few_words(ids)])
    except BaseException:  # Ctrl-C too: a job that goes on must not be shown as cancelled
        _remove_notes(runs)
        raise
    if gave_no_answer(answer):
        _remove_notes(runs)
        raise unreachable(answer)
    if answer.code != 0:
        _remove_notes(runs)
        refused = f"Slurm refused: {first_line(answer.err)}"
        return [BackendRefusedError(f"{run.name}: {refused}") for run in runs]
    return [_closed(note) for note in notes]


def _closed(note: CancelNote) -> PrlSubmitError | None:
    try:
        note.close()
    except PrlSubmitError as error:
        return error
    return None


def _remove_notes(runs: Sequence[Run]) -> None:
    for run in runs:
        remove_inside(run.path, CANCEL)
