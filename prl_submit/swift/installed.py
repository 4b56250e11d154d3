"""Which ms-swift an environment has, found without running or importing it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from prl_submit.spec import Environment

_DIST_INFO = re.compile(r"ms_swift-(?P<version>.+)\.dist-info")


def installed_version(environment: Environment, workdir: str, path: str) -> str | None:
    """ms-swift's version in the job's environment as this machine sees it, or None.

    `path` is PATH: without conda or venv the job's torchrun is the first one there.
    """
    prefix = _prefix(environment, workdir, path)
    if prefix is None:
        return None
    for folder in sorted(prefix.glob("lib/python3*/site-packages/ms_swift-*.dist-info")):
        match = _DIST_INFO.fullmatch(folder.name)
        if match:
            return match["version"]
    return None


def _prefix(environment: Environment, workdir: str, path: str) -> Path | None:
    if environment.venv:
        return Path(os.path.join(workdir, os.path.expanduser(environment.venv)))
    if environment.conda:
        conda = environment.conda
        name, root = (conda, None) if isinstance(conda, str) else (conda.name, conda.root)
        executable = os.environ.get("CONDA_EXE")
        found = root or (os.path.dirname(os.path.dirname(executable)) if executable else None)
        if not found:
            return None
        return Path(found) if name == "base" else Path(found, "envs", name)
    launcher = shutil.which("torchrun", path=path)
    return Path(launcher).parent.parent if launcher else None
