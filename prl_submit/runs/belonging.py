"""Decide whether a run directory was moved or copied since its job started, and whether another user owns it.

run.json has the path and inode of the directory in which it was written. A renamed directory keeps its
inode, so it is the same run at another place. A copy has another inode; the job then belongs to the
original directory, if that still exists.
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
from prl_submit.runs.layout import LAUNCH, LIBRARY, PLAN, RECORD
from prl_submit.runs.record import Directory, Record, write_record
from prl_submit.spec.traits import find_traits
from prl_submit.system.owners import owner_of, user_name

#: The directory is where it was when the job started.
HOME = "home"
#: The directory was renamed or moved.
MOVED = "moved"
#: The directory is a copy, and the original still exists, so the job belongs to the original.
COPY = "copy"
#: The directory has another inode, and the original is gone or cannot be seen from here. `mv` to another file
#: system looks like this too.
BROUGHT = "brought"


class Belonging(Struct, frozen=True):
    """`kind`: HOME, MOVED, COPY or BROUGHT. `origin`: the directory in which the job was started."""

    kind: str
    origin: str

    @property
    def has_job(self) -> bool:
        """True if the job that run.json names belongs to this directory."""
        return self.kind in (HOME, MOVED)

    @property
    def words(self) -> str | None:
        """Why the job does not belong to this directory, in words; None if it does."""
        if self.kind == COPY:
            return f"a copy of {self.origin}, to which the job belongs"
        if self.kind == BROUGHT:
            return f"brought here from {self.origin}, which is not there any more"
        return None


def belonging(run: Run) -> Belonging:
    """Whether a run directory is at its place, moved, or a copy."""
    record = run.require_record()
    born = record.directory or _planned_directory(run.path)
    if born is None or born.path == str(run.path):
        return Belonging(HOME, str(run.path))
    here, there = _identity(run.path), _identity(Path(born.path))
    if here is None or here == there:  # the path has another name: a link or a mount
        return Belonging(HOME, born.path)
    is_same = here[1] == born.inode
    if there is not None and _was_started_there(Path(born.path), record):
        # Two directories on two file systems may have the same inode number.
        kind = MOVED if is_same and there[1] != born.inode else COPY
    else:
        kind = MOVED if is_same else BROUGHT
    return Belonging(kind, born.path)


def is_same(one: Path, other: Path) -> bool:
    """True if two paths lead to one directory."""
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
    """True if that directory has this record's run, perhaps at a later attempt."""
    there = read_run(origin)
    if there is None:
        return False
    if there.record is None:  # it cannot be read, so nothing proves that it is another run
        return True
    born = (there.record.directory, record.directory)
    return there.record.token == record.token or (None not in born and born[0] == born[1])


def _planned_directory(run: Path) -> Directory | None:
    """The run directory by plan.json, for records of older versions. Not `plan.run_dir`: pods may have another path."""
    from prl_submit.runs.plan_file import find_plan

    plan = find_plan(run)
    if plan is None or not plan.run_dir:
        return None
    return Directory(os.path.join(plan.output_root, os.path.basename(plan.run_dir)), -1)


def stranger(run: Path, me: int | None = None) -> int | None:
    """The uid of another user to whom the run belongs; None if it is this user's run.

    Either the folder is another user's, or run.json, plan.json or a script was written by another user who is
    not root. `me`: the uid that owns what we write, if that is not our own; see `owner_of_new_files`.
    """
    me, owner = os.geteuid() if me is None else me, owner_of(run)
    if owner is not None and owner != me and not _was_given_to_pods(run, me, owner):
        return owner
    for name in (RECORD, PLAN, LAUNCH, LIBRARY):
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
        with contextlib.suppress(
            OSError
        ):  # if the disk is full, the next command finds the job by its token
            write_record(run.path, record)
    return record


def refuse_strangers(run: Run, what_happens: str | None) -> None:
    """Raise PrlSubmitError if another user owns the run. `what_happens`: what --force-owner would do."""
    uid = stranger(run.path)
    if uid is not None:
        raise PrlSubmitError(
            f"{run.name} is {user_name(uid)}'s, and you are {user_name(os.geteuid())}",
            f"--force-owner {what_happens}" if what_happens else None,
        )


def refuse_copies(run: Run, order: str) -> None:
    """Raise PrlSubmitError if the job belongs to another directory. `order`: the user's command."""
    if run.record is None:
        return
    where = belonging(run)
    if where.kind == COPY:
        raise PrlSubmitError(
            f"{run.path} is a copy of {where.origin}, to which the job belongs; nothing was done",
            f"prl-submit {order} {bash(where.origin)}",
        )
    if where.kind == BROUGHT and order != "resume":
        done = "collected" if order == "collect" else "cancelled"
        raise PrlSubmitError(
            f"{run.path}: This run was copied from {where.origin}, and {where.origin} is gone. If its job "
            f"still runs, prl-submit cannot prove that it belongs to this copy, so nothing was {done}."
        )
