"""From the layers of a job to its plan and all problems. Pure: no clock, no environment, no disk."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable

import msgspec

from prl_submit.errors import Problem
from prl_submit.planning.explained import VERSION_KEY, explained
from prl_submit.planning.layers import Layered, Sections, lay_arguments
from prl_submit.planning.node_paths import node_paths
from prl_submit.planning.plan import (
    RUN_PLACEHOLDER,
    Context,
    Plan,
    Planned,
    output_mount,
    with_run_dir,
)
from prl_submit.rules import check, looks_secret
from prl_submit.rules.job import Job
from prl_submit.spec.nodes import (
    Node,
    Origin,
    lookup,
    mapping,
    merge,
    near_origin,
    nest,
    problem_at,
    scalar_node,
)
from prl_submit.spec.scalars import parse_bool
from prl_submit.spec.sections import Environment, JobSpec
from prl_submit.spec.traits import DEFAULT, traits_of
from prl_submit.spec.typed import KEYS_HERE, not_a_mapping, read_spec
from prl_submit.swift.history import is_before, is_same, load_history
from prl_submit.swift.table import Table
from prl_submit.swift.values import IGNORING, check_sizes, is_true, type_arguments, words
from prl_submit.system.user_paths import absolute


def make_plan(
    sections: Sections, choose: Callable[[JobSpec], Table], spec_file: str, context: Context
) -> Planned:
    """Decide every value of the job. This raises nothing for a wrong spec: `problems` has all that is wrong.

    `choose`: returns the table of arguments of the ms-swift that will run a job with these sections.
    """
    spec, problems = read_spec(sections.tree)
    problems = list(map(_about_swift, problems))
    table = choose(spec)
    layered = lay_arguments(sections, table)
    tree = _fill(layered.tree, _defaults(layered.tree, spec, table))
    nodes, wrong = _argument_nodes(tree)
    swift, untyped = type_arguments(nodes, table)
    spec = msgspec.structs.replace(spec, swift=swift)
    problems = [*layered.problems, *problems, *wrong, *untyped, *_other_swift(spec, tree, table)]
    unstated = _unstated(tree, spec)
    doubtful = _doubtful(problems, nodes, table).union(unstated)
    job = _job(spec, tree, table, doubtful)
    plan = _plan(job, layered, spec_file, context, unstated)
    problems += [*check(job), *check_sizes(plan.arguments, nodes)]
    return Planned(
        plan=with_run_dir(plan, os.path.join(plan.output_root, RUN_PLACEHOLDER)),
        problems=problems,
        tree=tree,
        job=job,
        values=explained(tree, spec, layered.passed_on, table, unstated),
        argument_table=table.origin,
    )


def _argument_nodes(tree: Node) -> tuple[dict[str, Node], list[Problem]]:
    """The nodes under `swift:` by argument, and a problem if `swift:` is not a mapping."""
    section = mapping(tree).get("swift")
    if section is None or section.value is None or isinstance(section.value, dict):
        return mapping(section), []
    return {}, [not_a_mapping(section, "swift")]


def _about_swift(problem: Problem) -> Problem:
    """The problem. If it is about an unknown key that is an argument of ms-swift, its hint names `swift:`."""
    if problem.key is None or not (problem.hint or "").startswith(KEYS_HERE):
        return problem
    from prl_submit.spec import meanings

    key = problem.key.rpartition(".")[2]
    names = [key, *meanings.ARGUMENTS.get(key, ())]
    known = [name for name in names if load_history().years(name) is not None]
    if not known:
        return problem
    hint = f"an argument of ms-swift stands under `swift:`, as swift.{known[0]}"
    return msgspec.structs.replace(problem, hint=hint)


def _job(spec: JobSpec, tree: Node, table: Table, doubtful: frozenset[str]) -> Job:
    """The job as the rules examine it."""
    python = re.search(r"/python(\d+\.\d+)/", table.origin)
    return Job(
        spec,
        tree,
        spec.backend or DEFAULT,
        doubtful,
        table.known_version,
        python=python[1] if python else None,
        folders=table.folders,
        source=table.source,
        names=table.names,
    )


#: Keys that a spec may leave to the platform.
_SIZE = ("resources.nodes", "resources.nproc_per_node")


def _unstated(tree: Node, spec: JobSpec) -> list[str]:
    """The keys of the job's size that no layer states, for a backend whose nodes tell them."""
    if not traits_of(spec.backend or DEFAULT).nodes_tell_size:
        return []
    stated = {key: lookup(tree, key) for key in _SIZE}
    return [key for key, node in stated.items() if node is None or node.value is None]


def _plan(
    job: Job, layered: Layered, spec_file: str, context: Context, unstated: list[str]
) -> Plan:
    """The plan, without its run directory."""
    spec = job.spec
    workdir = absolute(spec.workdir, context.cwd, context.home)
    # If only the pods have the working directory, `output` is relative to the folder in which the user is.
    apart = output_mount(spec, job.backend) is not None
    return Plan(
        name=spec.name,
        backend=job.backend,
        spec_file=spec_file,
        workdir=workdir,
        output_root=absolute(spec.output, context.cwd if apart else workdir, context.home),
        run_dir="",
        environment=_environment(spec, layered.passed_on),
        exports=_exports(spec, layered.passed_on),
        resources=spec.resources,
        restarts=spec.restarts,
        slurm=spec.slurm,
        kubernetes=spec.kubernetes,
        local=spec.local,
        arguments=[words(name, value) for name, value in spec.swift.items()],
        paths=node_paths(spec.swift, workdir, context.home),
        uid=context.uid,
        gid=context.gid,
        platform=spec.platform,
        unstated=unstated,
        batch=_batch(job) if unstated else [],
    )


def _batch(job: Job) -> list[str]:
    """The numbers from which launch.sh checks the batches, since the rules here do not know all factors."""
    from prl_submit.rules.batch_on_node import batch_numbers

    return batch_numbers(job)


def _other_swift(spec: JobSpec, tree: Node, table: Table) -> list[Problem]:
    """A warning if the spec states another version of ms-swift than the environment has."""
    stated = spec.environment.swift_version
    if stated is None or is_same(stated, table.version) or is_before(table.version, stated):
        return []
    message = f"says {stated}; {table.version} is installed there, and {table.version} is checked"
    hint = f"write {table.version}, or leave it out"
    return [problem_at(near_origin(tree, VERSION_KEY), VERSION_KEY, message, hint, "warning")]


def _doubtful(problems: list[Problem], nodes: dict[str, Node], table: Table) -> frozenset[str]:
    """The keys whose values the rules must not use: their value is wrong, or a misspelt name was meant for them."""
    unknown = [name for name in nodes if name not in table]
    misspelt = []
    if unknown and not is_true(nodes, IGNORING):
        from prl_submit.swift.unknown_names import nearest

        misspelt = [near for name in unknown if (near := nearest(name, table))]
    return frozenset([p.key for p in problems if p.key] + [f"swift.{name}" for name in misspelt])


def _defaults(tree: Node, spec: JobSpec, table: Table) -> Node:
    """prl-submit's own defaults for ms-swift's arguments, without those that the job's ms-swift does not have."""
    values = {"dataloader_num_workers": "0"}
    use_vllm = lookup(tree, "swift.use_vllm")
    if use_vllm is not None and parse_bool(str(use_vllm.value)):
        values |= {"vllm_mode": "colocate", "vllm_gpu_memory_utilization": "0.4"}
    if spec.resources.accelerator == "cpu":
        values |= {"use_cpu": "true", "ddp_backend": "gloo"}
    origin = Origin("default")
    leaves = {name: scalar_node(text, origin) for name, text in values.items() if name in table}
    return nest(["swift"], Node(leaves, origin))


def _fill(tree: Node, defaults: Node) -> Node:
    """`tree` with the values of `defaults` for keys that it lacks. A key with a null is not lacking."""
    missing = {
        key: _fill(tree.value[key], node)
        if isinstance(tree.value, dict) and key in tree.value
        else node
        for key, node in mapping(defaults).items()
    }
    return merge(tree, Node(missing, tree.origin)) if isinstance(tree.value, dict) else tree


def _environment(spec: JobSpec, passed_on: dict[str, str]) -> Environment:
    """The section, with the variables that are passed on and look secret added to its `secrets`."""
    secret = [name for name, value in passed_on.items() if looks_secret(name, value)]
    names = [*spec.environment.secrets, *(n for n in secret if n not in spec.environment.secrets)]
    return msgspec.structs.replace(spec.environment, secrets=names)


def _exports(spec: JobSpec, passed_on: dict[str, str]) -> dict[str, str]:
    """The job's variables that launch.sh exports. Secrets are left out: no file of the run may hold them."""
    open_ones = {name: value for name, value in passed_on.items() if not looks_secret(name, value)}
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if spec.resources.accelerator == "cpu" else {}
    return {**hidden, **spec.environment.env, **open_ones}
