"""Whether a run directory was moved or copied since its job started, and whether it is another user's.

run.json names the directory that it was written for (path and inode). A directory that was renamed
keeps its inode, so it is the same run and lies where it is now. A copy has another inode, and where
the original is still in its place the job is the original's.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.errors import PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.runs.directory import Run, read_run
from prl_submit.runs.layout import PLAN, RECORD
from prl_submit.runs.record import Directory, Record, write_record
from prl_submit.spec.traits import find_traits
from prl_submit.system.owners import owner_of, user_name

#: The run lies where it was started.
HOME = "home"
#: It was renamed: the very directory, elsewhere.
MOVED = "moved"
#: The directory it was started in is still there: the job is that one's.
COPY = "copy"
#: A copy whose original is gone, or not to be seen from here: `mv` to another file system is that too.
BROUGHT = "brought"


class Belonging(Struct, frozen=True):
    """`kind`: HOME, MOVED, COPY or BROUGHT; `origin`: the directory it was started in."""

    kind: str
    origin: str

    @property
    def has_job(self) -> bool:
        """Whether the job that run.json names is this directory's."""
        return self.kind in (HOME, MOVED)

    @property
    def words(self) -> str | None:
        """In words, why the job is not the one of this directory; None where it is."""
        if self.kind == COPY:
            return f"a copy of {self.origin}, to which the job belongs"
        if self.kind == BROUGHT:
            return f"brought here from {self.origin}, which is not there any more"
        return None


def belonging(run: Run) -> Belonging:
    """Where a run belongs."""
    record = run.require_record()
    born = record.directory or _planned_directory(run.path)
    if born is None or born.path == str(run.path):
        return Belonging(HOME, str(run.path))
    here, there = _identity(run.path), _identity(Path(born.path))
    if here is None or here == there:  # another name of it: a link, a mount
        return Belonging(HOME, born.path)
    is_same = here[1] == born.inode
    if there is not None and _was_started_there(Path(born.path), record):
        # Both may have its number, where they are on two file systems.
        kind = MOVED if is_same and there[1] != born.inode else COPY
    else:
        kind = MOVED if is_same else BROUGHT
    return Belonging(kind, born.path)


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are of one directory."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _was_started_there(origin: Path, record: Record) -> bool:
    """Whether the run of that directory is the one of this record, or a later attempt of it."""
    there = read_run(origin)
    if there is None:
        return False
    if there.record is None:  # it cannot be read: nobody may say that it is another
        return True
    born = (there.record.directory, record.directory)
    return there.record.token == record.token or (None not in born and born[0] == born[1])


def _planned_directory(run: Path) -> Directory | None:
    """The directory of the run according to plan.json, for records that do not name it. `run_dir` is a path in the pods."""
    from prl_submit.runs.plan_file import find_plan

    plan = find_plan(run)
    if plan is None or not plan.run_dir:
        return None
    return Directory(os.path.join(plan.output_root, os.path.basename(plan.run_dir)), -1)


def stranger(run: Path) -> int | None:
    """The uid of the user who owns the run, where that is neither this user nor root; else None."""
    me, owner = os.geteuid(), owner_of(run)
    if owner is not None and owner != me and not _was_given_to_pods(run, me, owner):
        return owner
    for name in (RECORD, PLAN):
        writer = _writer(run / name)
        if writer not in (None, me, 0):
            return writer
    return None


def _was_given_to_pods(run: Path, me: int, owner: int) -> bool:
    """True if root submitted the run, gave its folder to the user of the pods, and kept run.json and plan.json."""
    if me != 0 or any(_writer(run / name) != 0 for name in (RECORD, PLAN)):
        return False
    from prl_submit.runs.plan_file import find_plan

    plan = find_plan(run)
    traits = find_traits(plan.backend) if plan is not None else None
    return plan is not None and traits is not None and traits.in_pods and plan.uid == owner


def _writer(file: Path) -> int | None:
    try:
        found = os.lstat(file)
    except OSError:
        return None
    return found.st_uid


def record_job_id(run: Run, record: Record, job_id: str) -> Record:
    """Set the record's job id; update run.json if it differs and the run is ours."""
    record = msgspec.structs.replace(record, job_id=job_id)
    if record != run.record and stranger(run.path) is None:
        with contextlib.suppress(OSError):  # a full disk: the job's token finds it again
            write_record(run.path, record)
    return record


def refuse_strangers(run: Run, what_happens: str | None) -> None:
    """Raises PrlSubmitError where the run is another user's. `what_happens`: with --force-owner."""
    uid = stranger(run.path)
    if uid is not None:
        raise PrlSubmitError(
            f"{run.name} is {user_name(uid)}'s, and you are {user_name(os.geteuid())}",
            f"--force-owner {what_happens}" if what_happens else None,
        )


def refuse_copies(run: Run, order: str) -> None:
    """Raises PrlSubmitError where the job is another directory's. `order`: what is asked for."""
    if run.record is None:
        return
    where = belonging(run)
    if where.kind == COPY:
        raise PrlSubmitError(
            f"{run.path} is a copy of {where.origin}, to which the job belongs; nothing was done",
            f"prl-submit {order} {bash(where.origin)}",
        )
    if where.kind == BROUGHT and order != "resume":
        raise PrlSubmitError(
            f"{run.path} was {where.words}; a job that still runs is not this directory's; "
            "nothing was done"
        )
