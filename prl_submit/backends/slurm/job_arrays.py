"""Which runs of a sweep go into which job array, and how many of them may run at a time.

A job array is one submission of many tasks with the same options. So runs that ask for the same go into one
array, and each different request has an array of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from msgspec import Struct

from prl_submit.backends.base import SweepItem

#: Slurm's default of MaxArraySize: the numbers of tasks are smaller.
_USUAL_SIZE = 1001
#: An option at the beginning of job.sbatch, with its name.
_OPTION = re.compile(r"#SBATCH\s+--([a-z-]+)")
#: The options that an array has of its own.
_OF_ARRAY = frozenset(["job-name", "comment", "output"])


class ArrayLimits(Struct, frozen=True):
    """The site's limits. `size`: the numbers of tasks are smaller; `tasks`: how many tasks an array may have."""

    size: int = _USUAL_SIZE
    tasks: int = _USUAL_SIZE


class PlannedArray(Struct, frozen=True):
    """Runs that one sbatch submits. The number of a task is the run's index in the sweep minus `base`.

    `lines`: the `#SBATCH` lines that the runs have in common. `stage`: the arrays of a stage start when those of
    the stage before have ended.
    """

    lines: tuple[str, ...]
    items: list[SweepItem]
    base: int = 0
    stage: int = 0

    def task_of(self, item: SweepItem) -> int:
        """The number of the task that runs this run."""
        return index_of(item) - self.base


def index_of(item: SweepItem) -> int:
    """The run's index in its sweep."""
    sweep = item.record.sweep
    return 0 if sweep is None else sweep.index


def parse_limits(text: str) -> ArrayLimits:
    """The limits in the output of `scontrol show config`."""
    size = re.search(r"^MaxArraySize\s*=\s*([0-9]+)", text, re.MULTILINE)
    tasks = re.search(r"^SchedulerParameters\s*=.*\bmax_array_tasks=([0-9]+)", text, re.MULTILINE)
    most = int(size[1]) if size else _USUAL_SIZE
    return ArrayLimits(most, min(int(tasks[1]), most) if tasks else most)


def common_lines(script: str) -> tuple[str, ...]:
    """The `#SBATCH` lines of a run's job.sbatch, without those that name the run."""
    found = []
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            break  # sbatch reads no options behind the first command
        option = _OPTION.match(line)
        if line.startswith("#SBATCH") and (option is None or option[1] not in _OF_ARRAY):
            found.append(line)
    return tuple(found)


def arrays_of(
    items: Sequence[SweepItem],
    lines: Sequence[tuple[str, ...]],
    limits: ArrayLimits,
    at_once: int | None,
) -> list[PlannedArray]:
    """The arrays of these runs. `lines`: the common lines of each run. `at_once`: how many runs may run at a time."""
    groups: dict[tuple[int, tuple[str, ...]], list[SweepItem]] = defaultdict(list)
    for item, own in zip(items, lines, strict=True):
        groups[index_of(item) // limits.size, own].append(item)
    arrays = [
        PlannedArray(own, part, block * limits.size)
        for (block, own), group in groups.items()
        for part in _parts(group, limits.tasks)
    ]
    return arrays if at_once is None else _in_stages(arrays, at_once)


def _parts(items: list[SweepItem], most: int) -> Iterator[list[SweepItem]]:
    for first in range(0, len(items), most):
        yield items[first : first + most]


def _in_stages(arrays: list[PlannedArray], at_once: int) -> list[PlannedArray]:
    """The arrays in stages, so that never more than `at_once` runs run.

    `%N` limits one array only. Small arrays share a stage; a large one has a stage of its own and its `%N`.
    """
    staged: list[PlannedArray] = []
    stage, size = 0, 0
    for array in arrays:
        if size and size + len(array.items) > at_once:
            stage, size = stage + 1, 0
        size += len(array.items)
        staged.append(PlannedArray(array.lines, array.items, array.base, stage))
    return staged
