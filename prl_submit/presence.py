"""What should be on this machine and is not: checked before anything is created."""

from __future__ import annotations

import os
from collections.abc import Mapping

from prl_submit.backends import INHERITING
from prl_submit.errors import Problem
from prl_submit.inputs.paths import is_named
from prl_submit.plan import Plan, Planned
from prl_submit.suggest import closest
from prl_submit.tree import lookup, problem_at


def check_presence(planned: Planned) -> list[Problem]:
    """Missing working directory, plugins, data sets and models of a plan.

    Where the working directory is not on this machine (one submits from elsewhere), only the node
    can tell, and launch.sh's preflight does. What a setup line names is left to it too: it may be
    what makes the file.
    """
    plan = planned.plan
    if not os.path.isdir(plan.workdir):
        severity = "error" if plan.backend == "local" else "warning"
        message = f"{plan.workdir} is not a folder on this machine"
        if plan.backend != "kubernetes":
            return [_at(planned, "workdir", message, None, severity)]
        if plan.kubernetes.output_mount:
            return []  # it need not be: the run directories are made where one types
        hint = f"runs go to {plan.output_root} here; kubernetes.output_mount lets them be where you type"
        return [_at(planned, "workdir", message, hint, severity)]
    problems = []
    for item in plan.paths:
        if os.path.exists(item.path) or made_by_setup(item.path, plan):
            continue
        inside = item.path.startswith(f"{plan.workdir}/")
        shown = os.path.relpath(item.path, plan.workdir) if inside else item.path
        message = f"{item.kind} {shown} is not here"
        problems.append(_at(planned, item.key, message, _hint(item.path, plan)))
    return problems


def check_local(planned: Planned, environ: Mapping[str, str]) -> list[Problem]:
    """What a job takes from here: its secrets; on this very machine its environment and room too."""
    plan = planned.plan
    problems = []
    for name in plan.environment.secrets:
        if name not in environ and plan.backend in INHERITING:
            message = f"{name} is not set in your environment"
            hint = f"export {name}=… before you submit"
            problems.append(_at(planned, "environment.secrets", message, hint))
    if plan.backend != "local":
        return problems
    venv = plan.environment.venv
    if venv and not os.path.exists(os.path.join(plan.workdir, os.path.expanduser(venv), "bin")):
        message = f"virtual environment {venv} is not here yet"
        problems.append(_at(planned, "environment.venv", message, None, "warning"))
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
    node = lookup(planned.tree, key)
    origin = node.origin if node else planned.tree.origin
    return problem_at(origin, key, message, hint, severity)


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
