"""Writes what runs are made of into their directories, before their jobs are submitted. Never stops a submission."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.made_of.code_files import copies
from prl_submit.made_of.contents import CodeRecord, DataRecord, LeftOut
from prl_submit.made_of.data_files import DataReader, is_data
from prl_submit.made_of.masking import credentials_of
from prl_submit.made_of.working_tree import WorkingTree, read_working_tree
from prl_submit.planning.plan import Plan
from prl_submit.runs.layout import (
    CODE_RECORD,
    DATA_RECORD,
    DIFFERENCE,
    MADE_OF,
    made_of_restart,
)
from prl_submit.system.files import write_inside
from prl_submit.system.reading import read_record
from prl_submit.system.shell import Shell

#: So many files that were left out are listed.
_LISTED = 200
_LARGEST = 16 << 20


class _Written(Struct, frozen=True):
    """The content of `made_of`, and the first folder into which it was written."""

    contents: dict[str, bytes]
    folder: Path


def record_made_of(
    runs: Sequence[tuple[Path, Plan]],
    shell: Shell,
    environ: Mapping[str, str],
    *,
    restarts: int = 0,
) -> list[str]:
    """Write the folder `made_of` of runs that are submitted together. Returns what could not be done, in words.

    Runs that are made of the same share its files by hard links. `restarts`: the number of the attempt; for a
    resumed run the folder `restart-N` is made in `made_of` if something has changed.
    """
    reader = _Reader(shell, environ)
    written: dict[bytes, _Written] = {}
    try:
        for run, plan in runs:
            key = _key(plan)
            known = written.get(key)
            contents = known.contents if known else reader.contents(plan)
            if restarts and _is_unchanged(run, contents):
                continue
            folder = made_of_restart(restarts)
            _write(run, folder, contents, known.folder if known else None)
            written.setdefault(key, _Written(contents, run / folder))
    except Exception as error:  # a job starts whether or not its code could be kept
        what = error.strerror if isinstance(error, OSError) else repr(error)
        return [f"what the run is made of was not kept in {MADE_OF}/: {what}"]
    return []


def _key(plan: Plan) -> bytes:
    """What the content of `made_of` depends on. Plans with the same key are made of the same."""
    values = [
        value
        for name, *group in plan.arguments
        for value in group
        if is_data(name) or (_may_be_file(value) and not value.startswith(plan.run_dir))
    ]
    return msgspec.json.encode(
        [plan.workdir, plan.output_root, plan.paths, plan.environment.secrets, values]
    )


def _may_be_file(value: str) -> bool:
    """True if an argument's value can be the name of a file; numbers and words without `/` or `.` are not."""
    return "/" in value or not value.replace(".", "").replace("e-", "").isalnum()


class _Reader:
    """Reads code and data of plans. What several plans share is read once."""

    def __init__(self, shell: Shell, environ: Mapping[str, str]) -> None:
        self._shell = shell
        self._environ = environ
        self._data = DataReader()
        self._trees: dict[tuple[str, ...], WorkingTree] = {}

    def contents(self, plan: Plan) -> dict[str, bytes]:
        """The files of `made_of` by their names."""
        if not os.path.isdir(plan.workdir):
            return _code(plan, WorkingTree(fault="the working directory is not on this machine"))
        values = credentials_of(self._environ, plan.environment.secrets)
        key = (plan.workdir, plan.output_root, *values)
        if key not in self._trees:
            self._trees[key] = read_working_tree(
                plan.workdir, self._shell, self._environ, values, plan.output_root
            )
        data = DataRecord(self._data.items(plan))
        return {**_code(plan, self._trees[key], values), DATA_RECORD: _encoded(data)}


def _code(plan: Plan, tree: WorkingTree, values: Sequence[str] = ()) -> dict[str, bytes]:
    """code.json, and the files that it is about."""
    files, contents = copies(plan, values)
    if tree.text:
        contents[DIFFERENCE] = tree.text.encode("utf-8", "replace")
    record = CodeRecord(
        workdir=plan.workdir,
        repository=tree.root,
        commit=tree.commit,
        diff=DIFFERENCE if tree.text else None,
        fault=tree.fault,
        masked=tree.masked,
        left_out=[_printable(item) for item in tree.left_out[:_LISTED]],
        more_left_out=max(0, len(tree.left_out) - _LISTED),
        files=files,
    )
    return {**contents, CODE_RECORD: _encoded(record)}


def _printable(item: LeftOut) -> LeftOut:
    """The same with a name that is UTF-8."""
    return LeftOut(item.path.encode("utf-8", "replace").decode("utf-8"), item.why)


def _encoded(record: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _write(run: Path, folder: str, contents: Mapping[str, bytes], same: Path | None) -> None:
    """Write the files, or link them to those of another run with the same content. Raises OSError."""
    _make_folders(run, folder)
    for name, content in contents.items():
        if same is None or not _linked(same / name, run / folder / name):
            write_inside(run, f"{folder}/{name}", content, durable=False)


def _make_folders(run: Path, name: str) -> None:
    """Make a folder of a run directory and those above it. Raises OSError, also where one is a symbolic link."""
    place = run
    for part in name.split("/"):
        place /= part
        try:
            place.mkdir()
        except FileExistsError:
            if place.is_symlink():
                what = "is a symbolic link, through which nothing is written"
                raise OSError(None, what, str(place)) from None


def _linked(old: Path, new: Path) -> bool:
    """True if the new file is now the same as the old one. Not every file system has hard links."""
    try:
        os.link(old, new)
    except OSError:
        return False
    return True


def _is_unchanged(run: Path, contents: Mapping[str, bytes]) -> bool:
    """True if the newest record of a run has this content."""
    from prl_submit.made_of.recorded import newest_record

    folder = newest_record(run)
    if folder is None:
        return False
    try:
        return all(
            read_record(folder / name, _LARGEST) == content for name, content in contents.items()
        )
    except OSError:
        return False
