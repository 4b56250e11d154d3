"""The plan of one job, also where SPEC is a sweep: of one of its combinations."""

from __future__ import annotations

from typing import Any

import click

from prl_submit.cli.console import note
from prl_submit.errors import PrlSubmitError, SpecError
from prl_submit.planning.plan import Planned
from prl_submit.prepare import plan_asked, read_asked

combination_option = click.option(
    "--combination",
    metavar="NAME",
    help="Of a sweep: the combination with this name or number. Default: the first one.",
)


def plan_one_job(spec: str, combination: str | None = None, **options: Any) -> Planned:
    """The plan of SPEC with its problems. Raises PrlSubmitError.

    Of a sweep it is the plan of one combination, which a line on stderr names.
    """
    asked = read_asked(spec, **options)
    if asked.sweep is None:
        if combination is not None:
            raise PrlSubmitError(
                f"--combination {combination}: {spec} is no sweep", "leave --combination out"
            )
        return plan_asked(asked)
    from prl_submit.sweeps.sweep_plans import plan_sweep

    plans = plan_sweep(asked, combination or "")
    if plans.problems:
        raise SpecError(plans.problems)
    if not plans.runs:
        message = f"--combination {combination}: no such combination of {plans.name}"
        hint = f"a number from 1 to {plans.count}, or a name that `submit --dry-run` lists"
        raise PrlSubmitError(message, hint)
    run = plans.runs[0]
    note(f"combination {run.combination.index} of {plans.count}: {run.combination.name}")
    return run.planned
