"""Which completions a report keeps: all, or those of steps at even distances; the later ones of a repeated step."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from prl_submit.report.kept_completions import (
    LONGEST_TEXT,
    KeptCompletions,
    keep_completions,
    parts,
    shortened,
)
from tests.support.report_runs import batch, write_completions
from tests.support.swift_logs import SWIFT_33, SWIFT_46

ALL = 10**9


def steps(kept: KeptCompletions) -> list[int]:
    return [one.step for one in kept.kept]


def make(folder: Path, numbers: list[int], size: int = 2) -> Path:
    texts = [f"completion {place}" for place in range(size)]
    return write_completions(folder, (batch(n, texts, [n / 10] * size) for n in numbers))


@pytest.mark.parametrize(("run", "count", "last"), [(SWIFT_46, 48, 12), (SWIFT_33, 112, 7)])
def test_all_of_real_files(run: Path, count: int, last: int) -> None:
    kept = keep_completions(run / "completions.jsonl", ALL, ALL)
    assert (kept.count(), kept.left_out(), kept.damaged) == (count, None, 0)
    assert steps(kept) == list(range(1, last + 1))  # the evaluations' lines are not among them


@pytest.mark.parametrize("most", [2, 3, 4, 5, 20, 100, 199, 200])
def test_at_even_distances_with_the_last(tmp_path: Path, most: int) -> None:
    kept = keep_completions(make(tmp_path, list(range(1, 101))), most, ALL)
    assert kept.count() <= most
    assert kept.count() >= min(2, most)
    assert steps(kept)[-1] == 100
    if len(steps(kept)) > 1:
        assert steps(kept)[:-1] == list(range(1, 100, kept.stride))[: len(steps(kept)) - 1]
        assert steps(kept)[-1] - steps(kept)[-2] <= kept.stride
    assert (kept.left_out() is None) == (most == 200)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    kept = keep_completions(make(tmp_path, list(range(1, 101))), 20, ALL)
    assert (
        kept.left_out()
        == "completions of 8 of the 100 logged steps are kept (one in 16, and the last)"
    )
    kept = keep_completions(make(tmp_path, [1, 2], size=6), 4, ALL)
    assert kept.left_out() == (
        "completions of 1 of the 2 logged steps are kept (the last); "
        "2 completions of step 2 are left out"
    )


def test_by_the_size_of_the_texts(tmp_path: Path) -> None:
    lines = (batch(n, ["x" * 1000], [0.0]) for n in range(1, 101))
    kept = keep_completions(write_completions(tmp_path, lines), ALL, 10_000)
    assert 4 <= kept.count() <= 10
    lines = (batch(n, ["x" * 40_000] * 3, [0.0] * 3) for n in (1, 2))
    kept = keep_completions(write_completions(tmp_path, lines), ALL, 90_000)
    assert (steps(kept), kept.count(), kept.cut) == ([2], 2, 1)


def test_the_later_attempt_counts(tmp_path: Path) -> None:
    first = [batch(n, ["first"], [0.0]) for n in range(1, 9)]
    second = [batch(n, ["second"], [1.0]) for n in range(5, 8)]
    kept = keep_completions(write_completions(tmp_path, first + second), ALL, ALL)
    assert steps(kept) == [1, 2, 3, 4, 5, 6, 7]
    texts = [one.completion for step in kept.kept for one in step.completions]
    assert texts == ["first"] * 4 + ["second"] * 3
    assert kept.steps == 7


def test_the_first_line_of_a_step_counts_because_others_are_of_an_evaluation(
    tmp_path: Path,
) -> None:
    lines = [batch(1, ["trained"], [0.0]), batch(1, ["evaluated"], [0.0])]
    (step,) = keep_completions(write_completions(tmp_path, lines), ALL, ALL).kept
    assert [one.completion for one in step.completions] == ["trained"]


def test_the_old_form_has_several_lines_for_a_step(tmp_path: Path) -> None:
    old = [
        {
            "step": ["0"],
            "messages": [[{"role": "user", "content": "p"}]],
            "completion": [text],
            "reward": [0.5],
        }
        for text in ("one", "two")
    ]
    (step,) = keep_completions(write_completions(tmp_path, old), ALL, ALL).kept
    assert (step.step, [one.completion for one in step.completions]) == (1, ["one", "two"])


def test_damaged_lines_and_a_cut_last_line(tmp_path: Path) -> None:
    path = make(tmp_path, [1, 2])
    with path.open("a") as file:
        file.write('garbage\n{"step": ["3"], "prompt": 7\n{"step": ["4"], "pro')
    kept = keep_completions(path, ALL, ALL)
    assert (steps(kept), kept.damaged) == ([1, 2], 2)
    assert keep_completions(tmp_path / "missing", ALL, ALL).count() == 0


def test_half_a_surrogate_pair_does_not_lose_the_others(tmp_path: Path) -> None:
    path = tmp_path / "completions.jsonl"
    path.write_text(json.dumps(batch(1, ["a\ud800b", "whole"], [0.0, 0.1])) + "\n")
    (step,) = keep_completions(path, ALL, ALL).kept
    assert [one.completion for one in step.completions] == ["a?b", "whole"]


def test_columns_have_each_prompt_once(tmp_path: Path) -> None:
    lines = [batch(1, ["a", "b"], [0.25, None]), batch(2, ["c"], [float("nan")])]
    kept = keep_completions(write_completions(tmp_path, lines), ALL, ALL)
    (found,) = parts(kept)
    assert found["prompts"] == ["prompt of step 1", "prompt of step 2"]
    assert found["prompt"] == [0, 0, 1]
    assert found["completion"] == ["a", "b", "c"]
    assert found["rewards"] == {"Fun": [0.25, None, None]}
    assert found["number"] == [1, 2, 1]
    first, second = parts(kept, 2)
    assert (first["completion"], second["completion"]) == (["a", "b"], ["c"])
    assert second["prompt"] == [0]


def test_long_texts_are_cut_with_words() -> None:
    assert shortened("x" * LONGEST_TEXT) == "x" * LONGEST_TEXT
    text = shortened("x" * (LONGEST_TEXT + 1234))
    assert text.endswith("… [1,234 more characters are not in this report]")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = write_completions(
        tmp_path, (batch(n, ["x" * 5000] * 4, [0.0] * 4) for n in range(1, 2001))
    )
    assert path.stat().st_size > 40e6
    tracemalloc.start()
    try:
        kept = keep_completions(path, ALL, 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.count() >= 50
    assert peak < 12e6
