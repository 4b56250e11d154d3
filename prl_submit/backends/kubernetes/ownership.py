"""Decide whether a PyTorchJob belongs to a run directory.

A user may have copied a run.json, or edited it so that it names another user's job. So prl-submit asks
the job: its annotation names the run directory. Name, namespace, uid and token prove nothing, because
everybody who may list jobs can write them into a run.json.
"""

from __future__ import annotations

import os
from pathlib import Path

from prl_submit.backends.kubernetes.labels import DIRECTORY_ANNOTATION
from prl_submit.backends.kubernetes.objects import PyTorchJob
from prl_submit.errors import PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.runs.directory import read_run
from prl_submit.system.untrusted_text import one_line


def owning_directory(job: PyTorchJob) -> str | None:
    """The run directory in the job's annotation; None without one."""
    return (job.metadata.annotations or {}).get(DIRECTORY_ANNOTATION)


def belongs(job: PyTorchJob, token: str, run: Path) -> bool:
    """True if the job has that token and names that directory, or the one that it was renamed from."""
    directory = owning_directory(job)
    if job.token != token or not directory:
        return False
    if directory == str(run):
        return True
    try:
        return os.path.samefile(directory, run)  # a symbolic link or another mount point
    except FileNotFoundError:
        return _was_renamed(directory, run)
    except (OSError, ValueError):
        return False


def _was_renamed(directory: str, run: Path) -> bool:
    """True if `directory`, which no longer exists, is the former name of `run`.

    A renamed directory keeps its inode, which nobody can choose. The record has path and inode of the
    directory at submission. Records of older versions have neither; those runs are trusted.
    """
    found = read_run(run)
    original = found.record.directory if found is not None and found.record is not None else None
    if original is None:
        return True
    try:
        return original.path == directory and original.inode == os.stat(run).st_ino
    except OSError:  # somebody has removed the directory since its record was read
        return False


def require_own(job: PyTorchJob, token: str, run: Path, what: str) -> None:
    """Raise PrlSubmitError if the job is not that run's.

    `what`: what prl-submit did not do because of that, such as `nothing was cancelled`.
    """
    if belongs(job, token, run):
        return
    name = job.metadata.name
    directory = one_line(owning_directory(job) or "")
    where = f"belongs to {directory}" if directory else "names no run directory"
    raise PrlSubmitError(
        f"{run}: the PyTorchJob {name} {where}, so it is not this run's; {what}",
        f"if it is yours: kubectl delete pytorchjob {bash(name)}",
    )
