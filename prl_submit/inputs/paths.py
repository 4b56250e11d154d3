"""Paths as ms-swift resolves them, and whether a setup line may make a path before the job starts."""

from __future__ import annotations

import os.path
import re

from prl_submit.rules.job import Job
from prl_submit.system.user_paths import absolute


def resolve(text: str, workdir: str) -> str:
    """The absolute path: `~` means the home directory, and other paths start at the working directory."""
    return absolute(text, workdir, os.path.expanduser("~"))


def made_by_setup(job: Job, path: str, workdir: str) -> bool:
    """True if a setup line names the absolute path, because the line may make or change the file."""
    return is_named(path, workdir, job.spec.environment.setup)


def is_named(path: str, workdir: str, lines: list[str]) -> bool:
    """True if a line has the absolute path, the path from the working directory, or its last part.

    So the line `make.py --out $D/train.jsonl` names every path that ends in train.jsonl.
    """
    if not lines:
        return False
    names = (path, os.path.relpath(path, workdir), os.path.basename(path))
    # The path must not be a part of another name: `jobs/make.py` does not name a folder `b`.
    found = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, names))})(?![\w-])")
    return any(found.search(line) for line in lines)
