"""The command `check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from prl_submit.cli.console import data, document, note
from prl_submit.cli.estimated import estimate_in_json, note_estimate, with_estimate
from prl_submit.cli.problems import errors_line, note_unstated, problem_in_json, rendered
from prl_submit.cli.shared_options import json_option, seconds_option, spec_options
from prl_submit.errors import (
    EXIT_JOB_FAILED,
    EXIT_WRONG_INPUT,
    BackendUnreachableError,
    PrlSubmitError,
    Problem,
    Refusal,
    RefusedError,
    SpecError,
    format_problem,
)
from prl_submit.planning.plan import Planned
from prl_submit.prepare import Asked, errors_of, plan_asked, read_asked
from prl_submit.spec.nodes import Origin, as_problem, problem_at

if TYPE_CHECKING:
    from pathlib import Path

    from prl_submit.results.estimate import Estimate


class Checked(NamedTuple):
    """What a check found. `online` and `code`: the backend's answer and the exit code it calls for.

    `estimate`: how many steps the job would train, and when it would end.
    """

    planned: Planned | None
    problems: list[Problem]
    online: str | None = None
    code: int = 0
    estimate: Estimate | None = None

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep the job from being submitted."""
        return [problem for problem in self.problems if problem.severity == "error"]


@click.command("check")
@spec_options
@click.option(
    "--online", is_flag=True, help="Also ask the backend whether and when it would run the job."
)
@seconds_option
@json_option
def check(
    spec: str,
    templates: Path | None,
    online: bool,
    seconds_per_step: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """List everything that is wrong with SPEC: where, and what to do about it. Creates nothing.

    Exit code 0: the job can be submitted, perhaps with warnings; 2: it cannot. With --online also 1:
    the backend would refuse it; 4: the backend does not answer.
    """
    try:
        asked = read_asked(spec, **options)
    except SpecError as error:
        return _say(spec, Checked(None, error.problems), as_json)
    if asked.sweep is not None:
        from prl_submit.cli.check_sweep import check_sweep

        how = {"online": online, "as_json": as_json}
        return check_sweep(asked, templates, seconds=seconds_per_step, **how)
    return _say(spec, _check(asked, templates, online, seconds_per_step), as_json)


def _say(spec: str, checked: Checked, as_json: bool) -> int:
    """Print what was found; the exit code."""
    if as_json:
        document(
            {
                "ok": not checked.errors,
                "problems": list(map(problem_in_json, checked.problems)),
                "online": checked.online,
                "unstated": checked.planned.plan.unstated if checked.planned else [],
                "estimate": estimate_in_json(checked.estimate),
            }
        )
    else:
        _print(spec, checked)
    return checked.code or (EXIT_WRONG_INPUT if checked.errors else 0)


def _check(
    asked: Asked, templates: Path | None, online: bool, seconds_per_step: float | None
) -> Checked:
    """Plan the job; if that gives no error, try the user's templates and ask the backend."""
    try:
        planned = plan_asked(asked)
        if not errors_of(planned):
            planned, found = with_estimate(planned, seconds_per_step)
            if templates is not None:
                rendered(planned, templates)
            if online:
                return _ask_online(planned, templates)._replace(estimate=found)
            problems = [*planned.problems, *_as_node(planned)]
            return Checked(planned, problems, estimate=found)
    except SpecError as error:
        return Checked(None, error.problems)
    return Checked(planned, planned.problems)


def _as_node(planned: Planned) -> list[Problem]:
    """A warning if this machine is a node of a platform and could not be a node of this job.

    It is no error, because the machine may be one on which the user only prepares the job.
    """
    plan = planned.plan
    if not plan.traits.nodes_tell_size:
        return []
    import os

    from prl_submit import backends

    if not backends.load_options(plan.backend).is_node(plan, os.environ):
        return []
    try:
        backends.load(plan.backend).node_here(planned, os.environ)
    except PrlSubmitError as error:
        message = f"as a node of the job this machine would be refused: {error.message}"
        place = Origin("env", label="variables of this machine")
        return [problem_at(place, None, message, error.hint, "warning")]
    return []


def _print(spec: str, checked: Checked) -> None:
    """Print the problems, and one line that says whether the job can be submitted."""
    for problem in checked.problems:
        note(format_problem(problem))
    if checked.planned is None or checked.errors:
        note(errors_line(spec, checked.problems))
        return
    note_unstated(checked.planned.plan)
    note_estimate(checked.estimate)
    words = f"; {checked.online}" if checked.online else ""
    data(f"{spec}: ok: {_summary(checked.planned)}{words}")


def _ask_online(planned: Planned, templates: Path | None) -> Checked:
    """Ask the backend what it would do with the job."""
    from prl_submit import backends
    from prl_submit.backends.artefact import first_of

    artefact = first_of(rendered(planned, templates))
    try:
        answer = backends.load(planned.plan.backend).ask(planned.plan, artefact)
    except RefusedError as error:
        refused = [as_problem(refusal, planned.tree) for refusal in error.refusals]
        return Checked(planned, _with_refusals(planned.problems, refused), None, EXIT_JOB_FAILED)
    except BackendUnreachableError as error:
        silence = as_problem(Refusal("backend", error.message, error.hint), planned.tree)
        return Checked(planned, _with_refusals(planned.problems, [silence]), None, error.exit_code)
    return Checked(planned, planned.problems, answer)


def _with_refusals(problems: list[Problem], refused: list[Problem]) -> list[Problem]:
    """The problems and the backend's refusals; a warning that says the same as a refusal is dropped."""
    said = {(problem.key, problem.message) for problem in refused}
    kept = [problem for problem in problems if (problem.key, problem.message) not in said]
    return [*kept, *refused]


def _summary(planned: Planned) -> str:
    """The job in a few words, such as `mr-4gpu, local, 4 GPUs`."""
    plan = planned.plan
    unit = "GPU" if plan.resources.accelerator == "gpu" else "process"
    count = plan.resources.nproc_per_node
    plural = ("es" if unit == "process" else "s") if count != 1 else ""
    size = f"{count} {unit}{plural}"
    if "resources.nproc_per_node" in plan.unstated:
        size = f"the platform's {unit}{'es' if unit == 'process' else 's'}"
    nodes = f" on each of {plan.resources.nodes} nodes" if plan.resources.nodes > 1 else ""
    if "resources.nodes" in plan.unstated:
        nodes = " on each of the platform's nodes"
    return f"{plan.name}, {plan.backend}, {size}{nodes}"


command = check
