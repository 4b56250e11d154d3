"""check, render, explain, schema: they look and create nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from prl_submit.cli.console import data, document, note, raw, table
from prl_submit.cli.options import json_option, spec_options
from prl_submit.errors import (
    EXIT_WRONG_INPUT,
    BackendUnreachableError,
    Problem,
    Refusal,
    RefusedError,
    SpecError,
    format_problem,
)
from prl_submit.planning.plan import Planned, shown
from prl_submit.prepare import errors_of, plan_spec, table_of
from prl_submit.spec.nodes import as_problem
from prl_submit.swift.choice import is_release

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
            _render(planned, templates)
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

    artefact = _render(planned, templates).decode("utf-8")
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
@click.option("--memory", is_flag=True, help="Instead: GPU memory per rank, forecast by its parts.")
@json_option
def explain(spec: str, templates: Path | None, memory: bool, as_json: bool, **options: Any) -> int:
    """Print every resolved value with its source: default, profile, base, spec, env or flag."""
    planned = plan_spec(spec, **options)
    values = planned.plan.values
    if memory:
        from prl_submit.cli.memory import show_memory

        show_memory(planned, as_json)
    elif as_json:
        document({"values": values})
    else:
        rows = [[item.key, shown(item.value), item.source, item.detail or ""] for item in values]
        data(table(["KEY", "VALUE", "SOURCE", "DETAIL"], rows))
    for problem in planned.problems:
        note(format_problem(problem))
    return EXIT_WRONG_INPUT if errors_of(planned) else 0


@click.command("schema")
@click.argument("spec", required=False, type=click.Path())
@click.option("--swift-version", metavar="VERSION", help="The ms-swift whose arguments it has.")
def schema(spec: str | None, swift_version: str | None) -> int:
    """Print the JSON Schema of the job spec, for editors.

    Its `swift:` arguments are those of SPEC's ms-swift, of VERSION, or of the newest release.
    """
    from prl_submit.planning.schema import job_schema, schema_text
    from prl_submit.swift.table import load_table

    if spec is not None and swift_version is not None:
        raise click.UsageError("SPEC and --swift-version both say which ms-swift; give one")
    if swift_version is not None and not is_release(swift_version):
        raise click.UsageError(
            f"--swift-version: expected a release such as 4.6.0, found {swift_version!r}"
        )
    table = table_of(spec) if spec else load_table(swift_version)
    raw(schema_text(job_schema(table)).encode("utf-8") + b"\n")
    return 0


def warn_or_stop(planned: Planned) -> None:
    """Print the warnings. Raises SpecError with all problems where one is an error."""
    if errors_of(planned):
        raise SpecError(planned.problems)
    for problem in planned.problems:
        note(format_problem(problem))


COMMANDS = {"check": check, "render": render, "explain": explain, "schema": schema}
