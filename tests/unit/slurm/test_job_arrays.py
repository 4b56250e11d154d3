"""Which runs of a sweep go into which array."""

from __future__ import annotations

from pathlib import Path

import pytest

from prl_submit.backends.base import SweepItem
from prl_submit.backends.slurm.job_arrays import (
    ArrayLimits,
    PlannedArray,
    arrays_of,
    common_lines,
    parse_limits,
)
from prl_submit.runs.record import SweptRun
from tests.support.plans import slurm_plan
from tests.support.records import record

ONE, TWO, FOUR = ("#SBATCH --gres=gpu:1",), ("#SBATCH --gres=gpu:2",), ("#SBATCH --gres=gpu:4",)
SCRIPT = """\
#!/bin/bash
# mr: 4 GPUs
#SBATCH --job-name=mr-3
#SBATCH --comment=prl-submit:abc
#SBATCH --chdir=/cwd
#SBATCH --output=/out/v3/logs/slurm.log
#SBATCH --hold

#SBATCH -J short
unset -f bash
#SBATCH --time=1
"""


def items(*indices: int) -> list[SweepItem]:
    """Runs of a sweep with these indices."""
    plan = slurm_plan()
    swept = [SweptRun(name="s", id="i", folder="s-1", index=index) for index in indices]
    return [SweepItem(Path(f"/out/v{s.index}"), plan, record(sweep=s)) for s in swept]


def numbers(array: PlannedArray) -> list[int]:
    """The numbers of an array's tasks."""
    return [array.task_of(item) for item in array.items]


def test_the_common_lines_of_runs() -> None:
    """They do not name the run. sbatch reads none behind the first command."""
    assert common_lines(SCRIPT) == ("#SBATCH --chdir=/cwd", "#SBATCH --hold", "#SBATCH -J short")


def test_equal_requests_are_one_array() -> None:
    (array,) = arrays_of(items(1, 2, 3), [ONE] * 3, ArrayLimits(), None)
    assert (array.lines, numbers(array), array.stage) == (ONE, [1, 2, 3], 0)


def test_each_request_is_an_array() -> None:
    arrays = arrays_of(items(1, 2, 3, 4), [ONE, TWO, ONE, TWO], ArrayLimits(), None)
    assert [(array.lines, numbers(array)) for array in arrays] == [(ONE, [1, 3]), (TWO, [2, 4])]


def test_more_runs_than_numbers() -> None:
    """MaxArraySize 4: the numbers are 0 to 3."""
    arrays = arrays_of(items(*range(1, 10)), [ONE] * 9, ArrayLimits(4, 4), None)
    assert [numbers(array) for array in arrays] == [[1, 2, 3], [0, 1, 2, 3], [0, 1]]
    indices = [item.record.sweep.index for a in arrays for item in a.items if item.record.sweep]
    assert indices == list(range(1, 10))


def test_more_runs_than_tasks() -> None:
    arrays = arrays_of(items(*range(1, 6)), [ONE] * 5, ArrayLimits(1001, 2), None)
    assert [numbers(array) for array in arrays] == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    ("at_once", "stages"),
    [(None, [0, 0, 0]), (5, [0, 0, 1]), (4, [0, 1, 1]), (3, [0, 1, 2]), (1, [0, 1, 2])],
)
def test_arrays_in_stages(at_once: int | None, stages: list[int]) -> None:
    """Arrays of 3, 2 and 2 runs. Those of a stage are together no more than may run at a time."""
    lines = [ONE, ONE, ONE, TWO, TWO, FOUR, FOUR]
    arrays = arrays_of(items(*range(1, 8)), lines, ArrayLimits(), at_once)
    assert [len(array.items) for array in arrays] == [3, 2, 2]
    assert [array.stage for array in arrays] == stages


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("MaxArraySize            = 2001\nSchedulerParameters     = bf_interval=1\n", (2001, 2001)),
        ("MaxArraySize = 2001\nSchedulerParameters = a,max_array_tasks=500,b\n", (2001, 500)),
        ("MaxArraySize = 5\nSchedulerParameters = max_array_tasks=500\n", (5, 5)),
        ("MaxArraySize = 0\n", (0, 0)),
        ("", (1001, 1001)),
    ],
)
def test_the_sites_limits(text: str, limits: tuple[int, int]) -> None:
    found = parse_limits(text)
    assert (found.size, found.tasks) == limits
