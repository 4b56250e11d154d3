"""The plan of a job: the data that `render`, `submit` and the backends work with. Every value is decided.

Pure: no clock, no environment, no disk. Until `with_run_dir` is called, the run directory has a
placeholder's name. So `render` prints the text that `submit` sends, except for that name.
"""

from __future__ import annotations

import os.path
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.nodes import Node
from prl_submit.spec.sections import (
    Environment,
    JobSpec,
    Kubernetes,
    Local,
    Platform,
    Resources,
    Restarts,
    Slurm,
)
from prl_submit.spec.traits import Traits, traits_of

RUN_PLACEHOLDER = "vNN-YYYYMMDD-HHMMSS"
#: The module of ms-swift that torchrun runs.
ENTRY_POINT = "swift.cli.rlhf"


class Resolved(Struct, frozen=True):
    """One value and its source. `source`: its layer. `detail`: the file and line, or the variable."""

    key: str
    value: Any
    source: str
    detail: str | None


class NodePath(Struct, frozen=True):
    """A path that must exist on the node. `kind`: model, dataset, plugin, …. `key`: the spec's key that names it."""

    kind: str
    key: str
    path: str


class AfterRun(Struct, frozen=True):
    """A run that must succeed before a job starts: its directory, and the id of its job."""

    run: str
    job_id: str | None


class Plan(Struct, frozen=True):
    """A job whose every value is decided. Paths are absolute.

    `arguments`: ms-swift's words of the command line, one list for each argument. `uid`, `gid`: the owner of
    the files that a pod writes. `unstated`: the keys of `resources` that only the node's variables will tell;
    until then `resources` has their defaults. `batch`: the numbers from which launch.sh then checks the batches.
    `shares_gpus`: the waiting queue gives the job some of the GPUs of this machine when it starts the job.
    `after`: the runs that must succeed before this one starts; `after_jobs`: the ids of all their jobs, if
    the job's scheduler itself waits for them, else none.
    """

    name: str
    backend: str
    spec_file: str
    workdir: str
    output_root: str
    run_dir: str
    environment: Environment
    exports: dict[str, str]
    resources: Resources
    restarts: Restarts
    slurm: Slurm
    kubernetes: Kubernetes
    local: Local
    arguments: list[list[str]]
    paths: list[NodePath]
    uid: int = 1000
    gid: int = 1000
    platform: Platform = Platform()
    unstated: list[str] = []
    batch: list[str] = []
    shares_gpus: bool = False
    after: list[AfterRun] = []
    after_jobs: list[str] = []

    @property
    def traits(self) -> Traits:
        """The backend's traits. Raises PrlSubmitError for a backend that this version does not have."""
        return traits_of(self.backend)

    @property
    def output_mount(self) -> str | None:
        """The path of the output root in the job's pods; None if it is the same as on this machine."""
        return output_mount(self, self.backend)

    @property
    def world_size(self) -> int:
        """The number of processes on all nodes together. Not known while `unstated` is not empty."""
        return self.resources.nodes * self.resources.nproc_per_node

    @property
    def needs_queue(self) -> bool:
        """True if the job waits for other runs, and its scheduler cannot wait for them."""
        return bool(self.after) and not self.after_jobs

    @property
    def torchrun(self) -> list[str]:
        """The words of torchrun and its options. launch.sh adds what only the node knows.

        With several nodes these are the node's rank and the master's address, and always what is `unstated`.
        """
        if self.unstated:
            return ["torchrun"]
        count = f"--nproc_per_node={self.resources.nproc_per_node}"
        if self.resources.nodes == 1:
            return ["torchrun", "--nnodes=1", "--standalone", "--local-addr=localhost", count]
        return ["torchrun", f"--nnodes={self.resources.nodes}", count]

    @property
    def argv(self) -> list[str]:
        """The words of the command that each node runs."""
        flat = [text for group in self.arguments for text in group]
        return [*self.torchrun, "-m", ENTRY_POINT, *flat]


class Context(Struct, frozen=True):
    """What planning must know of the user: the working directory, home, and the owner of a pod's files."""

    cwd: str
    home: str
    uid: int = 1000
    gid: int = 1000


class Planned(Struct, frozen=True):
    """A plan, its problems, and the data from which it was made.

    `tree`: all layers in one, from which spec.yaml is written. `job`: what the rules examine. `values`: every
    value with its source, for `explain` and plan.json. `argument_table`: in words, where the names and types
    of ms-swift's arguments come from.
    """

    plan: Plan
    problems: list[Problem]
    tree: Node
    job: Job
    values: list[Resolved]
    argument_table: str


def output_mount(sections: JobSpec | Plan, backend: str) -> str | None:
    """`output_mount` in the backend's own section; None if the section has no such key."""
    section = getattr(sections, backend, None)
    mount: str | None = getattr(section, "output_mount", None)
    return mount


def with_run_dir(plan: Plan, run_dir: str) -> Plan:
    """The plan for a run directory. `run_dir`: its path on this machine.

    ms-swift writes into that very directory (output_dir, with add_version false). If
    `kubernetes.output_mount` is set, pods have the run directory below that path.
    """
    if plan.output_mount:
        run_dir = os.path.join(plan.output_mount, os.path.basename(run_dir))
    own = [["--output_dir", run_dir], ["--add_version", "false"]]
    names = [group[0] for group in own]
    arguments = [group for group in plan.arguments if group[0] not in names]
    return msgspec.structs.replace(plan, run_dir=run_dir, arguments=arguments + own)


def resume_from(plan: Plan, checkpoint: str) -> Plan:
    """The plan of a training that continues from `checkpoint`, an absolute path."""
    kept = [g for g in plan.arguments if g[0].partition("=")[0] != "--resume_from_checkpoint"]
    return msgspec.structs.replace(
        plan, arguments=[*kept, ["--resume_from_checkpoint", checkpoint]]
    )


def grouped(words: list[str]) -> list[list[str]]:
    """ms-swift's words in one list for each argument, as in `Plan.arguments`.

    A word that begins with two dashes is an argument's name. A value never begins so: `swift.values.words`
    writes such a value as `--name=--value`, and refuses it in a list.
    """
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups
