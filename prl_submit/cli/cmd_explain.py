"""The command `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prl_submit.cli.console import data, document, note, table
from prl_submit.cli.one_job import combination_option, plan_one_job
from prl_submit.cli.shared_options import json_option, spec_options
from prl_submit.errors import EXIT_WRONG_INPUT, format_problem
from prl_submit.inputs.spec_files import is_of_a_run
from prl_submit.planning.explained import shown
from prl_submit.planning.plan import Planned, Resolved
from prl_submit.prepare import errors_of

if TYPE_CHECKING:
    from pathlib import Path


@click.command("explain")
@spec_options
@combination_option
@click.option(
    "--memory",
    is_flag=True,
    help="Print a forecast of the GPU memory of each rank instead, part by part.",
)
@json_option
def explain(spec: str, templates: Path | None, memory: bool, as_json: bool, **options: Any) -> int:
    """Print every value of the job and where it comes from.

    Sources: default, platform (a variable of the node), profile, base (a file that SPEC extends), spec, sweep, env (a variable), flag (an option).
    The values of a run have the sources that they had when it was submitted or resumed.
    Of a sweep it explains one combination, by default the first.
    """
    planned = plan_one_job(spec, **options)
    values = _with_first_sources(planned)
    if memory:
        show_memory(planned, as_json)
    elif as_json:
        document({"values": values})
    else:
        rows = [[item.key, shown(item.value), item.source, item.detail or ""] for item in values]
        data(table(["KEY", "VALUE", "SOURCE", "DETAIL"], rows, wrap=2))
    for problem in planned.problems:
        note(format_problem(problem))
    return EXIT_WRONG_INPUT if errors_of(planned) else 0


def _with_first_sources(planned: Planned) -> list[Resolved]:
    """The values of the plan. Those that are only in the spec.yaml of a run have the source that they had then."""
    spec = planned.plan.spec_file
    if not is_of_a_run(spec):
        return planned.values
    from pathlib import Path

    from prl_submit.runs.plan_file import find_plan_file

    file = find_plan_file(Path(spec).parent)
    then = {item.key: item for item in file.values} if file else {}
    return [
        then[item.key] if item.source == "spec" and _is_same(then.get(item.key), item) else item
        for item in planned.values
    ]


def _is_same(then: Resolved | None, now: Resolved) -> bool:
    return then is not None and then.value == now.value


def show_memory(planned: Planned, as_json: bool) -> None:
    """Print the memory forecast as a table; where there is none, say why on stderr.

    As JSON: `memory` and `reason`, one of which is null.
    """
    import os

    from prl_submit.memory.warning import find_forecast
    from prl_submit.memory.words import document as as_document
    from prl_submit.memory.words import rows, summary
    from prl_submit.probe import load_facts

    plan = planned.plan
    facts = load_facts(plan.backend, plan.slurm.partition, os.environ)
    found = find_forecast(planned, facts, os.environ)
    if isinstance(found, str):
        if as_json:
            document({"memory": None, "reason": found})
        else:
            note(f"no forecast: {found}")
        return
    if as_json:
        document({"memory": as_document(found.verdict, found.where), "reason": None})
        return
    header, lines = rows(found.verdict)
    data(table(header, lines))
    for line in summary(found.verdict, found.where):
        data(line)


command = explain
