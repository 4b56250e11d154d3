"""How many steps a job will train and when it would end, before it is started.

The steps are counted from the rows of its data. The seconds of a step are the user's, or those that an
earlier run of the same name took, as it took them: with other sizes or GPUs they will differ.
"""

from __future__ import annotations

import os.path

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.training_rows import training_steps
from prl_submit.planning.plan import Plan, Planned
from prl_submit.results.time_words import in_words, short, until
from prl_submit.runs.layout import STEPS
from prl_submit.runs.same_name import newest_of_name
from prl_submit.spec.nodes import near_origin, problem_at

#: The source of seconds that the user gave.
OPTION = "--seconds-per-step"
#: With more checkpoints than so many, all of which are kept, there is a warning.
_MANY = 50


class StepTime(Struct, frozen=True):
    """The seconds of a step. `source`: OPTION, or the name of the run that took them. `processes`: of that run."""

    seconds: float
    source: str
    processes: int | None = None


class Estimate(Struct, frozen=True):
    """The steps of a training, and how long they take.

    `is_rough`: there may be more steps or fewer. `pace`: None if nothing tells the seconds of a step.
    `checkpoint_every`: the steps between two checkpoints; None if they are not counted in steps.
    """

    steps: int
    is_rough: bool
    pace: StepTime | None
    checkpoint_every: int | None

    @property
    def seconds(self) -> float | None:
        """How long all steps take, without the start and evaluations."""
        return None if self.pace is None else self.steps * self.pace.seconds


def estimate(
    planned: Planned, seconds_per_step: float | None, *, ask_runs: bool = True
) -> Estimate | None:
    """The estimate of a job that can be submitted; None if its number of steps cannot be known.

    `seconds_per_step`: what the user says; None: an earlier run of the same name tells, with `ask_runs`.
    """
    plan = planned.plan
    count = training_steps(planned.job, plan.workdir)
    if count is None:
        return None
    pace = _earlier_pace(plan) if ask_runs and not seconds_per_step else None
    if seconds_per_step:
        pace = StepTime(seconds_per_step, OPTION)
    return Estimate(count.steps, count.is_rough, pace, _checkpoint_every(planned, count.steps))


def _earlier_pace(plan: Plan) -> StepTime | None:
    """The seconds of a step in the newest run of the same name that has trained steps."""
    for run in newest_of_name(plan.output_root, plan.name):
        if os.path.isfile(os.path.join(run, STEPS)):
            pace = _pace_of(run)
            if pace is not None:
                return pace
    return None


def _pace_of(run: str) -> StepTime | None:
    """The seconds of a run's last steps; None if it has none, or only one, which is longer than others."""
    from pathlib import Path

    from prl_submit.results.metrics_reader import read_recent_metrics
    from prl_submit.results.run_settings import read_run_settings
    from prl_submit.results.timing import recent_pace

    path = Path(run)
    found = recent_pace(read_recent_metrics(path))
    if found is None or found.is_rough or found.seconds <= 0:
        return None
    return StepTime(found.seconds, path.name, read_run_settings(path).processes)


def _checkpoint_every(planned: Planned, steps: int) -> int | None:
    """The steps between two checkpoints (transformers' save_strategy and save_steps; ms-swift's defaults)."""
    swift = planned.job.swift
    every = swift.get("save_steps", 500)
    if swift.get("save_strategy", "steps") != "steps" or not isinstance(every, (int, float)):
        return None
    if 0 < every < 1:  # a share of all steps
        every = max(1, round(every * steps))
    return int(every) if every >= 1 else None


def estimate_words(found: Estimate, now: float) -> str:
    """`84,620 steps; at 36 s each 35 days (until 2027-01-04)`; of an earlier run also which. `now`: since 1970."""
    steps = _steps(found)
    if found.pace is None or found.seconds is None:
        return steps
    each = short(found.pace.seconds)
    text = f"{steps}; at {each} s each {in_words(found.seconds)} (until {until(now + found.seconds, now)})"
    if found.pace.source == OPTION:
        return text
    return f"{text}, as {_took(found.pace)}"


def _steps(found: Estimate) -> str:
    about = "about " if found.is_rough else ""
    return f"{about}{found.steps:,} step{'s' if found.steps != 1 else ''}"


def _took(pace: StepTime) -> str:
    """`v25-20261122-210000 took with 2 processes`."""
    if pace.processes is None:
        return f"{pace.source} took"
    return f"{pace.source} took with {pace.processes} process{'es' if pace.processes != 1 else ''}"


def estimate_problems(planned: Planned, found: Estimate) -> list[Problem]:
    """Warnings: the time limit is too short for the steps; more checkpoints are kept than a disk may hold."""
    problems = [_too_short(planned, found), _too_many(planned, found)]
    return [problem for problem in problems if problem is not None]


def _too_short(planned: Planned, found: Estimate) -> Problem | None:
    """The time limit ends the job before its last step, and it is not started again often enough."""
    plan = planned.plan
    restarts = 0 if plan.traits.runs_here else plan.restarts.max  # nobody restarts a local job
    limit, seconds = plan.resources.time_limit, found.seconds
    if not limit or seconds is None or found.pace is None or seconds <= limit:
        return None
    reached = int(limit / found.pace.seconds)
    every = found.checkpoint_every
    given = f"{in_words(limit)} is shorter than {in_words(seconds)}, which {_steps(found)} take at {short(found.pace.seconds)} s each"
    if restarts and every is not None and every > reached:
        told = f"{given}; the first checkpoint is at step {every:,}, but the limit is reached at step {reached:,}, so each restart begins anew"
        hint = f"set swift.save_steps to less than {max(reached, 1):,}, or a longer time_limit"
        return _warning(planned, "resources.time_limit", told, hint)
    if limit * (restarts + 1) >= seconds:
        return None
    told = f"{given}; restarts.max is {restarts}, so the job ends at about step {reached * (restarts + 1):,}"
    hint = "set a longer time_limit, a larger restarts.max, or fewer steps; `resume` goes on from the last checkpoint"
    return _warning(planned, "resources.time_limit", told, hint)


def _too_many(planned: Planned, found: Estimate) -> Problem | None:
    """So many checkpoints are kept that they may fill the disk."""
    every, kept = found.checkpoint_every, planned.job.swift.get("save_total_limit")
    if every is None or kept or found.steps // every <= _MANY:
        return None
    count = found.steps // every
    told = f"{every:,} makes {count:,} checkpoints in {_steps(found)}, and all are kept"
    hint = "swift.save_total_limit keeps only the last ones; or a larger save_steps"
    return _warning(planned, "swift.save_steps", told, hint)


def _warning(planned: Planned, key: str, message: str, hint: str) -> Problem:
    return problem_at(near_origin(planned.tree, key), key, message, hint, "warning")
