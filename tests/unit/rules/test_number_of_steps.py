"""The steps of a training, from its rows. tests/training asks the real trainers about hundreds of jobs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from prl_submit.results.metrics_reader import read_metrics
from prl_submit.results.run_settings import read_run_settings
from prl_submit.rules.job import DoubtfulError, Job
from prl_submit.rules.number_of_steps import StepCount, stated_steps, steps_on
from tests.support.plans import planned
from tests.support.swift_logs import ONE_PROCESS, SWIFT_33, SWIFT_46


def job(version: str | None = "4.6.0", nproc: int = 1, **swift: Any) -> Job:
    """A GRPO job; `swift` adds arguments or replaces them."""
    base = {"rlhf_type": "grpo", "model": "m", "reward_funcs": ["format"], "num_generations": 4}
    spec = {"name": "x", "resources": {"nproc_per_node": nproc}, "swift": {**base, **swift}}
    return msgspec.structs.replace(planned(json.dumps(spec)).job, swift_version=version)


def test_ten_epochs_that_are_a_month() -> None:
    """The case of a user: one prompt in each step."""
    assert steps_on(job(per_device_train_batch_size=4, num_train_epochs=10), 8462) == StepCount(
        84_620
    )


@pytest.mark.parametrize(
    ("rows", "swift", "steps"),
    [
        (96, {"per_device_train_batch_size": 4}, 3 * 96),  # three epochs are the default
        (97, {"per_device_train_batch_size": 8, "num_train_epochs": 1}, 48),  # one row is left over
        (96, {"per_device_train_batch_size": 4, "num_iterations": 2, "num_train_epochs": 1}, 192),
        (96, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_train_epochs": 1}, 48),
        (97, {"per_device_train_batch_size": 4, "generation_batch_size": 16, "gradient_accumulation_steps": 3, "num_train_epochs": 1}, 32),
        (96, {"per_device_train_batch_size": 4, "num_train_epochs": 0.1}, 10),
    ],
)  # fmt: skip
def test_what_makes_the_steps(rows: int, swift: dict[str, Any], steps: int) -> None:
    assert steps_on(job(**swift), rows) == StepCount(steps)


def test_releases_in_between_are_rough_only_where_they_may_differ() -> None:
    """With one row too many 3.8 may count one step more or less, depending on its trl; with whole batches not."""
    sizes = {"per_device_train_batch_size": 8, "num_train_epochs": 4}
    assert steps_on(job("3.8.0", **sizes), 96) == StepCount(192)
    assert steps_on(job("3.8.0", **sizes), 97) == StepCount(192, is_rough=True)
    assert steps_on(job("3.3.0", gradient_accumulation_steps=1, **sizes), 97) == StepCount(196)


@pytest.mark.parametrize(
    "swift",
    [
        {"sequence_parallel_size": 2},
        {"packing": True},
        {"max_epochs": 1},
        {"num_train_epochs": 0},
        {"per_device_train_batch_size": 512},  # too few rows for one batch
        {"rlhf_type": "ppo"},
        {"rlhf_type": "kto"},
    ],
)
def test_unknown(swift: dict[str, Any]) -> None:
    assert steps_on(job(**{"per_device_train_batch_size": 4, **swift}), 96) is None


def test_preferences_are_rough() -> None:
    """A row of dpo that is too long is dropped."""
    dpo = job(
        rlhf_type="dpo",
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_train_epochs=1,
    )
    assert steps_on(dpo, 97) == StepCount(13, is_rough=True)  # fmt: skip


def test_stated_steps() -> None:
    assert stated_steps(job(max_steps=7)) == StepCount(7)
    assert stated_steps(job()) is None
    assert stated_steps(job(max_steps=7, max_epochs=1)) is None
    assert stated_steps(job(max_steps=7, rlhf_type="ppo")) is None
    with pytest.raises(DoubtfulError):
        stated_steps(msgspec.structs.replace(job(), doubtful=frozenset({"swift.max_steps"})))


@pytest.mark.parametrize("run", [SWIFT_46, ONE_PROCESS, SWIFT_33], ids=lambda run: run.name)
def test_real_runs(run: Any) -> None:
    """The epoch that ms-swift logged at step 1 says how many steps an epoch of the 96 rows has."""
    settings, first = read_run_settings(run), read_metrics(run).first[0]
    names = ("per_device_train_batch_size", "num_generations", "gradient_accumulation_steps")
    given = {name: settings.arguments[name] for name in names if settings.arguments[name]}
    version = settings.swift_version or "3.3.0"
    found = steps_on(job(version, settings.processes or 0, num_train_epochs=1, **given), 96)
    epoch = first.values.get("epoch")
    assert epoch
    assert found == StepCount(round(1 / epoch))
