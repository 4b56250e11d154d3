"""Paths as ms-swift resolves them, and whether what is there now is what the job will find."""

from __future__ import annotations

import os.path

from prl_submit.job import Job


def resolve(text: str, workdir: str) -> str:
    """Absolute: from the home directory, or from where the job runs."""
    return os.path.normpath(os.path.join(workdir, os.path.expanduser(text)))


def made_by_setup(job: Job, path: str, workdir: str) -> bool:
    """Whether a setup line names the (absolute) path: then it may be made anew before the job."""
    lines = job.spec.environment.setup
    if not lines:
        return False
    relative = os.path.relpath(path, workdir)
    return any(path in line or relative in line for line in lines)
