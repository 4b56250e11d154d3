"""check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from prl_submit.cli.console import data, document, note
from prl_submit.cli.problems import render_bytes
from prl_submit.cli.shared_options import json_option, spec_options
from prl_submit.errors import (
    EXIT_WRONG_INPUT,
    BackendUnreachableError,
    Problem,
    Refusal,
    RefusedError,
    SpecError,
    format_problem,
)
from prl_submit.planning.plan import Planned
from prl_submit.prepare import errors_of, plan_spec
from prl_submit.spec.nodes import as_problem

if TYPE_CHECKING:
    from pathlib import Path


class Online(NamedTuple):
    """What the backend said of a job: that it would run it, or what it has against it."""

    words: str | None
    problems: list[Problem]
    code: int


@click.command("check")
@spec_options
@click.option("--online", is_flag=True, help="Also ask the backend whether and when it would run.")
@json_option
def check(spec: str, templates: Path | None, online: bool, as_json: bool, **options: Any) -> int:
    """Say everything that is wrong with SPEC, with file, line and what to do; create nothing.

    Exit 0 where it can be submitted (warnings allowed), 2 where it cannot; with --online 1 where the
    backend would refuse it, 4 where it does not answer.
    """
    planned: Planned | None = None
    online_answer = Online(None, [], 0)
    try:
        planned = plan_spec(spec, **options)
        problems = planned.problems
        if templates is not None and not errors_of(planned):
            render_bytes(planned, templates)
        if online and not errors_of(planned):
            online_answer = _ask_online(planned, templates)
            refused = {(found.key, found.message) for found in online_answer.problems}
            kept = [found for found in problems if (found.key, found.message) not in refused]
            problems = [*kept, *online_answer.problems]  # no warning of what is refused
    except SpecError as error:
        problems = error.problems
    wrong = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        document(
            {
                "ok": not wrong,
                "problems": list(map(_in_json, problems)),
                "online": online_answer.words,
            }
        )
    else:
        for problem in problems:
            note(format_problem(problem))
        if planned is not None and not wrong:
            words = f"; {online_answer.words}" if online_answer.words else ""
            data(f"{spec}: ok: {_summary(planned)}{words}")
        else:
            note(f"{spec}: {len(wrong)} error{'s' if len(wrong) != 1 else ''}; nothing was created")
    if online_answer.code:
        return online_answer.code
    return EXIT_WRONG_INPUT if wrong else 0


def _in_json(problem: Problem) -> dict[str, Any]:
    label = f"{problem.label}: " if problem.label else ""
    return {
        "file": problem.file,
        "line": problem.line,
        "key": problem.key,
        "message": f"{label}{problem.message}",
        "hint": problem.hint,
        "severity": problem.severity,
    }


def _ask_online(planned: Planned, templates: Path | None) -> Online:
    """What the backend would do with the job, or why it would not."""
    from prl_submit import backends

    artefact = render_bytes(planned, templates).decode("utf-8")
    try:
        answer = backends.load(planned.plan.backend).ask_online(planned.plan, artefact)
    except RefusedError as error:
        return Online(None, [as_problem(refusal, planned.tree) for refusal in error.refusals], 1)
    except BackendUnreachableError as error:
        silence = as_problem(Refusal("backend", error.message, error.hint), planned.tree)
        return Online(None, [silence], error.exit_code)
    return Online(answer, [], 0)


def _summary(planned: Planned) -> str:
    resources = planned.plan.resources
    unit = "GPU" if resources.accelerator == "gpu" else "process"
    count = resources.nproc_per_node
    plural = ("es" if unit == "process" else "s") if count != 1 else ""
    nodes = f" on each of {resources.nodes} nodes" if resources.nodes > 1 else ""
    return f"{planned.plan.name}, {planned.plan.backend}, {count} {unit}{plural}{nodes}"


command = check
