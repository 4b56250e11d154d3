"""The limits of a job: from run.json, or from plan.json for runs that an older version submitted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prl_submit.runs.record import Limits, Record

if TYPE_CHECKING:
    from prl_submit.planning.plan import Plan


def limits_of_plan(plan: Plan) -> Limits:
    """The limits in a plan, which are written into run.json."""
    return Limits(plan.resources.nodes, plan.restarts.grace, plan.restarts.max)


def limits_of(run: Path, record: Record) -> Limits:
    """The limits of a run's job; the defaults of a job spec if no file tells them."""
    if record.limits is not None:
        return record.limits
    from prl_submit.runs.plan_file import find_plan

    plan = find_plan(run)
    return Limits() if plan is None else limits_of_plan(plan)
