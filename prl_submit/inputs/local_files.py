"""Checks that the files, folders, variables and packages that a job needs exist on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from prl_submit.backends.local.this_machine import lacking
from prl_submit.errors import Problem
from prl_submit.inputs.paths import is_named
from prl_submit.launch.quote import bash
from prl_submit.planning.node_paths import local_path, named_values
from prl_submit.planning.plan import NodePath, Plan, Planned
from prl_submit.spec.nodes import mapping, near_origin, problem_at
from prl_submit.spec.suggest import closest

HIDDEN = "cannot be found: you have no permission to enter a folder above it"


def check_training(planned: Planned) -> list[Problem]:
    """A problem if the spec has no argument of ms-swift: then there is nothing to train."""
    job = planned.job
    wrong = any((problem.key or "").startswith("swift") for problem in planned.problems)
    if wrong or any(map(job.written, job.swift)):
        return []
    section = mapping(planned.tree).get("swift")
    is_there = section is not None and section.origin.layer != "default"
    what = "is empty" if is_there else "the section is missing"
    hint = "swift: {rlhf_type: grpo, model: …, dataset: […], reward_funcs: […]}"
    origin = section.origin if section is not None and is_there else planned.tree.origin
    return [problem_at(origin, "swift", f"{what}, so nothing would be trained", hint)]


def check_presence(planned: Planned) -> list[Problem]:
    """Problems with the working directory, plugins, data sets and models of a plan that are missing here.

    If the working directory is not on this machine, only the nodes can check the files, and launch.sh does
    so before it starts the training. A file that a setup line names is left to launch.sh too, because the
    line may make the file.
    """
    plan = planned.plan
    if not os.path.isdir(plan.workdir):
        severity = "error" if plan.traits.runs_here else "warning"
        message = f"{plan.workdir} {_why_no_folder(plan.workdir)}"
        if plan.traits.sees_our_files:
            return [_at(planned, "workdir", message, None, severity)]
        if plan.output_mount:
            return []  # not needed: run directories are made in the folder of the command
        hint = (
            f"prl-submit keeps run directories in {plan.output_root} on this machine; with "
            "kubernetes.output_mount it keeps them where you call it"
        )
        return [_at(planned, "workdir", message, hint, severity)]
    return [*_absent(planned), *_in_a_folder_here(planned)]


def _absent(planned: Planned) -> Iterator[Problem]:
    """Problems with files and folders that arguments name and that the job could not read."""
    plan = planned.plan
    reported = {problem.key for problem in planned.problems if problem.severity == "error"}
    for item in plan.paths:
        if item.key in reported or made_by_setup(item.path, plan):
            continue
        if item.kind == "plugin" and _is_package(item.path) and not planned.job.since("4.6"):
            continue
        fault = _fault(item, plan)
        if fault:
            inside = item.path.startswith(f"{plan.workdir}/")
            shown = os.path.relpath(item.path, plan.workdir) if inside else item.path
            yield _at(planned, item.key, f"{item.kind} {shown} {fault[0]}", fault[1])


def _is_hidden(path: str) -> bool:
    """True if a folder above the path may not be entered, so nobody can say whether the path exists."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _why_no_folder(path: str) -> str:
    return HIDDEN if _is_hidden(path) else "is not a folder on this machine"


#: The kinds of paths that are folders. A data set may be a file or a folder. Every other kind is a file.
_FOLDERS = ("adapter", "checkpoint", "model")


def _is_package(path: str) -> bool:
    """True for the folder of a Python package. Before 4.6 a plugin may be one: ms-swift imports it by name."""
    return os.path.isfile(os.path.join(path, "__init__.py"))


def _fault(item: NodePath, plan: Plan) -> tuple[str, str] | None:
    """The reason why the job cannot read a path, and a hint; None if it can, as far as this machine sees.

    `model_folders` and `checkpoint` report a model or a checkpoint that is a file.
    """
    if not os.path.exists(item.path):
        if os.path.islink(item.path):
            target = os.readlink(item.path)
            return f"is a link to {target}, which is not here", "correct the link"
        if _is_hidden(item.path) and plan.traits.sees_our_files:
            return HIDDEN, "its owner can allow it with chmod"
        return "is not here", _hint(item.path, plan)
    is_folder = os.path.isdir(item.path)
    if is_folder and item.kind not in (*_FOLDERS, "dataset"):
        return "is a folder", "name a file in the folder"
    if not is_folder and item.kind == "adapter":
        return "is a file", "name the folder that holds the file"
    wanted = os.R_OK | os.X_OK if is_folder else os.R_OK
    if not plan.traits.sees_our_files or os.access(item.path, wanted):
        return None  # pods may run as another user
    return "cannot be read: you have no permission", "its owner can allow it with chmod"


def _in_a_folder_here(planned: Planned) -> list[Problem]:
    """Warnings for a path such as `models/tiny` if the folder `models` is here and has no `tiny`.

    ms-swift takes such a path for a hub's id, but the user probably meant the folder.
    """
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
    """Problems with what a job takes from this machine.

    These are the secrets in the user's environment (`environ`), and for the local backend the Python
    environment and a place for the run directory.
    """
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
    """True if a setup line names the path."""
    return is_named(path, plan.workdir, plan.environment.setup)


def _hint(path: str, plan: Plan) -> str:
    """A hint for a missing path: a similar name in its folder, or where relative paths start."""
    try:
        near = closest(os.path.basename(path), os.listdir(os.path.dirname(path)), 0.7)
    except OSError:
        near = None
    if near:
        return f"did you mean {near!r}?"
    hint = f"relative paths start at the working directory, {plan.workdir}"
    beside = os.path.dirname(os.path.abspath(plan.spec_file))
    if path.startswith(f"{plan.workdir.rstrip('/')}/"):
        there = os.path.join(beside, os.path.relpath(path, plan.workdir))
        if beside != plan.workdir and os.path.exists(there):
            return f"{hint}; it is in the folder of the spec: --set workdir={bash(beside)}"
    return hint
