"""`check` of a sweep: all combinations, each problem once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prl_submit import backends
from prl_submit.backends.artefact import first_file
from prl_submit.cli.console import data, document, note
from prl_submit.cli.estimated import note_sweep_estimate, sweep_estimate_in_json
from prl_submit.cli.problems import errors_line, rendered
from prl_submit.cli.views.sweep_tables import (
    combinations_document,
    errors_of_sweep,
    note_problems,
    problems_document,
    summary,
)
from prl_submit.errors import (
    EXIT_WRONG_INPUT,
    PrlSubmitError,
    format_error,
)
from prl_submit.planning.plan import Plan
from prl_submit.prepare import Asked
from prl_submit.sweeps.sweep_estimate import with_estimates
from prl_submit.sweeps.sweep_plans import PlannedRun, SweepPlans, plan_sweep

#: The backend is asked about so many kinds of jobs.
_MOST_KINDS = 10


def check_sweep(
    asked: Asked, templates: Path | None, *, online: bool, seconds: float | None, as_json: bool
) -> int:
    """Check all combinations and print what is wrong; the exit code. `seconds`: how long a step takes."""
    plans, found = with_estimates(plan_sweep(asked), seconds)
    errors = errors_of_sweep(plans)
    answers: dict[str, str] = {}
    code = 0
    if plans.good and templates is not None:
        rendered(plans.good[0].planned, templates)
    if online and not errors:
        answers, code = _ask_online(plans, templates)
    if as_json:
        document(
            {
                "ok": not errors,
                "problems": problems_document(plans),
                "online": answers or None,
                "unstated": [],
                "combinations": combinations_document(plans),
                "estimate": sweep_estimate_in_json(found),
            }
        )
        return EXIT_WRONG_INPUT if errors else code
    note_problems(plans)
    if errors:
        note(_bad_line(asked.spec, plans))
        return EXIT_WRONG_INPUT
    note_sweep_estimate(found)
    data(f"{asked.spec}: ok: {summary(plans)}")
    for name, answer in answers.items():
        data(f"  {name}: {answer}")
    return code


def _bad_line(spec: str, plans: SweepPlans) -> str:
    """The last line about a sweep with errors."""
    if not plans.runs:
        return errors_line(spec, plans.problems)
    bad = plans.count - len(plans.good)
    return f"{spec}: {bad or plans.count} of {plans.count} combinations have errors; nothing was created"


def _ask_online(plans: SweepPlans, templates: Path | None) -> tuple[dict[str, str], int]:
    """What the backend says of one run of each kind that asks for the same; the exit code."""
    answers: dict[str, str] = {}
    code = 0
    for run in _kinds(plans.good)[:_MOST_KINDS]:
        plan = run.planned.plan
        try:
            answer = backends.load(plan.backend).ask(plan, first_file(plan, templates))
        except PrlSubmitError as error:
            note(f"{run.combination.name}: {format_error(error)}")
            code = code or error.exit_code
        else:
            answers[run.combination.name] = answer
    return answers, code


def _kinds(runs: list[PlannedRun]) -> list[PlannedRun]:
    """The first run of each kind that asks the backend for the same."""
    found: dict[bytes, PlannedRun] = {}
    for run in runs:
        found.setdefault(_request(run.planned.plan), run)
    return list(found.values())


def _request(plan: Plan) -> bytes:
    return msgspec.json.encode((plan.resources, plan.slurm, plan.kubernetes, plan.restarts))
