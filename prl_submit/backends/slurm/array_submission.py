"""Submit the runs of a sweep as job arrays: one sbatch for all runs that ask for the same.

As with a single run, every run.json is written before sbatch is called. It holds the array's token, which is in
the array's comment and begins with the sweep's id. So if sbatch's answer is lost, the token finds the array.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit import __version__
from prl_submit.backends.base import SweepItem, SweepOrder
from prl_submit.backends.slurm.array_ids import array_of, numbers_in_words, task_id
from prl_submit.backends.slurm.directives import Option, comment, directives, output
from prl_submit.backends.slurm.job_arrays import (
    ArrayLimits,
    PlannedArray,
    arrays_of,
    common_lines,
    parse_limits,
)
from prl_submit.backends.slurm.sbatch_order import sbatch
from prl_submit.backends.slurm.slurm_commands import SlurmCommands
from prl_submit.backends.submit_once import Entry, records_first
from prl_submit.errors import BackendRefusedError, BackendUnreachableError
from prl_submit.launch.render import render
from prl_submit.runs.directory import Run, run_with
from prl_submit.runs.layout import BATCH_SCRIPT, JOB, TASKS_SUFFIX
from prl_submit.runs.record import ArrayTask, Record
from prl_submit.system.files import remove_inside, write_inside
from prl_submit.system.reading import PLAN_BYTES, read_record

_TEMPLATE = "array.sbatch"


class PreparedArray(Struct, frozen=True):
    """An array that is about to be submitted: its script in the sweep's folder, and the token in its comment."""

    planned: PlannedArray
    script: Path
    token: str
    at_once: int | None

    @property
    def tasks(self) -> Path:
        """The folder with a link to the run directory of each task."""
        return self.script.with_suffix(TASKS_SUFFIX)


def plan_arrays(sweep: SweepOrder, limits: ArrayLimits) -> list[PlannedArray]:
    """The arrays of the sweep's runs, in the order of their submission."""
    lines = [common_lines(_batch_script(item.run)) for item in sweep.items]
    return arrays_of(sweep.items, lines, limits, _at_once(sweep))


def _at_once(sweep: SweepOrder) -> int | None:
    """How many runs may run at a time; None if that is no fewer than there are."""
    most = sweep.max_parallel
    return most if most is not None and most < len(sweep.items) else None


def submit_arrays(
    arrays: list[PlannedArray],
    sweep: SweepOrder,
    slurm: SlurmCommands,
    tell: Callable[[str], None],
) -> list[Record]:
    """Submit the arrays one after the other; the records in the order of the sweep's items.

    The arrays of a stage wait for the end of those of the stage before.
    """
    ids: dict[int, list[str]] = {}
    records: dict[Path, Record] = {}
    for planned in arrays:
        prepared = PreparedArray(
            planned, _new_script(sweep.folder), _new_token(sweep), _at_once(sweep)
        )
        try:
            written = _submit(prepared, ids.get(planned.stage - 1, []), sweep, slurm, tell)
        except (BackendRefusedError, BackendUnreachableError):
            _remove_files(prepared)
            raise
        except OSError as error:  # of a record, before sbatch was called
            raise _not_written(error, prepared) from None
        records |= {item.run: record for item, record in zip(planned.items, written, strict=True)}
        submitted = [record.job_id for record in written if record.job_id is not None]
        ids.setdefault(planned.stage, []).extend(map(array_of, submitted[:1]))
    return [records[item.run] for item in sweep.items]


def _not_written(error: OSError, prepared: PreparedArray) -> BackendRefusedError:
    """The error for a file that could not be written."""
    where = error.filename or prepared.tasks
    return BackendRefusedError(f"{where}: {error.strerror}; sbatch was not called")


def array_limits(slurm: SlurmCommands) -> ArrayLimits:
    """The site's limits of job arrays."""
    try:
        answer = slurm.ask(["scontrol", "show", "config"])
    except BackendUnreachableError:
        return ArrayLimits()  # sbatch will say what is wrong
    return parse_limits(answer.out)


def _batch_script(run: Path) -> str:
    return read_record(run / BATCH_SCRIPT, PLAN_BYTES).decode("utf-8", "replace")


def _new_script(folder: Path) -> Path:
    """The first free name of `job.sbatch`, `job2.sbatch`, …: a resume of the sweep makes further arrays."""
    number = 1
    while os.path.lexists(script := folder / _script_name(number)):
        number += 1
    return script


def _script_name(number: int) -> str:
    return BATCH_SCRIPT if number == 1 else f"job{number}.sbatch"


def _new_token(sweep: SweepOrder) -> str:
    return f"{sweep.id}-{os.urandom(4).hex()}"


def _write_files(prepared: PreparedArray, sweep: SweepOrder) -> None:
    """Write the array's script and the links to the run directories."""
    prepared.tasks.mkdir()
    for item in prepared.planned.items:
        (prepared.tasks / str(prepared.planned.task_of(item))).symlink_to(
            os.path.relpath(item.run, prepared.tasks)
        )
    write_inside(
        prepared.script.parent, prepared.script.name, _script(prepared, sweep).encode("utf-8")
    )


def _remove_files(prepared: PreparedArray) -> None:
    """Remove the files of an array that was not submitted."""
    with contextlib.suppress(OSError):
        prepared.script.unlink()
    shutil.rmtree(prepared.tasks, ignore_errors=True)


def _script(prepared: PreparedArray, sweep: SweepOrder) -> str:
    """The text of the array's batch script."""
    count = len(prepared.planned.items)
    variables = {
        "title": f"{sweep.name}: {count} run{'s' if count != 1 else ''}",
        "version": __version__,
        "tasks": str(prepared.tasks),
        "lines": list(prepared.planned.lines),
        "options": [list(option) for option in _options(prepared, sweep)],
    }
    return render(_TEMPLATE, variables)


def _options(prepared: PreparedArray, sweep: SweepOrder) -> list[Option]:
    """The array's own options. The others are those that its runs have in common."""
    planned = prepared.planned
    extra = planned.items[0].plan.slurm.extra
    numbers = numbers_in_words(planned.task_of(item) for item in planned.items)
    most = prepared.at_once
    limit = f"%{most}" if most is not None and most < len(planned.items) else ""
    return [
        ("job-name", sweep.name),
        ("comment", comment(extra.get("comment"), prepared.token)),
        ("output", output(str(prepared.tasks), "/%a")),
        ("array", f"{numbers}{limit}"),
    ]


def _submit(
    prepared: PreparedArray,
    before: list[str],
    sweep: SweepOrder,
    slurm: SlurmCommands,
    tell: Callable[[str], None],
) -> list[Record]:
    """Write the records and the array's files, call sbatch, and put the ids of the tasks into the records."""
    planned = prepared.planned
    follows = bool(before)
    entries = [
        Entry(item.run, _waiting(item), _record(item, prepared, follows=follows))
        for item in planned.items
    ]
    plan = planned.items[0].plan
    users = dict(directives(plan, prepared.token)).get("dependency")
    argv = [*_dependency(before, users), str(prepared.script)]

    def order(taken: Sequence[Entry]) -> str:
        runs = {entry.run for entry in taken}
        items = [item for item in planned.items if item.run in runs]
        now = msgspec.structs.replace(
            prepared, planned=msgspec.structs.replace(planned, items=items)
        )
        try:
            _write_files(now, sweep)
        except OSError as error:
            raise _not_written(error, prepared) from None
        for entry in taken:
            _remove_job(entry)
        return sbatch(argv, plan, (taken[0].run, taken[0].record), slurm, tell)

    return records_first(entries, order, _task_id)


def _waiting(item: SweepItem) -> Run:
    """The run as its run.json is until it is submitted."""
    return run_with(item.run, msgspec.structs.replace(item.record, is_waiting=True))


def _remove_job(entry: Entry) -> None:
    """Remove the id that an earlier job of the run wrote down."""
    with contextlib.suppress(OSError):
        remove_inside(entry.run, JOB)


def _record(item: SweepItem, prepared: PreparedArray, *, follows: bool) -> Record:
    task = ArrayTask(
        token=prepared.token,
        task=prepared.planned.task_of(item),
        at_once=prepared.at_once,
        follows=follows,
    )
    return msgspec.structs.replace(item.record, place=task)


def _task_id(array: str, record: Record) -> str:
    return task_id(array, record.place.task) if isinstance(record.place, ArrayTask) else array


def _dependency(before: list[str], users: str | None) -> list[str]:
    """The option that makes an array wait for the arrays `before` it, and for what its runs wait for anyway.

    The option replaces the `#SBATCH --dependency` of the array's script, whose value is `users`.

    An alternative (`?`) cannot stand beside a condition (`,`). Then the arrays before have waited for it.
    """
    if not before:
        return []
    parts = [users] if users and "?" not in users else []
    return ["--dependency=" + ",".join([*parts, f"afterany:{':'.join(before)}"])]
