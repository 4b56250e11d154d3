"""Which checkpoints `prune` deletes."""

from __future__ import annotations

import pytest

from prl_submit.runs.prune_choice import Keep, Saved, choose


def saved(
    *steps: int, damaged: tuple[int, ...] = (), scores: dict[int, float] | None = None
) -> list[Saved]:
    """Checkpoints of these steps."""
    return [
        Saved(f"checkpoint-{step}", step, step not in damaged, (scores or {}).get(step))
        for step in steps
    ]


def deleted(
    found: list[Saved],
    keep: Keep,
    *,
    may_drop_last: bool = False,
    needed: dict[str, str] | None = None,
) -> list[int]:
    """The steps of the checkpoints that are deleted."""
    reasons = choose(found, keep, may_drop_last=may_drop_last, needed=needed or {})
    return [int(name.split("-")[1]) for name, why in reasons.items() if why is None]


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (Keep(last=2), [10, 20, 100]),
        (Keep(last=9), []),
        (Keep(last=0), [10, 20, 100, 150]),
        (Keep(every=20), [10, 150]),
        (Keep(every=50), [10, 20]),
        (Keep(best=1), [10, 100, 150]),
        (Keep(best=1, lowest=True), [20, 100, 150]),
        (Keep(best=1, last=2), [10, 100]),
        (Keep(best=2, every=150), [100]),
    ],
)
def test_what_the_options_keep(keep: Keep, gone: list[int]) -> None:
    """The order is that of numbers, not of texts; the options add up; the last one stays."""
    scores = {10: 0.1, 20: 0.9, 100: 0.4, 150: 0.5, 200: 0.2}
    if keep == Keep(best=2, every=150):
        scores[10] = 0.8
    assert deleted(saved(200, 10, 100, 20, 150, scores=scores), keep) == gone


def test_the_last_one_goes_only_if_it_may() -> None:
    two = saved(1, 2, scores={1: 0.9, 2: 0.1})
    assert deleted(two, Keep(last=0)) == [1]
    assert deleted(two, Keep(last=0), may_drop_last=True) == [1, 2]
    assert deleted(two, Keep(best=1), may_drop_last=True) == [2]


def test_the_last_complete_one_counts() -> None:
    """A training that goes on needs it, so a damaged one after it keeps nothing."""
    found = saved(10, 20, 30, damaged=(20, 30))
    assert deleted(found, Keep(last=1)) == [20, 30]
    assert deleted(found, Keep(last=0)) == [20, 30]


def test_without_a_complete_one_all_count() -> None:
    """save_only_model saves no optimizer, so no checkpoint is complete, and each is worth the same."""
    found = saved(10, 20, 30, damaged=(10, 20, 30))
    assert deleted(found, Keep(last=2)) == [10]
    assert deleted(found, Keep(last=0)) == [10, 20]


def test_without_a_score_a_checkpoint_stays() -> None:
    assert deleted(saved(10, 20, 30, scores={20: 0.5, 30: 0.4}), Keep(best=1)) == []
    assert deleted(saved(10, 20, 30, 40, scores={20: 0.5, 30: 0.4}), Keep(best=1)) == [30]


def test_what_others_need_stays() -> None:
    found = saved(10, 20, 30)
    assert deleted(found, Keep(last=1), needed={"checkpoint-10": "v9 begins from it"}) == [20]
    reasons = choose(
        found, Keep(last=1), may_drop_last=True, needed={"checkpoint-10": "v9 begins from it"}
    )
    assert reasons == {
        "checkpoint-10": "v9 begins from it",
        "checkpoint-20": None,
        "checkpoint-30": "of the last 1",
    }


def test_equal_scores_keep_the_later_one() -> None:
    assert deleted(saved(10, 20, 30, scores={10: 0.5, 20: 0.5, 30: 0.1}), Keep(best=1)) == [10]
