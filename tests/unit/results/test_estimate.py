"""When a job would end, from its steps and an earlier run of its name."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.planning.plan import Planned
from prl_submit.results.estimate import (
    OPTION,
    Estimate,
    StepTime,
    estimate,
    estimate_problems,
    estimate_words,
)
from prl_submit.results.time_words import until
from tests.support.plans import planned
from tests.support.swift_logs import step, times, write_run

NOON = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))


def job(root: Path, where: str = "slurm", **keys: Any) -> Planned:
    """A job of 1000 steps whose output root is `root`; `swift__max_steps=9` replaces a value."""
    spec: dict[str, Any] = {
        "name": "mr",
        "backend": where,
        "output": str(root),
        "resources": {"nproc_per_node": 2},
        "swift": {"rlhf_type": "grpo", "model": "m", "max_steps": 1000, "save_steps": 100},
    }
    for key, value in keys.items():
        section, _, name = key.partition("__")
        spec.setdefault(section, {})[name] = value
    return planned(json.dumps(spec))


def run(root: Path, number: int, name: str, seconds: int | None, steps: int = 20) -> Path:
    """A run with steps of so many seconds; None: it has not logged any."""
    path = root / f"v{number}-20261122-210000"
    lines = []
    for n in range(1, steps + 1 if seconds else 1):
        speed = {"elapsed_time": times(n * (seconds or 0)), "train_speed(s/it)": seconds}
        lines.append(step(n) | speed)
    write_run(path, lines)
    record = {"name": name, "backend": "local", "job_id": "1", "submitted_at": "x", "token": "t"}
    (path / "run.json").write_text(json.dumps(record))
    (path / "args.json").write_text(json.dumps({"global_world_size": 2}))
    return path


def test_words() -> None:
    """Steps; the seconds of one; how long all take; until when; and where the seconds are from."""
    month = Estimate(84_620, False, StepTime(36.0, OPTION), 500)
    assert estimate_words(month, NOON) == "84,620 steps; at 36 s each 35 days (until 2027-01-04)"
    earlier = StepTime(36.0, "v25-20261122-210000", 2)
    told = estimate_words(msgspec.structs.replace(month, pace=earlier, is_rough=True), NOON)
    assert told == (
        "about 84,620 steps; at 36 s each 35 days (until 2027-01-04), "
        "as v25-20261122-210000 took with 2 processes"
    )
    assert estimate_words(Estimate(1, False, None, None), NOON) == "1 step"
    forever = Estimate(10**9, False, StepTime(1e12, OPTION), None)
    assert estimate_words(forever, NOON).endswith("(until in more than 1000 years)")


@pytest.mark.parametrize(
    ("hours", "words"),
    [(1, "13:00"), (11.9, "23:54"), (12, "tomorrow 00:00"), (36, "2026-12-02"), (24 * 60, "2027-01-29")],
)  # fmt: skip
def test_until(hours: float, words: str) -> None:
    assert until(NOON + hours * 3600, NOON) == words


def test_the_newest_run_of_the_name_tells_the_seconds(tmp_path: Path) -> None:
    """Runs of another name, without a step, with one step only, and without run.json are passed over."""
    found = estimate(job(tmp_path), None)
    assert found == Estimate(1000, False, None, 100)
    run(tmp_path, 1, "mr", 90)
    run(tmp_path, 9, "mr", 36)
    run(tmp_path, 10, "mr", 50, steps=1)
    run(tmp_path, 11, "other", 70)
    run(tmp_path, 12, "mr", None)
    (run(tmp_path, 13, "mr", 80) / "run.json").unlink()
    (run(tmp_path, 14, "mr", 80) / "run.json").write_text("{")
    found = estimate(job(tmp_path), None)
    assert found is not None
    assert found.pace == StepTime(36.0, "v9-20261122-210000", 2)
    assert found.seconds == pytest.approx(36_000)
    given = estimate(job(tmp_path), 2.0)
    assert given is not None
    assert given.pace == StepTime(2.0, OPTION)


def problems(made: Planned, seconds: float | None) -> list[str]:
    found = estimate(made, seconds)
    assert found is not None
    told = estimate_problems(made, found)
    assert all(each.severity == "warning" and each.hint for each in told)
    return [f"{each.key}: {each.message}" for each in told]


def test_a_time_limit_that_is_too_short(tmp_path: Path) -> None:
    """Only if the seconds of a step are known. Restarts make it longer, but not on this machine."""
    short: dict[str, Any] = {"resources__time_limit": "6h"}
    assert problems(job(tmp_path, **short), None) == []
    assert problems(job(tmp_path, **short), 20) == []
    assert problems(job(tmp_path, **short), 36) == [
        "resources.time_limit: 6 hours is shorter than 10 hours, which 1,000 steps take at 36 s each; "
        "restarts.max is 0, so the job ends at about step 600"
    ]
    assert problems(job(tmp_path, restarts__max=1, **short), 36) == []
    assert len(problems(job(tmp_path, restarts__max=1, **short), 72)) == 1
    assert len(problems(job(tmp_path, "local", restarts__max=1, **short), 36)) == 1


def test_restarts_without_a_checkpoint_never_end(tmp_path: Path) -> None:
    made = job(tmp_path, resources__time_limit="6h", restarts__max=99, swift__save_steps=700)
    (told,) = problems(made, 36)
    assert told.endswith(
        "the first checkpoint is at step 700, but the limit is reached at step 600, so each restart begins anew"
    )


def test_checkpoints_that_fill_the_disk(tmp_path: Path) -> None:
    many: dict[str, Any] = {"swift__save_steps": 10}
    assert problems(job(tmp_path, **many), None) == [
        "swift.save_steps: 10 makes 100 checkpoints in 1,000 steps, and all are kept"
    ]
    assert problems(job(tmp_path, swift__save_total_limit=3, **many), None) == []
    assert problems(job(tmp_path, swift__save_strategy="no", **many), None) == []
    assert problems(job(tmp_path, swift__save_steps=0.01), None) != []  # a share of all steps
    assert problems(job(tmp_path), None) == []
