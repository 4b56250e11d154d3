"""The data of `made_of/code.json` and `made_of/data.json`."""

from __future__ import annotations

from msgspec import Struct


class LeftOut(Struct, frozen=True):
    """A file that was not kept, and why, in words."""

    path: str
    why: str


class CopiedFile(Struct, frozen=True, kw_only=True):
    """A file of the job's code. `key`: the spec's key that names the file, or the file that imports it.

    `copy`: the name of its copy in `made_of`; None if there is none, and then `why` says why. `sha256`: of the
    original. `masked`: in how many places of the copy a credential was left out.
    """

    key: str
    path: str
    copy: str | None = None
    size: int | None = None
    sha256: str | None = None
    masked: int = 0
    why: str | None = None


class CodeRecord(Struct, frozen=True, kw_only=True):
    """code.json. `fault`: why there is no difference of the working tree, in words.

    `repository`: its folder. `diff`: the name of the difference to `commit`; None if nothing differs.
    `masked`: in how many places of the difference a credential was left out. `left_out`: files that differ, or
    that git does not know, and that are not in the difference; `more_left_out`: how many are not listed.
    """

    workdir: str
    repository: str | None = None
    commit: str | None = None
    diff: str | None = None
    fault: str | None = None
    masked: int = 0
    left_out: list[LeftOut] = []
    more_left_out: int = 0
    files: list[CopiedFile] = []


class DataItem(Struct, frozen=True, kw_only=True):
    """A data set of the job. `entry`: as the spec has it.

    `path`: None if it is not on this machine, as a name on a hub. `files`: how many files a folder has.
    `changed_at`: the file's time. `sha256`: of a folder, that of the names and checksums of its files. `why`:
    why something of this is not known, in words.
    """

    key: str
    entry: str
    path: str | None = None
    size: int | None = None
    rows: int | None = None
    files: int | None = None
    changed_at: str | None = None
    sha256: str | None = None
    why: str | None = None


class DataRecord(Struct, frozen=True):
    """data.json."""

    items: list[DataItem]
