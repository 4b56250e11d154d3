"""What is said of a submission that stopped half-way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prl_submit.runs.record import PlatformJob, SweptRun
from prl_submit.sweeps.sweep_submission import SubmittedSweep
from tests.support.records import make_run


def sweep(root: Path, *runs: dict[str, Any]) -> SubmittedSweep:
    """A sweep with a run for each of these changes of a record."""
    made = []
    for index, fields in enumerate(runs, 1):
        swept = SweptRun(name="lr", id="5f", folder="lr-20261130-120000", index=index)
        made.append(make_run(root / f"v{index}-20261130-120000", sweep=swept, **fields))
    return SubmittedSweep("lr", root / "sweeps" / "lr-20261130-120000", made)


def test_a_job_without_an_id_is_in_doubt(tmp_path: Path) -> None:
    """Its creation was under way when the user pressed Ctrl-C. A run that waits has certainly no job."""
    cluster = {"backend": "kubernetes"}
    doubt = cluster | {"job_id": None}
    found = sweep(tmp_path, cluster, doubt, doubt, doubt | {"is_waiting": True})
    assert (found.submitted, found.in_doubt) == (3, 2)
    assert found.in_words == "1 of 4 runs of lr were submitted, and of 2 more it is not known yet"


def test_jobs_that_need_no_id(tmp_path: Path) -> None:
    platform = {"backend": "platform", "job_id": None, "place": PlatformJob()}
    found = sweep(tmp_path, platform, {"is_waiting": True, "job_id": None})
    assert (found.submitted, found.in_doubt) == (1, 0)
    assert found.in_words == "1 of 2 runs of lr were submitted"
