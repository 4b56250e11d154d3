"""The lock of a sweep: one process submits its runs, and others may look whether one does."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from prl_submit.backends.waiting_runs import is_being_submitted
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.layout import SWEEP_LOCK
from prl_submit.sweeps.sweep_file import submitting


def test_one_process_submits_at_a_time(tmp_path: Path) -> None:
    assert not is_being_submitted(tmp_path)
    with submitting(tmp_path):
        assert is_being_submitted(tmp_path)
        with pytest.raises(PrlSubmitError, match="by another process"), submitting(tmp_path):
            pass
    assert not is_being_submitted(tmp_path)


def test_who_only_looks_at_the_lock_keeps_nobody_from_submitting(tmp_path: Path) -> None:
    with open(tmp_path / SWEEP_LOCK, "wb") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)

        def look() -> None:
            time.sleep(0.1)
            fcntl.flock(looked_at, fcntl.LOCK_UN)

        looker = threading.Thread(target=look)
        looker.start()
        with submitting(tmp_path):
            assert is_being_submitted(tmp_path)
        looker.join()
