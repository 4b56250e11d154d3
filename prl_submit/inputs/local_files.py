"""What should be on this machine and is not: checked before anything is created."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from prl_submit.backends.local.this_machine import lacking
from prl_submit.errors import Problem
from prl_submit.inputs.paths import is_named
from prl_submit.planning.node_paths import local_path, named_values
from prl_submit.planning.plan import NodePath, Plan, Planned
from prl_submit.spec.nodes import mapping, near_origin, problem_at
from prl_submit.spec.suggest import closest


def check_training(planned: Planned) -> list[Problem]:
    """A spec without a single argument of ms-swift's has nothing to train."""
    job = planned.job
    wrong = any((problem.key or "").startswith("swift") for problem in planned.problems)
    if wrong or any(map(job.written, job.swift)):
        return []
    section = mapping(planned.tree).get("swift")
    is_there = section is not None and section.origin.layer != "default"
    what = "is empty" if is_there else "there is no such section"
    hint = "swift: {rlhf_type: grpo, model: …, dataset: […], reward_funcs: […]}"
    origin = section.origin if section is not None and is_there else planned.tree.origin
    return [problem_at(origin, "swift", f"{what}: nothing would be trained", hint)]


def check_presence(planned: Planned) -> list[Problem]:
    """Missing working directory, plugins, data sets and models of a plan.

    Where the working directory is not on this machine (one submits from elsewhere), only the node
    can tell, and launch.sh's preflight does. What a setup line names is left to it too: it may be
    what makes the file.
    """
    plan = planned.plan
    if not os.path.isdir(plan.workdir):
        severity = "error" if plan.traits.runs_here else "warning"
        message = f"{plan.workdir} is not a folder on this machine"
        if plan.traits.sees_our_files:
            return [_at(planned, "workdir", message, None, severity)]
        if plan.output_mount:
            return []  # it need not be: the run directories are made where one types
        hint = f"runs go to {plan.output_root} here; kubernetes.output_mount lets them be where you type"
        return [_at(planned, "workdir", message, hint, severity)]
    return [*_absent(planned), *_in_a_folder_here(planned)]


def _absent(planned: Planned) -> Iterator[Problem]:
    """Files and folders that arguments name, and that the job could not read."""
    plan = planned.plan
    told = {problem.key for problem in planned.problems if problem.severity == "error"}
    for item in plan.paths:
        if item.key in told or made_by_setup(item.path, plan):
            continue
        if item.kind == "plugin" and _is_package(item.path) and not planned.job.since("4.6"):
            continue
        fault = _fault(item, plan)
        if fault:
            inside = item.path.startswith(f"{plan.workdir}/")
            shown = os.path.relpath(item.path, plan.workdir) if inside else item.path
            yield _at(planned, item.key, f"{item.kind} {shown} {fault[0]}", fault[1])


#: What is a folder; a data set may be a file or a folder, and all else is a file.
_FOLDERS = ("adapter", "checkpoint", "model")


def _is_package(path: str) -> bool:
    """Before 4.6 ms-swift imports a plugin by its module's name, which may be a folder's."""
    return os.path.isfile(os.path.join(path, "__init__.py"))


def _fault(item: NodePath, plan: Plan) -> tuple[str, str] | None:
    """What keeps the job from reading the path, seen from this machine, and what to do.

    That a model or a checkpoint is a file is told by `prl_submit.inputs`, which knows more of them.
    """
    if not os.path.exists(item.path):
        if os.path.islink(item.path):
            target = os.readlink(item.path)
            return f"is a link to {target}, which is not here", "link it to what is here"
        return "is not here", _hint(item.path, plan)
    is_folder = os.path.isdir(item.path)
    if is_folder and item.kind not in (*_FOLDERS, "dataset"):
        return "is a folder", "name the file in it"
    if not is_folder and item.kind == "adapter":
        return "is a file", "name the folder it is in"
    wanted = os.R_OK | os.X_OK if is_folder else os.R_OK
    if not plan.traits.sees_our_files or os.access(item.path, wanted):
        return None  # pods may run as somebody else
    return "cannot be read: you have no permission", "its owner can allow it: chmod"


def _in_a_folder_here(planned: Planned) -> list[Problem]:
    """`models/tiny`, where the folder `models` is here and has no `tiny`: ms-swift asks a hub for it."""
    plan, problems = planned.plan, []
    for name, kind, value in named_values(planned.job.swift):
        folder, sign, _ = value.partition("/")
        if not sign or kind not in (*_FOLDERS, "dataset") or local_path(kind, value):
            continue
        path = os.path.join(plan.workdir, value.partition("#")[0])
        if not os.path.isdir(os.path.join(plan.workdir, folder)) or os.path.exists(path):
            continue
        if made_by_setup(path, plan) or os.path.exists(path.rpartition(":")[0]):
            continue
        message = f"{kind} {value} is not in the folder {folder} here; ms-swift asks the hub for it"
        problems.append(_at(planned, f"swift.{name}", message, _hint(path, plan), "warning"))
    return problems


def check_local(planned: Planned, environ: Mapping[str, str]) -> list[Problem]:
    """What a job takes from here: its secrets; on this very machine its environment and room too."""
    plan = planned.plan
    problems = []
    for name in plan.environment.secrets:
        if name not in environ and plan.traits.inherits_environment:
            message = f"{name} is not set in your environment"
            hint = f"export {name}=… before you submit"
            problems.append(_at(planned, "environment.secrets", message, hint))
    if not plan.traits.runs_here:
        return problems
    for lack in lacking(plan, environ):
        problems.append(_at(planned, lack.key or "", lack.message, lack.hint, "warning"))
    above = plan.output_root
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above) or not os.access(above, os.W_OK):
        what = "is a file" if os.path.isfile(above) else "is not a writable folder"
        message = f"no run directory can be made in {plan.output_root}: {above} {what}"
        problems.append(_at(planned, "output", message, "see `output:` or --output-root"))
    return problems


def _at(
    planned: Planned, key: str, message: str, hint: str | None, severity: str = "error"
) -> Problem:
    return problem_at(near_origin(planned.tree, key), key, message, hint, severity)


def made_by_setup(path: str, plan: Plan) -> bool:
    """Whether a setup line names the path."""
    return is_named(path, plan.workdir, plan.environment.setup)


def _hint(path: str, plan: Plan) -> str:
    try:
        near = closest(os.path.basename(path), os.listdir(os.path.dirname(path)), 0.7)
    except OSError:
        near = None
    if near:
        return f"did you mean {near!r}?"
    return f"relative paths start at the working directory, {plan.workdir}"
