"""Ids of arrays and tasks, as Slurm 22.05.8 printed them."""

from __future__ import annotations

import pytest

from prl_submit.backends.slurm.array_ids import (
    array_of,
    in_few_words,
    is_job_id,
    numbers_in_words,
    parse_ids,
)


def tasks(text: str, most: int = 2000) -> list[int]:
    """The numbers below `most` that an id of several tasks names."""
    ids = parse_ids(text)
    assert ids is not None
    return [number for number in range(most) if ids.has(number)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("13_[3]", [3]),
        ("13_[3-6%2]", [3, 4, 5, 6]),
        ("13_[4,8-11%3]", [4, 8, 9, 10, 11]),
        ("23_[1-999:2%4]", list(range(1, 1000, 2))),
        ("22_[0,5,7,9-12,2000]", [0, 5, 7, 9, 10, 11, 12]),
    ],
)
def test_tasks_that_wait_together(text: str, numbers: list[int]) -> None:
    assert tasks(text) == numbers


def test_one_task_and_one_job() -> None:
    task, job = parse_ids("4711_3"), parse_ids("4711")
    assert task is not None
    assert job is not None
    assert (task.job, task.task, task.tasks) == ("4711", 3, ())
    assert (job.job, job.task, job.tasks) == ("4711", None, ())


def test_how_many_run_at_a_time() -> None:
    ids = parse_ids("13_[3-11%3]")
    assert ids is not None
    assert ids.most == 3


def test_a_list_that_is_cut_goes_on() -> None:
    """Of the last number some digits may be missing, so it is not taken for one."""
    assert tasks("44_[1-2,5,44...]", 60) == [1, 2, *range(5, 60)]


@pytest.mark.parametrize(
    "text",
    ["", "x", "77.batch", "77+0", "77_", "77_x", "77_[", "77_[x]", "77_[1-]", "77_[1-9:0]", "٧٧", "7 7"],
)  # fmt: skip
def test_what_is_no_id(text: str) -> None:
    assert parse_ids(text) is None
    assert not is_job_id(text)


@pytest.mark.parametrize(("text", "array"), [("4711_3", "4711"), ("4711", "4711")])
def test_the_array_of_a_task(text: str, array: str) -> None:
    assert array_of(text) == array
    assert is_job_id(text)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([5], "5"), ([3, 1, 2], "1-3"), ([1, 3, 4, 9], "1,3-4,9"), (range(1, 1001), "1-1000")],
)
def test_numbers_for_sbatch(numbers: list[int], words: str) -> None:
    assert numbers_in_words(numbers) == words


def test_ids_for_one_scancel() -> None:
    ids = ["4712", "4711_4", "4711_3", "4711_7", "80_1"]
    assert in_few_words(ids) == ["4712", "4711_[3-4,7]", "80_[1]"]
