"""The completions of a step: which line of the file they are, their order, and their text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prl_submit.results.completion_texts import completions_of, shown
from prl_submit.results.completions import find_batch
from tests.support.swift_logs import SWIFT_46, text_of


def batch(step: int, *texts: str) -> dict[str, Any]:
    count = len(texts)
    return {
        "step": [str(step)] * count,
        "prompt": ["p"] * count,
        "completion": list(texts),
        "F": [len(text) / 10 for text in texts],
        "G": [None] * count,
        "advantages": [0.5] * count,
    }


def test_which_line_is_a_steps(tmp_path: Path) -> None:
    """Not that of the evaluation after the step, and not that of an attempt before."""
    path = tmp_path / "completions.jsonl"
    lines = [batch(1, "a"), batch(2, "old"), batch(2, "evaluation"), batch(3, "c")]
    lines += [batch(2, "new"), batch(2, "evaluation"), batch(3, "d")]
    path.write_text(text_of(lines) + "damaged\n")
    found = {step: find_batch(path, step) for step in (1, 2, 3, 4)}
    texts = {step: one.completions for step, one in found.items() if one is not None}
    assert texts == {1: ["a"], 2: ["new"], 3: ["d"]}
    assert find_batch(tmp_path / "missing", 1) is None


def test_a_real_step_that_two_attempts_trained() -> None:
    found = find_batch(SWIFT_46 / "completions.jsonl", 6, [0.3, 0.7])
    assert found is not None
    assert found.rewards.step == 6
    assert len(found.completions) == 4


def test_orders(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    path.write_text(text_of([batch(1, "ab", "a", "abc")]))
    found = find_batch(path, 1)
    assert found is not None

    def order(name: str | None) -> list[int]:
        return [one.number for one in completions_of(found, name)]

    assert order(None) == [1, 2, 3]
    assert order("reward") == order("length") == [3, 1, 2]
    assert order("lowest") == [2, 1, 3]


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    line = batch(7, "first\nsecond\n", "x") | {"prompt": ["a" * 500 + "\nthe question", "p"]}
    path.write_text(text_of([line]))
    found = find_batch(path, 7, [1.0, 1.0])
    assert found is not None
    one, other = completions_of(found)
    assert shown(one, 2, 7, prompt_length=20).splitlines() == [
        "==> step 7, completion 1 of 2  reward 1.3  F 1.3  G -  advantage 0.5 <==",
        "| … aaaaaaa",
        "| the question",
        "first",
        "second",
    ]
    assert "| p\nx" in shown(other, 2, 7)
