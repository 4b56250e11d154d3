"""A job, decided: the data that `render`, `submit` and the backends work with.

Pure data: no clock, no environment, no disk. The run directory has a placeholder's name until
`with_run_dir` is called, so what `render` prints is what is sent, that name aside.
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
    Resources,
    Restarts,
    Slurm,
)
from prl_submit.spec.traits import Traits, traits_of

RUN_PLACEHOLDER = "vNN-YYYYMMDD-HHMMSS"
#: The module of ms-swift that torchrun runs.
ENTRY_POINT = "swift.cli.rlhf"


class Resolved(Struct, frozen=True):
    """One value with where it came from: source is a layer, detail its file and line or variable."""

    key: str
    value: Any
    source: str
    detail: str | None


class NodePath(Struct, frozen=True):
    """A path that must be there on the node. `kind`: model, dataset, plugin, …; `key` names it."""

    kind: str
    key: str
    path: str


class Plan(Struct, frozen=True):
    """A job, decided. Paths are absolute; `arguments` are ms-swift's words, grouped by argument.

    `uid`, `gid`: the owner of the files that a pod writes.
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

    @property
    def traits(self) -> Traits:
        """What is known of the backend. Raises PrlSubmitError for one that this version does not have."""
        return traits_of(self.backend)

    @property
    def output_mount(self) -> str | None:
        """Where the job has the output root, if that is another path than on this machine."""
        return output_mount(self, self.backend)

    @property
    def world_size(self) -> int:
        """Number of processes over all nodes."""
        return self.resources.nodes * self.resources.nproc_per_node

    @property
    def torchrun(self) -> list[str]:
        """The launcher's own words; several nodes get the rest from launch.sh's environment."""
        count = f"--nproc_per_node={self.resources.nproc_per_node}"
        if self.resources.nodes == 1:
            return ["torchrun", "--nnodes=1", "--standalone", "--local-addr=localhost", count]
        return ["torchrun", f"--nnodes={self.resources.nodes}", count]

    @property
    def argv(self) -> list[str]:
        """What the node runs, word by word."""
        flat = [text for group in self.arguments for text in group]
        return [*self.torchrun, "-m", ENTRY_POINT, *flat]


class Context(Struct, frozen=True):
    """What planning must be told about the user who plans: folders, and the owner of a pod's files."""

    cwd: str
    home: str
    uid: int = 1000
    gid: int = 1000


class Planned(Struct, frozen=True):
    """A plan, and everything that is known about how it came about.

    `tree`: all layers in one, from which spec.yaml is written. `job`: what the rules look at.
    `values`: every value with its source, for `explain` and plan.json. `argument_table`: where the
    names and types of ms-swift's arguments are known from, in words.
    """

    plan: Plan
    problems: list[Problem]
    tree: Node
    job: Job
    values: list[Resolved]
    argument_table: str


def output_mount(sections: JobSpec | Plan, backend: str) -> str | None:
    """`output_mount` of the section that is named as the backend, where that section has such a key."""
    section = getattr(sections, backend, None)
    mount: str | None = getattr(section, "output_mount", None)
    return mount


def with_run_dir(plan: Plan, run_dir: str) -> Plan:
    """The plan in its run directory, which becomes ms-swift's output_dir as it is (add_version false).

    `run_dir`: its path on this machine. Pods see it below `kubernetes.output_mount`, where that is set.
    """
    if plan.output_mount:
        run_dir = os.path.join(plan.output_mount, os.path.basename(run_dir))
    own = [["--output_dir", run_dir], ["--add_version", "false"]]
    names = [group[0] for group in own]
    arguments = [group for group in plan.arguments if group[0] not in names]
    return msgspec.structs.replace(plan, run_dir=run_dir, arguments=arguments + own)


def resume_from(plan: Plan, checkpoint: str) -> Plan:
    """The same plan, continuing from `checkpoint` (an absolute path)."""
    kept = [g for g in plan.arguments if g[0].partition("=")[0] != "--resume_from_checkpoint"]
    return msgspec.structs.replace(
        plan, arguments=[*kept, ["--resume_from_checkpoint", checkpoint]]
    )


def grouped(words: list[str]) -> list[list[str]]:
    """ms-swift's words in one list for each argument, as in `Plan.arguments`.

    Only an argument's name begins with two dashes: `swift.values.words` writes a value that begins
    with a dash behind an equals sign, and refuses such texts in lists.
    """
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups
