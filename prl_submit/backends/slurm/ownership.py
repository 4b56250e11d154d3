"""Whether a job of Slurm's is a run's own: run.json alone proves nothing, since anybody may have written it.

A job is a run's own if Slurm says that it belongs to whom the run directory belongs to, and if the job
itself names the run: by the token in its comment, or, where somebody has written another comment, by its
id together with the directory that its script writes to. A job that names another directory with the
same token is the job of the run that this directory was copied from.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from prl_submit.backends.slurm.batch_script import SCRIPT
from prl_submit.backends.slurm.directives import LOG
from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.runs.belonging import is_same
from prl_submit.runs.directory import LOGS, Record, read_run

#: How much the clocks of the controller and of this machine may differ.
_CLOCKS = timedelta(seconds=2)


def is_own(run: Path, record: Record, job: ListedJob) -> bool:
    """Whether the job is the run's. `record`: with the id of its job, where that is known."""
    if record.job_id not in (None, job.job_id) or why_not_own(run, record, job) is not None:
        return False
    token = job.has_token(record.token)
    if token is not None:
        return token
    if not _writes_to(job, run):
        return False
    return record.job_id is not None or _was_submitted_with(record, job)


def why_not_own(run: Path, record: Record, job: ListedJob) -> str | None:
    """Whose job it is, in words, where Slurm shows that it belongs to somebody or somewhere else."""
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
    """Whether the job writes to a directory that this one has never been.

    A run that was moved has the inode of the directory that its record and its job name.
    """
    born = record.directory
    if born is None or not run_folders(job):
        return False
    if not any(str(folder) == born.path for folder in run_folders(job)):
        return True
    try:
        return run.stat().st_ino != born.inode
    except OSError:  # removed since its record was read
        return True


def _owners(run: Path, here: bool) -> set[int]:
    """Who may own the run's job: the directory's owner, and whoever submitted the job from it.

    A file server may give root's files to nobody.
    """
    try:
        owner = run.stat().st_uid
    except OSError:
        return {os.getuid()}
    return {owner, os.getuid()} if here else {owner}


def run_folders(job: ListedJob) -> list[Path]:
    """The run directory that the job's output goes to, or its script lies in, as Slurm shows it.

    Versions of Slurm differ in whether they show `%%` of a path or `%`.
    """
    end = f"/{LOGS}/{LOG}"
    if job.stdout is not None and job.stdout.startswith("/") and job.stdout.endswith(end):
        shown = job.stdout.removesuffix(end)
        return [Path(text) for text in dict.fromkeys([shown, shown.replace("%%", "%")])]
    command = job.command or ""
    if command.startswith("/") and command.endswith(f"/{SCRIPT}"):
        return [Path(command).parent]
    return []


def _writes_to(job: ListedJob, run: Path) -> bool:
    return any(is_same(folder, run) for folder in run_folders(job))


def _was_submitted_with(record: Record, job: ListedJob) -> bool:
    """Whether it is the job of this submission, not of an earlier attempt in the same directory."""
    if record.restarts == 0:
        return True
    try:
        last = [record.submitted_at, *record.resumed_at][-1]
        since = datetime.fromisoformat(last) - _CLOCKS
        return datetime.fromisoformat(job.submitted_at or "") >= since
    except (ValueError, TypeError):  # no time, or one without a zone
        return False
