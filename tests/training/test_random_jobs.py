"""check and ms-swift agree on random GRPO jobs. `differential.py` asks about more jobs, by hand."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from prl_submit.swift.table import load_table
from tests.training.conftest import PROJECT
from tests.training.differential import compare, version_of
from tests.training.random_jobs import random_jobs

pytestmark = pytest.mark.training
COUNT = 120


def old_python() -> Path:
    """The Python of the environment that tools/make-old-swift-venv.sh makes."""
    checksum = hashlib.sha256((PROJECT / "tools/swift-3.3-constraints.txt").read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "prl-submit" / f"swift-3.3.0-{checksum.hexdigest()[:12]}" / "bin" / "python"


@pytest.mark.parametrize("which", ["installed", "3.3"])
def test_neither_false_alarms_nor_misses(which: str, folder: Path) -> None:
    """Compared with the errors that ms-swift finds while it reads its arguments."""
    python = sys.executable if which == "installed" else str(old_python())
    if not Path(python).exists():
        pytest.skip(f"{python} is not there: tools/make-old-swift-venv.sh makes it")
    table = load_table(version_of(python))
    compared = compare(random_jobs(table, COUNT, seed=1), table, folder, python)
    differing = [one.describe() for one in compared if one.is_false_alarm or one.is_missed]
    assert differing == []
    refused = sum(one.theirs is not None for one in compared)
    assert 0.2 < refused / len(compared) < 0.8
