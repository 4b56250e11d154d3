"""run.json: which job a run has, and where that job is.

The file has one flat object. Users may read it, so its keys are never renamed or removed. In the code the
place of a job is one of the classes of `Place`, because a job has a process or a cluster, never both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from prl_submit.runs.layout import RECORD
from prl_submit.system.files import write_in_each, write_inside
from prl_submit.system.reading import decode_json

#: A valid token. It fits into a file's name, a comment of Slurm and a label of Kubernetes.
_TOKEN = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"


class LocalProcess(Struct, frozen=True):
    """A process of one machine, described so that a later process with the same pid is not taken for it.

    `started`: clock ticks after boot (proc(5), stat field 22); `boot`: the kernel's boot id;
    `namespace`: the pid namespace, because containers of one machine share a kernel but no pids.
    """

    pid: int
    started: int
    boot: str
    host: str
    namespace: str | None = None


class KubernetesJob(Struct, frozen=True):
    """An object in a Kubernetes cluster: the kubeconfig's context, the namespace, the API server's URL.

    `queue`: the queue of Kueue in which the job waits to be admitted; None if there is none.
    """

    context: str | None = None
    namespace: str | None = None
    server: str | None = None
    queue: str | None = None


class PlatformJob(Struct, frozen=True):
    """A job that a platform starts: the user pasted a command there, and the platform runs it on each node.

    `job`: the platform's id of the job; None if the platform tells none. `key`: what the nodes found this run
    by, if the command that was pasted was `prl-submit` itself; None for a run that was prepared. `silence`:
    platform.silence of the plan, in seconds.
    """

    job: str | None = None
    key: str | None = None
    silence: Annotated[int, Meta(ge=1)] = 180


class ScheduledJob(Struct, frozen=True):
    """A job that the scheduler finds by its id or its token, as Slurm does."""


class ArrayTask(Struct, frozen=True, kw_only=True):
    """A task of a job array of Slurm, which has the runs of a sweep as its tasks.

    `token`: the array's, in its comment; `task`: the number of the task. `at_once`: how many runs of the sweep
    may run at a time; None: as many as there is room for. `follows`: the array waits for another array of the
    sweep, so that not more than `at_once` run.
    """

    token: str
    task: Annotated[int, Meta(ge=0)]
    at_once: Annotated[int, Meta(ge=1)] | None = None
    follows: bool = False


Place = LocalProcess | KubernetesJob | PlatformJob | ScheduledJob | ArrayTask


class Directory(Struct, frozen=True):
    """The directory in which an attempt was started: its path at that time, and its inode.

    `mv` within a file system keeps the inode, `cp` does not. The device number is left out, because one file
    system has different numbers on different machines (NFS), and after a restart.
    """

    path: str
    inode: int


class Limits(Struct, frozen=True):
    """The plan's numbers that `status` needs. The defaults are those of a job spec.

    `grace`: seconds from the warning signal to the kill. `max_restarts`: how often the scheduler may restart
    the job.
    """

    nodes: Annotated[int, Meta(ge=1)] = 1
    grace: Annotated[int, Meta(ge=0)] = 120
    max_restarts: Annotated[int, Meta(ge=0)] = 0


class SweptRun(Struct, frozen=True, kw_only=True):
    """Which run of which sweep this is.

    `name`, `id`: of the sweep. `folder`: the name of its folder in `sweeps/` of the output root. `index`:
    counted from 1. `values`: the values that this run has and other runs of the sweep have not, by key.
    """

    name: str
    id: str
    folder: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,99}$")]
    index: Annotated[int, Meta(ge=1)]
    values: dict[str, Any] = {}


class Predecessor(Struct, frozen=True, kw_only=True):
    """A run that must succeed before this one starts. `run`: its directory; `job_id`: its job at that time."""

    run: str
    job_id: str | None = None


def directory_of(run: Path) -> Directory:
    """The present path and inode of a directory. Raises OSError."""
    return Directory(str(run), os.stat(run).st_ino)


class _Common(Struct, frozen=True, kw_only=True):
    """The fields that `Record` and run.json share."""

    name: str
    backend: str
    job_id: str | None
    submitted_at: str
    token: str
    restarts: int = 0
    directory: Directory | None = None
    resumed_at: list[str] = []
    #: When the first attempt began, as far as `resume` knew; None before the first `resume`.
    started_at: str | None = None
    #: The directory of the run whose spec `rerun` took.
    rerun_of: str | None = None
    #: The sweep of which this run is a part; None for a run of its own.
    sweep: SweptRun | None = None
    #: The runs after which this one starts.
    after: list[Predecessor] = []
    #: True while nobody has given the run to its backend. The order itself writes the record with false first.
    is_waiting: bool = False
    #: When the waiting queue gave the present attempt to its backend; None if the attempt did not wait.
    released_at: str | None = None


class Record(_Common, frozen=True, kw_only=True):
    """A run's job. Times are ISO 8601 with zone. `restarts`: how many attempts were before this one.

    `submitted_at`: when the run was first submitted; `resumed_at`: when each `resume` submitted it again.
    `directory`, `limits`: None in the records of older versions.
    """

    place: Place = ScheduledJob()
    limits: Limits | None = None

    @property
    def ordered_at(self) -> str:
        """When the present attempt was given to its backend: by `submit`, the last `resume`, or the queue."""
        return self.released_at or (self.resumed_at[-1] if self.resumed_at else self.submitted_at)

    @property
    def is_in_doubt(self) -> bool:
        """True if the job was ordered, and no scheduler has given it an id yet: so nobody knows whether it exists.

        Jobs whose command the user pastes into a platform need no id, and a run that waits has no job.
        """
        is_prepared = isinstance(self.place, PlatformJob)
        return self.job_id is None and not is_prepared and not self.is_waiting


class _RecordFile(_Common, frozen=True, kw_only=True):
    """run.json as it is written: one flat object with the keys of all places. Keys that do not apply are null."""

    process: LocalProcess | None = None
    platform: PlatformJob | None = None
    array: ArrayTask | None = None
    context: str | None = None
    namespace: str | None = None
    server: str | None = None
    queue: str | None = None
    nodes: int | None = None
    grace: int | None = None
    max_restarts: int | None = None


def _common(record: _Common) -> dict[str, Any]:
    return {name: getattr(record, name) for name in _Common.__struct_fields__}


def encode_record(record: Record) -> bytes:
    """The bytes of run.json."""
    place = record.place
    process = place if isinstance(place, LocalProcess) else None
    cluster = place if isinstance(place, KubernetesJob) else KubernetesJob()
    platform = place if isinstance(place, PlatformJob) else None
    array = place if isinstance(place, ArrayTask) else None
    keys = {
        "process": process,
        "platform": platform,
        "array": array,
        **msgspec.structs.asdict(cluster),
    }
    if record.limits is not None:
        keys |= msgspec.structs.asdict(record.limits)
    file = _RecordFile(**_common(record), **keys)
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def decode_record(data: bytes) -> Record:
    """The record in run.json. Raises ValueError if prl-submit cannot have written the file."""
    file: _RecordFile = decode_json(data, _RecordFile)
    _validate(file)
    return Record(**_common(file), place=_place(file), limits=_limits(file))


def _place(file: _RecordFile) -> Place:
    if file.process is not None:
        return file.process
    if file.platform is not None:
        return file.platform
    if file.array is not None:
        return file.array
    cluster = KubernetesJob(file.context, file.namespace, file.server, file.queue)
    return ScheduledJob() if cluster == KubernetesJob() else cluster


def _limits(file: _RecordFile) -> Limits | None:
    """The limits; None if a key is missing. Raises ValueError for a number that no plan can have."""
    keys = {name: getattr(file, name) for name in Limits.__struct_fields__}
    return None if None in keys.values() else msgspec.convert(keys, Limits)


def _validate(file: _RecordFile) -> None:
    """Raises ValueError for a token or a time in another form, because other code relies on the form."""
    tokens = [file.token, *([file.array.token] if file.array is not None else [])]
    if not all(re.fullmatch(_TOKEN, token) for token in tokens):
        raise ValueError("its token is none")
    try:
        for text in (file.submitted_at, *file.resumed_at, file.started_at, file.released_at):
            if text is not None:
                datetime.fromisoformat(text).astimezone()
    except OverflowError:
        raise ValueError("one of its times is none") from None


def write_record(path: Path, record: Record) -> None:
    """Write run.json into the run directory `path`. From then on `list` and `status` show the run."""
    write_inside(path, RECORD, encode_record(record))


def write_records(records: Sequence[tuple[Path, Record]]) -> None:
    """`write_record` for many runs, in little time. Raises OSError; then some may be written."""
    write_in_each(RECORD, [(run, encode_record(record)) for run, record in records])
