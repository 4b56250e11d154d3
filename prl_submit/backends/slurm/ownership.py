"""Decide whether a Slurm job belongs to a run directory.

run.json alone proves nothing, because a user may have copied or edited it. Two things must hold. Slurm
lists the job under the user who owns the run directory. And the job names the run: by the run's token in
its comment or, if a user has changed the comment, by its job id and the directory that its output goes
to. If the job writes to another run directory that has the same token, this run directory is a copy of
that one, and the job belongs to the original.

The tasks of a job array have one comment and one path for their output, so its token is the array's, and
`job.tasks/N` in the sweep's folder is a link to the run directory of task N.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import datetime, timedelta
from pathlib import Path

from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.runs.belonging import is_same
from prl_submit.runs.directory import read_run
from prl_submit.runs.layout import BATCH_SCRIPT, SLURM_LOG, SWEEPS, TASKS_SUFFIX
from prl_submit.runs.record import ArrayTask, Record

#: slurmctld's clock and this machine's may differ by this much.
_CLOCKS = timedelta(seconds=2)


def is_own(run: Path, record: Record, job: ListedJob) -> bool:
    """True if the job belongs to the run. `record`: the run's, with its job id if that is known."""
    if record.job_id not in (None, job.job_id, job.raw_id):
        return False
    if has_token(job, record) is False or why_not_own(run, record, job) is not None:
        return False
    if has_token(job, record):
        return True
    if not _writes_to(job, run):
        return False
    return record.job_id is not None or _was_submitted_with(record, job)


def has_token(job: ListedJob, record: Record) -> bool | None:
    """True if the job's comment has the token of this run or of its array, False if another's, None if none."""
    if job.task is None or not isinstance(record.place, ArrayTask):
        return job.has_token(record.token)
    return job.has_token(record.place.token) and job.task == record.place.task


def why_not_own(run: Path, record: Record, job: ListedJob) -> str | None:
    """Whose job it is, in words, if Slurm shows that it is another user's or another directory's.

    None otherwise; that does not yet prove that it is this run's.
    """
    here = _writes_to(job, run)
    if not here:
        for folder in run_folders(job):
            original = read_run(folder)
            found = original.record if original is not None else None
            if found is not None and found.token == record.token:
                return (
                    f"job {job.job_id} is the job of {folder}; this directory is a copy of that one"
                )
    if not here and _names_another(job, run, record):
        return f"job {job.job_id} writes to {run_folders(job)[0]}, not to this directory"
    if job.user_id is None or job.user_id not in _owners(run, here):
        return f"job {job.job_id} belongs to another user than this directory"
    return None


def _names_another(job: ListedJob, run: Path, record: Record) -> bool:
    """True if the job writes to another directory, and this one was not moved from there.

    A moved directory keeps its inode. The record has the path and inode of the directory at submission.
    """
    original = record.directory
    if original is None or not run_folders(job):
        return False
    if not any(str(folder) == original.path for folder in run_folders(job)):
        return True
    try:
        return run.stat().st_ino != original.inode
    except OSError:  # somebody has removed the directory since its record was read
        return True


def _owners(run: Path, here: bool) -> set[int]:
    """The uids that may own the run's job: the directory's owner, and us if the job writes `here`.

    The two differ for root on NFS, where the file server may make `nobody` the owner of root's files.
    """
    try:
        owner = run.stat().st_uid
    except OSError:
        return {os.getuid()}
    return {owner, os.getuid()} if here else {owner}


def run_folders(job: ListedJob) -> list[Path]:
    """The run directory that the job's output goes to, or that its batch script lies in.

    Two candidates if the path has `%%`: some versions of Slurm print a percent sign doubled, as in
    #SBATCH --output, others print it once. Empty if the job is not one of prl-submit's.
    """
    end = f"/{SLURM_LOG}"
    if job.stdout is not None and job.stdout.startswith("/") and job.stdout.endswith(end):
        shown = job.stdout.removesuffix(end)
        if job.task is not None:
            shown = re.sub(r"(?<!%)%a$", str(job.task), shown)
        return _linked([Path(text) for text in dict.fromkeys([shown, shown.replace("%%", "%")])])
    command = Path(job.command or "")
    if not command.is_absolute():
        return []
    if job.task is not None and command.parent.parent.name == SWEEPS:
        return _linked([command.with_suffix(TASKS_SUFFIX) / str(job.task)])
    return [command.parent] if command.name == BATCH_SCRIPT else []


def _linked(folders: list[Path]) -> list[Path]:
    """The run directories to which `job.tasks/N` of a sweep leads, if the link is there; other folders as they are."""
    found = []
    for folder in folders:
        if folder.parent.suffix != TASKS_SUFFIX:
            found.append(folder)
            continue
        with contextlib.suppress(OSError):  # somebody has moved the output root
            found.append(Path(os.path.normpath(folder.parent / os.readlink(folder))))
    return found


def _writes_to(job: ListedJob, run: Path) -> bool:
    return any(is_same(folder, run) for folder in run_folders(job))


def _was_submitted_with(record: Record, job: ListedJob) -> bool:
    """True if the job is of the run's newest submission, not of one before a `resume`."""
    if record.restarts == 0:
        return True
    newest_submission = [record.submitted_at, *record.resumed_at][-1]
    try:
        since = datetime.fromisoformat(newest_submission) - _CLOCKS
        return datetime.fromisoformat(job.submitted_at or "") >= since
    except (ValueError, TypeError):  # no time, or one without a zone
        return False
