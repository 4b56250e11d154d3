"""JobSpec -> Plan: everything decided, as frozen data. Alone knows torchrun and `swift rlhf`.

Pure: no clock, no environment, no disk. The run directory is a placeholder until `place` is
called, so that what is rendered before submission is what is sent, its name aside.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.planning.layers import Layered
from prl_submit.rules import CREDENTIALS, check, looks_secret
from prl_submit.rules.ignored import READERS
from prl_submit.rules.job import Job
from prl_submit.spec.nodes import (
    Node,
    Origin,
    leaves,
    lookup,
    mapping,
    merge,
    near_origin,
    nest,
    problem_at,
    scalar_node,
)
from prl_submit.spec.scalars import parse_bool
from prl_submit.spec.sections import (
    Environment,
    JobSpec,
    Kubernetes,
    Local,
    Resources,
    Restarts,
    Slurm,
)
from prl_submit.spec.traits import DEFAULT, Traits, traits_of
from prl_submit.spec.typed import KEYS_HERE, plain, read_spec
from prl_submit.swift.history import is_before, is_same, load_history
from prl_submit.swift.table import Table
from prl_submit.swift.values import (
    IGNORING,
    check_sizes,
    is_true,
    type_arguments,
    word,
    words,
)

RUN_PLACEHOLDER = "vNN-YYYYMMDD-HHMMSS"
NOT_SHOWN = "(not shown)"
VERSION_KEY = "environment.swift_version"
ENTRY_POINT = "swift.cli.rlhf"

#: swift arguments that name files or folders, and what they hold.
PATH_ARGUMENTS = {
    "model": "model",
    "ref_model": "model",
    "teacher_model": "model",
    "reward_model": "model",
    "adapters": "adapter",
    "ref_adapters": "adapter",
    "reward_adapters": "adapter",
    "teacher_adapters": "adapter",
    "dataset": "dataset",
    "val_dataset": "dataset",
    "chord_sft_dataset": "dataset",
    "external_plugins": "plugin",
    "custom_register_path": "plugin",
    "deepspeed": "deepspeed configuration",
    "resume_from_checkpoint": "checkpoint",
    "ckpt_dir": "checkpoint",
    "system": "prompt file",
    "new_special_tokens": "special tokens file",
    "custom_dataset_info": "data set list",
    # ms-swift 4.6.0 utils `json_parse_to_dict`, transformers AcceleratorConfig: JSON, or a file of it.
    "accelerator_config": "JSON file",
    "columns": "JSON file",
    "device_map": "JSON file",
    "gradient_checkpointing_kwargs": "JSON file",
    "lr_scheduler_kwargs": "JSON file",
    "max_memory": "JSON file",
    "model_kwargs": "JSON file",
    "mrl_dims": "JSON file",
    "rope_scaling": "JSON file",
    "vllm_engine_kwargs": "JSON file",
    "vllm_limit_mm_per_prompt": "JSON file",
    "vllm_speculative_config": "JSON file",
}
#: ms-swift 4.6.0 dataset_syntax.py: `PATH:subset1/subset2#ROWS`.
_DATASET_SUFFIX = re.compile(r"(:[^/#][^#]*)?(#[0-9]+)?$")
_DATA_ENDINGS = (".jsonl", ".json", ".csv", ".txt", ".parquet")


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
    """A job, decided. Paths are absolute; `arguments` are ms-swift's words, grouped by argument."""

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
    values: list[Resolved]
    #: Whose files a pod writes: those of who submits.
    uid: int = 1000
    gid: int = 1000
    #: The ms-swift that will run it, where that is known, and where its arguments are known from.
    swift_version: str | None = None
    argument_table: str = ""

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
    """What planning needs to know of the outside: where one types, and who.

    `uid`, `gid`: whose files a pod writes; root's own would be refused by restricted namespaces.
    """

    cwd: str
    home: str
    backend: str | None = None
    uid: int = 1000
    gid: int = 1000


class Planned(Struct, frozen=True):
    """A plan with what is wrong with it, and the tree it was made from (for spec.yaml)."""

    plan: Plan
    problems: list[Problem]
    tree: Node
    #: What rules look at; those on the job's files come later.
    job: Job


def make_plan(layered: Layered, table: Table, spec_file: str, context: Context) -> Planned:
    """Decide everything. Never raises for a wrong spec: all that is wrong is in `problems`."""
    written = layered.tree
    if context.backend:
        flag = Node(context.backend, Origin("flag", label="--backend"))
        written = merge(written, nest(["backend"], flag))
    spec, problems = read_spec(written)
    problems = list(map(_about_swift, problems))
    tree = _fill(written, _defaults(written, spec, table))
    nodes = mapping(tree.value.get("swift")) if isinstance(tree.value, dict) else {}
    swift, wrong = type_arguments(nodes, table)
    backend = spec.backend or DEFAULT
    workdir = _path(spec.workdir, context.cwd, context.home)
    # Where only the pods have the working directory, the run directories are made where one types.
    apart = output_mount(spec, backend) is not None
    output = _path(spec.output, context.cwd if apart else workdir, context.home)
    arguments = [words(name, value) for name, value in swift.items()]
    problems = [*layered.problems, *problems, *wrong, *_other_swift(spec, tree, table)]
    doubtful = _doubtful(problems, nodes, table)
    python = re.search(r"/python(\d+\.\d+)/", table.origin)
    job = Job(
        spec,
        swift,
        tree,
        backend,
        doubtful,
        table.known_version,
        python=python[1] if python else None,
        folders=table.folders,
        source=table.source,
        names=table.names,
    )
    problems = [
        *problems,
        *check(job),
        *check_sizes(arguments, nodes),
    ]
    plan = Plan(
        name=spec.name,
        backend=backend,
        spec_file=spec_file,
        workdir=workdir,
        output_root=output,
        run_dir="",
        environment=_environment(spec, layered.passed_on),
        exports=_exports(spec, layered.passed_on),
        resources=spec.resources,
        restarts=spec.restarts,
        slurm=spec.slurm,
        kubernetes=spec.kubernetes,
        local=spec.local,
        arguments=arguments,
        paths=_paths(swift, workdir, context.home),
        values=_resolved(tree, spec, swift, layered.passed_on, table),
        uid=context.uid,
        gid=context.gid,
        swift_version=table.known_version,
        argument_table=table.origin,
    )
    return Planned(with_run_dir(plan, os.path.join(output, RUN_PLACEHOLDER)), problems, tree, job)


def _about_swift(problem: Problem) -> Problem:
    """The problem; if it is an unknown key that is an argument of ms-swift, with the place for those."""
    if problem.key is None or not (problem.hint or "").startswith(KEYS_HERE):
        return problem
    from prl_submit.spec import meanings  # imported only when there is a mistake to report

    key = problem.key.rpartition(".")[2]
    names = [key, *meanings.ARGUMENTS.get(key, ())]
    known = [name for name in names if load_history().years(name) is not None]
    if not known:
        return problem
    hint = f"an argument of ms-swift stands under `swift:`, as swift.{known[0]}"
    return msgspec.structs.replace(problem, hint=hint)


def output_mount(sections: JobSpec | Plan, backend: str) -> str | None:
    """`output_mount` of the section that is named as the backend, where that section has such a key."""
    section = getattr(sections, backend, None)
    mount: str | None = getattr(section, "output_mount", None)
    return mount


def _other_swift(spec: JobSpec, tree: Node, table: Table) -> list[Problem]:
    """The spec names one ms-swift, and the environment has another."""
    stated = spec.environment.swift_version
    if stated is None or is_same(stated, table.version) or is_before(table.version, stated):
        return []
    message = f"says {stated}; {table.version} is installed there, and {table.version} is checked"
    hint = f"write {table.version}, or leave it out"
    return [problem_at(near_origin(tree, VERSION_KEY), VERSION_KEY, message, hint, "warning")]


def with_run_dir(plan: Plan, run_dir: str) -> Plan:
    """The plan in its run directory: ms-swift's output_dir is ours, unversioned.

    `run_dir`: as this machine has it; pods may have the output root mounted elsewhere.
    """
    if plan.output_mount:
        run_dir = os.path.join(plan.output_mount, os.path.basename(run_dir))
    own = [["--output_dir", run_dir], ["--add_version", "false"]]
    names = [group[0] for group in own]
    arguments = [group for group in plan.arguments if group[0] not in names]
    return msgspec.structs.replace(plan, run_dir=run_dir, arguments=arguments + own)


def _doubtful(problems: list[Problem], nodes: dict[str, Node], table: Table) -> frozenset[str]:
    """Keys that later rules must not draw conclusions from."""
    unknown = [name for name in nodes if name not in table]
    misspelt = []
    if unknown and not is_true(nodes, IGNORING):
        from prl_submit.swift.unknown_names import nearest

        misspelt = [near for name in unknown if (near := nearest(name, table))]
    return frozenset([p.key for p in problems if p.key] + [f"swift.{name}" for name in misspelt])


def resume_from(plan: Plan, checkpoint: str) -> Plan:
    """The plan again, continuing from `checkpoint` (an absolute path)."""
    kept = [g for g in plan.arguments if g[0].partition("=")[0] != "--resume_from_checkpoint"]
    return msgspec.structs.replace(
        plan, arguments=[*kept, ["--resume_from_checkpoint", checkpoint]]
    )


def _defaults(tree: Node, spec: JobSpec, table: Table) -> Node:
    """Built-in defaults, conservative on purpose, as far as ms-swift has them."""
    values = {"dataloader_num_workers": "0"}
    use_vllm = lookup(tree, "swift.use_vllm")
    if use_vllm is not None and parse_bool(str(use_vllm.value)):
        values |= {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": "0.4"}
    if spec.resources.accelerator == "cpu":
        values |= {"use_cpu": "true", "ddp_backend": "gloo"}
    origin = Origin("default")
    leaves_ = {name: scalar_node(text, origin) for name, text in values.items() if name in table}
    return nest(["swift"], Node(leaves_, origin))


def _fill(tree: Node, defaults: Node) -> Node:
    """`tree` with what it lacks of `defaults`, behind its own keys; a null is a value."""
    missing = {
        key: _fill(tree.value[key], node)
        if isinstance(tree.value, dict) and key in tree.value
        else node
        for key, node in mapping(defaults).items()
    }
    return merge(tree, Node(missing, tree.origin)) if isinstance(tree.value, dict) else tree


def _path(text: str, base: str, home: str) -> str:
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    return os.path.normpath(os.path.join(base, text))


def _environment(spec: JobSpec, passed_on: dict[str, str]) -> Environment:
    secret = [name for name, value in passed_on.items() if looks_secret(name, value)]
    names = [*spec.environment.secrets, *(n for n in secret if n not in spec.environment.secrets)]
    return msgspec.structs.replace(spec.environment, secrets=names)


def _exports(spec: JobSpec, passed_on: dict[str, str]) -> dict[str, str]:
    """Literal variables of the job; what looks secret travels by name, with `secrets`."""
    open_ones = {name: value for name, value in passed_on.items() if not looks_secret(name, value)}
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if spec.resources.accelerator == "cpu" else {}
    return {**hidden, **spec.environment.env, **open_ones}


def _paths(swift: dict[str, Any], workdir: str, home: str) -> list[NodePath]:
    return [
        NodePath(kind, f"swift.{name}", _path(path, workdir, home))
        for name, kind, value in named_values(swift)
        if (path := local_path(kind, value))
    ]


def named_values(swift: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Argument, kind and value of all that may name a file or folder and is read by this job."""
    algorithm = str(swift.get("rlhf_type", "dpo"))
    for name, kind in PATH_ARGUMENTS.items():
        values = swift.get(name)
        if values is None or not _is_read(name, algorithm, swift):
            continue
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str):
                yield name, kind, value


def _is_read(name: str, algorithm: str, swift: dict[str, Any]) -> bool:
    """Whether the algorithm reads the argument: nobody misses a file that nobody opens."""
    if name == "ref_model" and algorithm == "grpo" and swift.get("beta") == 0:
        return False  # ms-swift 4.6.0 rlhf_args `__post_init__` forgets it
    if name == "reward_adapters":
        return bool(swift.get("reward_model"))
    if name == "teacher_adapters":
        return bool(swift.get("teacher_model"))
    return algorithm in READERS.get(name, (algorithm,))


def local_path(kind: str, value: str) -> str | None:
    """The path a value names, or None where it is a hub id, a preset or inline JSON.

    ms-swift's data sets may end in `:SUBSET` and `#ROWS`; `org/name` is a hub's id unless it begins
    with `./`.
    """
    if kind == "dataset":
        value = _DATASET_SUFFIX.sub("", value)
        return value if value.endswith(_DATA_ENDINGS) or _explicit(value) else None
    if kind in ("plugin", "checkpoint"):
        return value
    if kind in ("prompt file", "special tokens file"):  # anything else is the text itself
        return value if value.endswith(".txt") else None
    if kind == "deepspeed configuration":
        return value if value.endswith(".json") else None
    if value.lstrip()[:1] in ("{", "[") and kind in ("JSON file", "data set list"):
        return None
    if kind == "JSON file":
        return value if value.endswith(".json") or "/" in value else None
    if kind == "data set list":
        return value
    return value if _explicit(value) or _has_three_parts(value) else None


def _has_three_parts(value: str) -> bool:
    """`out/v3/checkpoint-9`: a hub's id has two parts, and a folder in it stands behind a colon."""
    return value.partition(":")[0].strip("/").count("/") > 1


def _explicit(value: str) -> bool:
    return value.startswith(("/", "./", "../", "~/"))


def _resolved(
    tree: Node,
    spec: JobSpec,
    swift: dict[str, Any],
    passed_on: dict[str, str],
    table: Table,
) -> list[Resolved]:
    found: dict[str, Resolved] = {}
    for key, node in leaves(tree):
        name = key.removeprefix("swift.")
        value = swift[name] if key != name and name in swift else plain(node)
        if _is_secret(key, str(value)):
            value = NOT_SHOWN
        if node.value is not None:
            found[key] = Resolved(key, value, node.origin.layer, node.origin.describe())
    for key, value in _section_defaults(spec):
        found.setdefault(key, Resolved(key, value, "default", None))
    for name, text in passed_on.items():
        key = f"environment.env.{name}"
        shown = NOT_SHOWN if looks_secret(name, text) else text
        found[key] = Resolved(key, shown, "env", f"{name}, passed on to the job untouched")
    found.setdefault(VERSION_KEY, Resolved(VERSION_KEY, table.known_version, "default", None))
    found[VERSION_KEY] = _which_swift(found[VERSION_KEY], table)
    found["swift.output_dir"] = Resolved("swift.output_dir", "RUN", "default", "the run directory")
    found["swift.add_version"] = Resolved("swift.add_version", False, "default", None)
    return sorted(found.values(), key=lambda item: _section_order(item.key))


def _which_swift(written: Resolved, table: Table) -> Resolved:
    """The version that will run, and whose arguments were checked."""
    version = table.known_version or written.value
    where = f"{written.detail}; {table.origin}" if written.detail else table.origin
    return Resolved(written.key, version, written.source, where)


def _is_secret(key: str, value: str) -> bool:
    section, _, name = key.rpartition(".")
    if section == "swift":
        return name in CREDENTIALS
    return section == "environment.env" and looks_secret(name, value)


def _section_defaults(spec: JobSpec) -> list[tuple[str, Any]]:
    """Defaults that decide something, for the keys nobody wrote."""
    return [
        ("backend", spec.backend or DEFAULT),
        ("workdir", spec.workdir),
        ("output", spec.output),
        ("resources.nodes", spec.resources.nodes),
        ("resources.nproc_per_node", spec.resources.nproc_per_node),
        ("resources.accelerator", spec.resources.accelerator),
        ("restarts.max", spec.restarts.max),
        ("restarts.grace", f"{spec.restarts.grace}s"),
    ]


_ORDER = ("name", "extends", "backend", "workdir", "output", "environment", "resources", "swift")


def _section_order(key: str) -> int:
    top = key.partition(".")[0]
    return _ORDER.index(top) if top in _ORDER else len(_ORDER)


def shown(value: Any) -> str:
    """A resolved value on one line."""
    if isinstance(value, list):
        return f"[{', '.join(word(item) for item in value)}]"
    return word(value)
