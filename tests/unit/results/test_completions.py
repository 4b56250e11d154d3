"""completions.jsonl in the forms of all releases, and damaged."""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prl_submit.results.completions import (
    begin_of,
    find_batch,
    identical_share,
    last_batch,
    one_character_share,
    read_batch,
    read_rewards,
    reward_metrics,
)
from prl_submit.results.metric_names import REWARD_OF
from tests.support.swift_logs import SWIFT_33, SWIFT_46, text_of

NEW: dict[str, Any] = {
    "step": ["7", "7", "7", "7"],
    "prompt": ["p", "p", "q", "q"],
    "completion": ["a", "b", "c", "c"],
    "Format": [1.0, 0.0, 1.0, 1.0],
    "Accuracy": [0.5, None, 0.0, 0.0],
    "advantages": [0.7, -0.7, 0.0, 0.0],
    "solution": ["x", "x", "y", "y"],
    "entropy": [0.1, 0.2, 0.3, 0.4],
}
OLD: dict[str, Any] = {
    "step": ["6", "6"],
    "messages": [[{"role": "user", "content": "p"}], [{"role": "user", "content": "q"}]],
    "completion": ["a", "b"],
    "reward": [0.25, 0.75],
}


def line(batch: dict[str, Any]) -> bytes:
    return text_of([batch]).encode().rstrip()


def test_the_columns_of_reward_functions() -> None:
    """Those between the completions and the advantages: `solution` and `entropy` are none."""
    rewards = read_rewards(line(NEW), [0.4, 0.6])
    assert rewards is not None
    assert rewards.step == 7
    assert rewards.by_function == {"Format": [1, 0, 1, 1], "Accuracy": [0.5, None, 0, 0]}
    assert rewards.totals == pytest.approx([0.7, 0.0, 0.4, 0.4])
    unweighted = read_rewards(line(NEW))
    assert unweighted is not None
    assert unweighted.totals == [1.5, 0.0, 1.0, 1.0]
    other_count = read_rewards(line(NEW), [1.0])  # weights of another job
    assert other_count is not None
    assert other_count.totals == unweighted.totals


def test_metrics_of_rewards() -> None:
    rewards = read_rewards(line(NEW))
    assert rewards is not None
    found = reward_metrics(rewards, 2)
    assert found["reward"] == 0.875
    assert found["reward_std"] == pytest.approx((1.5 / 2**0.5 + 0) / 2)
    assert found["frac_reward_zero_std"] == 0.5
    assert found["reward/Accuracy"] == pytest.approx(0.5 / 3)
    assert "reward_std" not in reward_metrics(rewards, None)
    assert "reward_std" not in reward_metrics(rewards, 3)


def test_a_value_that_is_not_a_number() -> None:
    """A function that does not apply to a row gives NaN; a spread of one value is 0."""
    batch = NEW | {"Accuracy": [float("nan"), float("nan"), 0.5, float("nan")]}
    rewards = read_rewards(line(batch))
    assert rewards is not None
    assert rewards.by_function["Accuracy"] == [None, None, 0.5, None]
    assert reward_metrics(rewards, 2)["reward_std/Accuracy"] == 0.0


def test_the_form_of_31_and_32() -> None:
    """The step is one less than that of the log."""
    rewards = read_rewards(line(OLD))
    assert rewards is not None
    assert (rewards.step, rewards.by_function, rewards.totals) == (7, {}, [0.25, 0.75])
    batch = read_batch(line(OLD))
    assert batch is not None
    assert (batch.prompts, batch.completions) == (["p", "q"], ["a", "b"])


@pytest.mark.parametrize(
    ("batch", "found"),
    [
        (NEW, (7, False)),
        (OLD, (7, True)),
        ({"prompt": ["p"], "completion": ["a"], "F": [1.0], "step": ["9"]}, (9, False)),
        ({"step": [9], "prompt": ["p"], "completion": ["a"], "F": [1.0]}, (9, False)),
        ({"step": [], "prompt": []}, (-1, False)),
        ({"step": "9"}, (9, True)),
        ({"prompt": ["p"]}, (-1, False)),
    ],
)
def test_the_begin_of_a_line(batch: dict[str, Any], found: tuple[int, bool]) -> None:
    assert begin_of(line(batch)) == found


def test_real_batches() -> None:
    for run, prompt in ((SWIFT_46, str), (SWIFT_33, str)):
        for text in (run / "completions.jsonl").read_bytes().splitlines():
            batch = read_batch(text, [0.3, 0.7])
            assert batch is not None
            count = len(batch.completions)
            assert count in (4, 16)
            assert len(batch.prompts) == len(batch.rewards.totals) == count
            assert {type(text) for text in batch.prompts} == {prompt}
            assert set(batch.rewards.by_function) == {"PrlFormat", "PrlAccuracy"}
            assert len(batch.advantages) == (count if run is SWIFT_46 else 0)


def test_shares() -> None:
    batch = read_batch(line(NEW))
    assert batch is not None
    assert identical_share(batch) == 0.5
    assert one_character_share(batch) == 0.0
    alone = read_batch(line(NEW | {"prompt": ["p", "q", "r", "s"]}))
    assert alone is not None
    assert identical_share(alone) is None


def test_completions_of_other_types() -> None:
    batch = read_batch(line(NEW | {"prompt": [1, None, [], [{"content": {"a": 1}}]]}))
    assert batch is not None
    assert batch.prompts == ["1", "null", "[]", '{"a":1}']


def test_the_last_batch(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    assert last_batch(path) is None
    path.write_bytes(line(NEW))
    assert last_batch(path) is None  # it may still be written
    path.write_bytes(line(OLD) + b"\n" + line(NEW) + b"\n" + line(NEW)[:30])
    batch = last_batch(path)
    assert batch is not None
    assert batch.rewards.step == 7
    long = NEW | {"completion": ["x" * 2_000_000] * 4}
    path.write_bytes(line(OLD) + b"\n" + line(long) + b"\n")
    batch = last_batch(path)
    assert batch is not None
    assert len(batch.completions[3]) == 2_000_000


@pytest.mark.parametrize(("run", "step"), [(SWIFT_33, 7), (SWIFT_46, 12)])
def test_the_last_batch_of_a_real_run_is_of_the_training(run: Path, step: int) -> None:
    """Both runs end with an evaluation, whose line has the number of the last step too."""
    path = run / "completions.jsonl"
    batch = last_batch(path)
    assert batch == find_batch(path, step)
    *_, last = path.read_bytes().splitlines()
    assert batch != read_batch(last)


def test_the_last_batch_after_a_long_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    evaluation = NEW | {"completion": ["x" * 300_000] * 4}
    lines = [line(NEW | {"step": ["6"] * 4}), line(NEW), line(evaluation)]
    for before in (lines, lines[1:]):
        path.write_bytes(b"\n".join(before) + b"\n")
        assert last_batch(path) == read_batch(line(NEW))


def test_rewards_too_large_to_add_up() -> None:
    rewards = read_rewards(line(NEW | {"Format": [1e308, 1e308, 1.0, 3.0]}), [1.0, 1.0])
    assert rewards is not None
    assert reward_metrics(rewards, 2)[REWARD_OF + "Format"] == 2.0
    assert isfinite(reward_metrics(rewards, 2)["reward"])


@given(st.recursive(st.none() | st.floats() | st.text(max_size=5), lambda value: st.lists(value, max_size=3) | st.dictionaries(st.sampled_from([*NEW, *OLD, "x"]), value, max_size=5)))  # fmt: skip
def test_any_json(value: Any) -> None:
    text = json.dumps(value).encode()
    begin_of(text)
    rewards = read_rewards(text, [0.5])
    if rewards is not None:
        reward_metrics(rewards, 2)
        assert read_batch(text) is not None


@given(st.binary(max_size=100))
def test_any_bytes(text: bytes) -> None:
    assert begin_of(text)[0] == -1 or read_batch(text) is not None
