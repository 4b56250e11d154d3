"""The jobs that Slurm listed, found by the id or the record of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from prl_submit.backends.slurm.array_ids import JobIds, parse_ids, task_id
from prl_submit.backends.slurm.job_listing import ListedJob
from prl_submit.runs.record import ArrayTask, Record

#: A row with its place in the list.
_Row = tuple[int, ListedJob]


class JobTable:
    """Rows of squeue or sacct. All methods return rows in their order, the newest last."""

    def __init__(self, jobs: Sequence[ListedJob]) -> None:
        self.jobs = jobs
        self._by_id: dict[str, list[_Row]] = defaultdict(list)
        #: Rows of several tasks, by their array; rows of one task, by its number.
        self._several: dict[str, list[_Row]] = defaultdict(list)
        self._tasks: dict[int, list[_Row]] = defaultdict(list)
        for row in enumerate(jobs):
            job = row[1]
            if job.ids is not None and job.ids.tasks:
                self._several[job.ids.job].append(row)
                continue
            for job_id in dict.fromkeys((job.job_id, job.raw_id or job.job_id)):
                self._by_id[job_id].append(row)
            if job.task is not None:
                self._tasks[job.task].append(row)

    def with_id(self, job_id: str | None) -> list[ListedJob]:
        """The rows with that id of a job or of a task. sacct has a row for each start of a requeued job."""
        ids = parse_ids(job_id or "")
        if ids is None:
            return []
        rows = list(self._by_id.get(job_id or "", ()))
        several = self._several.get(ids.job, [])
        # Without a task it is a job's id, which an array may have got since.
        rows += several if ids.task is None else _with_task(several, ids.task)
        return _in_order(rows)

    def candidates(self, record: Record) -> Sequence[ListedJob]:
        """The rows that may be the run's job: those with its id, or all that may have its token."""
        if record.job_id is not None:
            return self.with_id(record.job_id)
        if not isinstance(record.place, ArrayTask):
            return self.jobs
        task = record.place.task
        several = [row for rows in self._several.values() for row in rows]
        return _in_order([*_with_task(several, task), *self._tasks.get(task, ())])


def _in_order(rows: list[_Row]) -> list[ListedJob]:
    return [job for _, job in sorted(rows, key=lambda row: row[0])]


def _with_task(several: Iterable[_Row], task: int) -> list[_Row]:
    """The rows of several tasks which hold this task, as if they were rows of this task alone."""
    return [
        (place, _of_task(job, job.ids, task))
        for place, job in several
        if job.ids is not None and job.ids.has(task)
    ]


def _of_task(job: ListedJob, ids: JobIds, task: int) -> ListedJob:
    one = JobIds(ids.job, task, most=ids.most)
    return msgspec.structs.replace(job, job_id=task_id(ids.job, task), ids=one, raw_id=None)
