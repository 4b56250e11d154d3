"""Paths as ms-swift resolves them, and whether what is there now is what the job will find."""

from __future__ import annotations

import os.path
import re

from prl_submit.rules.job import Job
from prl_submit.system.user_paths import absolute


def resolve(text: str, workdir: str) -> str:
    """Absolute: from the home directory, or from where the job runs."""
    return absolute(text, workdir, os.path.expanduser("~"))


def made_by_setup(job: Job, path: str, workdir: str) -> bool:
    """Whether a setup line names the (absolute) path: then it may be made anew before the job."""
    return is_named(path, workdir, job.spec.environment.setup)


def is_named(path: str, workdir: str, lines: list[str]) -> bool:
    """Whether one of the lines names the path: whole, from the working directory, or by its last part.

    `--out $D/train.jsonl` names it too.
    """
    if not lines:
        return False
    names = (path, os.path.relpath(path, workdir), os.path.basename(path))
    # Not as a part of another name: a folder `b` is not named by `jobs/make.py`.
    found = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, names))})(?![\w-])")
    return any(found.search(line) for line in lines)
