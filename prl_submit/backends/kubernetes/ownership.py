"""Whether a PyTorchJob is a run's own: run.json may be copied, or forged to name somebody else's job.

The job itself says which directory it belongs to. Its name, namespace, uid and token do not prove that,
since whoever may list jobs can write them into a run.json.
"""

from __future__ import annotations

import os
from pathlib import Path

from prl_submit.backends.kubernetes.labels import DIRECTORY_ANNOTATION
from prl_submit.backends.kubernetes.objects import PyTorchJob
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.runs.directory import read_run
from prl_submit.system.excerpt import one_line


def owning_directory(job: PyTorchJob) -> str | None:
    """The run directory that a job says it belongs to."""
    return (job.metadata.annotations or {}).get(DIRECTORY_ANNOTATION)


def belongs(job: PyTorchJob, token: str, run: Path) -> bool:
    """Whether a job carries that token and belongs to that directory, which may have been renamed since."""
    directory = owning_directory(job)
    if job.token != token or not directory:
        return False
    if directory == str(run):
        return True
    try:
        return os.path.samefile(directory, run)  # a link, a mount
    except FileNotFoundError:
        return _was_renamed(directory, run)
    except (OSError, ValueError):
        return False


def _was_renamed(directory: str, run: Path) -> bool:
    """Whether the directory that is not there any more is the one that this run was started in.

    Its inode says so, which nobody can choose; records of older versions have none.
    """
    found = read_run(run)
    born = found.record.directory if found is not None and found.record is not None else None
    if born is None:
        return True
    try:
        return born.path == directory and born.inode == os.stat(run).st_ino
    except OSError:  # removed since its record was read
        return False


def require_own(job: PyTorchJob, token: str, run: Path, what: str) -> None:
    """Raises PrlSubmitError where a job is not that run's. `what`: what was not done."""
    if belongs(job, token, run):
        return
    name = job.metadata.name
    directory = one_line(owning_directory(job) or "")
    where = f"belongs to {directory}" if directory else "names no run directory"
    raise PrlSubmitError(
        f"{run}: the PyTorchJob {name} {where}, so it is not this run's; {what}",
        f"if it is yours: kubectl delete pytorchjob {bash(name)}",
    )
