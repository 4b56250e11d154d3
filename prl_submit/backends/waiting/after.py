"""`--after RUN`: what a job waits for, decided when it is submitted.

If the job's scheduler can wait for the other jobs itself, it does. Else the waiting queue does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from prl_submit import backends
from prl_submit.backends.asking import states_of
from prl_submit.backends.waiting.names import short_name
from prl_submit.backends.waiting.predecessors import may_go_on
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.planning.plan import AfterRun, Plan, Planned, Resolved
from prl_submit.runs.belonging import COPY, belonging
from prl_submit.runs.directory import Run, find_runs
from prl_submit.runs.states import FINISHED, SUCCEEDED, State

#: The words of `explain` for who waits.
_BY_QUEUE = "the waiting queue of this machine starts the job"
_DONE = "all of them have succeeded"


def wait_for(planned: Planned, names: Sequence[str]) -> Planned:
    """The plan of a job that starts when these runs have succeeded. `names`: RUNs of the command line.

    Raises PrlSubmitError for a run that did not succeed, or if the backend cannot hold a job back.
    """
    if not names:
        return planned
    return wait_for_found(planned, names, open_runs(names, planned.plan))


def wait_for_found(
    planned: Planned, names: Sequence[str], found: Sequence[tuple[Run, State]]
) -> Planned:
    """The plan of a job that starts when the runs have succeeded that `open_runs` found for `names`."""
    plan = put_into(planned.plan, found)
    by_whom = _BY_QUEUE if plan.after else _DONE
    if plan.after_jobs:
        by_whom = f"afterok:{':'.join(plan.after_jobs)}, so the scheduler waits"
    value = Resolved("after", list(names), "flag", f"--after: {by_whom}")
    return msgspec.structs.replace(planned, plan=plan, values=[*planned.values, value])


def wait_anew(plan: Plan) -> Plan:
    """The plan of a job that never started: it waits for those of its runs that have not succeeded by now.

    Raises PrlSubmitError as `open_runs` does.
    """
    if not plan.after:
        return plan
    return put_into(plan, open_runs([each.run for each in plan.after], plan, _never_still))


def open_runs(
    names: Sequence[str],
    plan: Plan,
    never: Callable[[str, Run, State], PrlSubmitError] | None = None,
) -> list[tuple[Run, State]]:
    """The runs that have not succeeded yet, of those that `names` name. Raises PrlSubmitError.

    `never`: makes the error for a run that has ended, and not well. Default: that of `--after`.
    """
    refusal = backends.load(plan.backend).refusal_to_wait(plan)
    if refusal is not None:
        raise refusal
    runs = [run for name in names for run in find_runs(name, Path(plan.output_root))]
    unique = list({str(run.path): run for run in runs}.values())
    found = list(zip(unique, states_of(unique), strict=True))
    for run, state in found:
        is_here = run.path.parent == Path(plan.output_root)
        name = short_name(run.path) if is_here else bash(str(run.path))
        if state.unreachable is not None:
            raise BackendUnreachableError(f"--after {name}: {state.unreachable}")
        if state.state in FINISHED - {SUCCEEDED} and not may_go_on(run, state):
            raise (never or _never)(name, run, state)
    return [(run, state) for run, state in found if state.state != SUCCEEDED]


def _never(name: str, run: Run, state: State) -> PrlSubmitError:
    """The error for a run that has ended, and not well. `name`: what the user can type for it."""
    where = belonging(run) if run.record is not None else None
    if where is not None and where.kind == COPY:
        message = f"--after {name}: {name} is {where.words}; nothing was created"
        return PrlSubmitError(message, f"--after {bash(where.origin)}")
    return PrlSubmitError(
        f"--after {name}: {name} {state.state}, so a job after it would never start; nothing was created",
        f"`prl-submit status {name}` says why; resume {name} first, or leave --after out",
    )


def _never_still(name: str, run: Run, state: State) -> PrlSubmitError:
    """The error for a run that has ended, and not well, where a job that waited for it is resumed."""
    return PrlSubmitError(
        f"it starts after {name}, and {name} {state.state}, so it would never start; nothing was submitted",
        f"resume {name} first; `prl-submit status {name}` says why it ended",
    )


def put_into(plan: Plan, found: Sequence[tuple[Run, State]]) -> Plan:
    """The plan of a job that waits for these runs."""
    backend = backends.load(plan.backend)
    jobs = [backend.job_to_wait_for(run, state) for run, state in found]
    ids = [job for job in jobs if job is not None]
    after = [AfterRun(str(run.path), run.require_record().job_id) for run, _ in found]
    by_scheduler = len(ids) == len(found)
    return msgspec.structs.replace(plan, after=after, after_jobs=ids if by_scheduler else [])
