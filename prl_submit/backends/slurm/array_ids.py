"""Ids of jobs and of the tasks of job arrays, as Slurm's commands print them and take them.

`4711` is a job, or a whole array. `4711_3` is task 3 of array 4711. Tasks that have never started are one row:
`4711_[1-999:2%4]` are the tasks 1, 3, 5, …, 999, of which 4 may run at a time.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

_ID = re.compile(
    r"(?P<job>[0-9]+)(?:_(?:(?P<task>[0-9]+)|\[(?P<tasks>[^%\]]*)(?:%(?P<most>[0-9]+))?\]))?"
)
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+)(?::([1-9][0-9]*))?)?")
#: More than the tasks of any array (MaxArraySize is at most 4,000,001).
_LAST = 10_000_000


class JobIds(Struct, frozen=True):
    """What one printed id names. `job`: the job or the array; `task`: the one task.

    `tasks`: several tasks that have not started. `most`: how many of the array may run at a time, if told.
    """

    job: str
    task: int | None = None
    tasks: tuple[range, ...] = ()
    most: int | None = None

    def has(self, task: int) -> bool:
        """True if it is one of the several tasks."""
        return any(task in numbers for numbers in self.tasks)


def parse_ids(text: str) -> JobIds | None:
    """What the text names; None if it is not such an id."""
    found = _ID.fullmatch(text) if text.isascii() else None
    if found is None:
        return None
    task, most = found["task"], found["most"]
    tasks = _ranges(found["tasks"]) if found["tasks"] is not None else ()
    if tasks is None:
        return None
    return JobIds(found["job"], _int(task), tasks, _int(most))


def _int(text: str | None) -> int | None:
    return None if text is None else int(text)


def _ranges(text: str) -> tuple[range, ...] | None:
    """The task numbers in `1,3,5-7,9-99:3`; None if the text is none.

    Slurm ends a long list with `...` unless SLURM_BITSTR_LEN is 0. A task of which nothing is known is better
    shown as waiting than as lost, so such a list goes on without end.
    """
    parts = text.split(",")
    cut = text.endswith("...")
    parts = parts[:-1] if cut else parts  # the last number may be cut too
    found = [_RANGE.fullmatch(part) for part in parts]
    ranges = [
        range(int(match[1]), int(match[2] or match[1]) + 1, int(match[3] or 1))
        for match in found
        if match is not None
    ]
    if len(ranges) != len(parts):
        return None
    if cut:
        ranges.append(range(ranges[-1].stop if ranges else 0, _LAST))
    return tuple(ranges)


def task_id(array: str, task: int) -> str:
    """The id of one task."""
    return f"{array}_{task}"


def array_of(job_id: str) -> str:
    """The array of a task's id; the id itself if it is a job's."""
    return job_id.partition("_")[0]


def is_job_id(text: str) -> bool:
    """True for the id of one job or of one task."""
    return re.fullmatch(r"[0-9]+(?:_[0-9]+)?", text) is not None and text.isascii()


def in_few_words(job_ids: Iterable[str]) -> list[str]:
    """The ids as few words for one scancel: `4711_3`, `4711_4`, `4712` become `4711_[3-4]` and `4712`."""
    tasks: dict[str, list[int]] = defaultdict(list)
    for job_id in job_ids:
        array, _, task = job_id.partition("_")
        tasks[array] += [int(task)] if task else []
    return [
        f"{array}_[{numbers_in_words(numbers)}]" if numbers else array
        for array, numbers in tasks.items()
    ]


def numbers_in_words(numbers: Iterable[int]) -> str:
    """Task numbers as `sbatch --array` takes them: `1-3,7`."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] + 1 == number:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)
