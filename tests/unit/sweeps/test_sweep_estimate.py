"""The steps of a sweep's runs, and how long all of them take."""

from __future__ import annotations

import pytest

from prl_submit.results.estimate import Estimate
from prl_submit.sweeps.sweep_estimate import sum_up, sweep_estimate_words


def steps(*counts: int, is_rough: bool = False) -> list[tuple[str, Estimate]]:
    """Runs with so many steps."""
    found = [Estimate(count, is_rough, None, None) for count in counts]
    return [(f"lr-{index}", one) for index, one in enumerate(found, 1)]


@pytest.mark.parametrize(
    ("counts", "seconds", "at_once", "words"),
    [
        ((60, 60), None, 2, "60 steps in each combination"),
        ((1,), None, None, "1 step in each combination"),
        ((60, 1200, 400), None, 2, "60 to 1,200 steps, the most in lr-2"),
        ((60, 60), 60, None, "60 steps in each combination; at 60 s each a run takes 60 minutes"),
        (
            (60, 180),
            60,
            None,
            "60 to 180 steps, the most in lr-2; at 60 s each a run takes at most 3 hours",
        ),
    ],
)
def test_words(
    counts: tuple[int, ...], seconds: float | None, at_once: int | None, words: str
) -> None:
    assert sweep_estimate_words(sum_up(steps(*counts), seconds, at_once), 0.0) == words


def test_all_runs_two_at_a_time() -> None:
    """The third starts when the first ends, and ends after the second."""
    found = sum_up(steps(10, 30, 40), 60.0, 2)
    assert (found.longest, found.longest_s, found.all_s) == ("lr-3", 2400.0, 3000.0)
    words = sweep_estimate_words(found, 0.0)
    assert ", and all 3, 2 at a time, 50 minutes (until " in words


def test_one_at_a_time_is_the_sum() -> None:
    assert sum_up(steps(10, 30, 40), 2.0, 1).all_s == 160.0
    assert sum_up(steps(10, 30, 40), 2.0, 9).all_s == 80.0


def test_rough_numbers() -> None:
    found = sum_up(steps(10, 30, is_rough=True), None, None)
    assert sweep_estimate_words(found, 0.0) == "about 10 to 30 steps, the most in lr-2"
