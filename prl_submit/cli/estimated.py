"""How many steps a job will train and when it would end, as `check` and `submit` say it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from prl_submit.cli.console import note
from prl_submit.errors import format_problem
from prl_submit.planning.plan import Planned
from prl_submit.prepare import errors_of
from prl_submit.results.estimate import Estimate, estimate, estimate_problems, estimate_words

if TYPE_CHECKING:
    from prl_submit.sweeps.sweep_estimate import SweepEstimate


def with_estimate(planned: Planned, seconds: float | None) -> tuple[Planned, Estimate | None]:
    """The plan with the estimate's warnings, and the estimate; None if the steps are not known or it has errors."""
    if errors_of(planned):
        return planned, None
    found = estimate(planned, seconds)
    if found is None:
        return planned, None
    problems = [*planned.problems, *estimate_problems(planned, found)]
    return msgspec.structs.replace(planned, problems=problems), found


def tell_estimate(planned: Planned, seconds: float | None) -> None:
    """Print the estimate of a job that is about to be submitted, and its warnings."""
    told, found = with_estimate(planned, seconds)
    for problem in told.problems[len(planned.problems) :]:
        note(format_problem(problem))
    note_estimate(found)


def note_estimate(found: Estimate | None) -> None:
    """Print the estimate in one line."""
    if found is not None:
        note(f"note: {estimate_words(found, time.time())}")


def estimate_in_json(found: Estimate | None) -> dict[str, Any] | None:
    """The estimate with the keys of `check --json`."""
    if found is None:
        return None
    from prl_submit.runs.times import iso_time

    return {
        "steps": found.steps,
        "is_rough": found.is_rough,
        "seconds_per_step": found.pace.seconds if found.pace else None,
        "source": found.pace.source if found.pace else None,
        "ends_at": None if found.seconds is None else iso_time(time.time() + found.seconds),
    }


def note_sweep_estimate(found: SweepEstimate | None) -> None:
    """Print the estimate of a sweep in one line."""
    if found is not None:
        from prl_submit.sweeps.sweep_estimate import sweep_estimate_words

        note(f"note: {sweep_estimate_words(found, time.time())}")


def sweep_estimate_in_json(found: SweepEstimate | None) -> dict[str, Any] | None:
    """The estimate of a sweep for --json."""
    if found is None:
        return None
    from prl_submit.runs.times import iso_time

    ends_at = None if found.all_s is None else iso_time(time.time() + found.all_s)
    return {**msgspec.structs.asdict(found), "ends_at": ends_at}
