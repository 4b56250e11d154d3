"""check, render, explain, schema: they look and create nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prl_submit.cli.console import data, document, note, raw, table
from prl_submit.cli.options import json_option, spec_options
from prl_submit.cli.planning import errors_of, plan_spec
from prl_submit.errors import EXIT_WRONG_INPUT, SpecError, format_problem
from prl_submit.plan import Planned, shown


@click.command("check")
@spec_options
@json_option
def check(spec: str, templates: Path | None, as_json: bool, **options: Any) -> int:
    """Say everything that is wrong with SPEC, with file, line and what to do; create nothing.

    Exit 0 where it can be submitted (warnings allowed), 2 where it cannot.
    """
    try:
        planned = plan_spec(spec, **options)
        problems = planned.problems
        if templates is not None and not errors_of(planned):
            _render(planned, templates)
    except SpecError as error:
        planned, problems = None, error.problems
    wrong = [problem for problem in problems if problem.severity == "error"]
    if as_json:
        shown_problems = [
            {
                "file": p.file,
                "line": p.line,
                "key": p.key,
                "message": f"{p.label}: {p.message}" if p.label else p.message,
                "hint": p.hint,
                "severity": p.severity,
            }
            for p in problems
        ]
        document({"ok": not wrong, "problems": shown_problems})
    else:
        for problem in problems:
            note(format_problem(problem))
        if planned is not None and not wrong:
            data(f"{spec}: ok: {_summary(planned)}")
        else:
            note(f"{spec}: {len(wrong)} error{'s' if len(wrong) != 1 else ''}; nothing was created")
    return EXIT_WRONG_INPUT if wrong else 0


def _summary(planned: Planned) -> str:
    resources = planned.plan.resources
    unit = "GPU" if resources.accelerator == "gpu" else "process"
    count = resources.nproc_per_node
    plural = ("es" if unit == "process" else "s") if count != 1 else ""
    nodes = f" on each of {resources.nodes} nodes" if resources.nodes > 1 else ""
    return f"{planned.plan.name}, {planned.plan.backend}, {count} {unit}{plural}{nodes}"


@click.command("render")
@spec_options
def render(spec: str, templates: Path | None, **options: Any) -> int:
    """Print what would be sent, byte for byte (the run directory's name and the token aside)."""
    planned = plan_spec(spec, **options)
    warn_or_stop(planned)
    raw(_render(planned, templates))
    return 0


def _render(planned: Planned, templates: Path | None) -> bytes:
    from prl_submit.artefact import render_artefact  # a tenth of the time of `check`

    return render_artefact(planned.plan, templates).encode("utf-8")


@click.command("explain")
@spec_options
@json_option
def explain(spec: str, templates: Path | None, as_json: bool, **options: Any) -> int:
    """Print every resolved value with its source: default, profile, base, spec, env or flag."""
    planned = plan_spec(spec, **options)
    values = planned.plan.values
    if as_json:
        document({"values": values})
    else:
        rows = [[item.key, shown(item.value), item.source, item.detail or ""] for item in values]
        data(table(["KEY", "VALUE", "SOURCE", "DETAIL"], rows))
    for problem in planned.problems:
        note(format_problem(problem))
    return EXIT_WRONG_INPUT if errors_of(planned) else 0


@click.command("schema")
def schema() -> int:
    """Print the JSON Schema of the job spec, for editors."""
    from prl_submit.schema import job_schema

    document(job_schema())
    return 0


def warn_or_stop(planned: Planned) -> None:
    """Print the warnings. Raises SpecError with all problems where one is an error."""
    if errors_of(planned):
        raise SpecError(planned.problems)
    for problem in planned.problems:
        note(format_problem(problem))


COMMANDS = {"check": check, "render": render, "explain": explain, "schema": schema}
