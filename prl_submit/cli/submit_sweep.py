"""`submit` of a sweep."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prl_submit import backends
from prl_submit.backends.asking import refreshed, statuses_of
from prl_submit.backends.base import StartCommand
from prl_submit.cli.console import data, document, note
from prl_submit.cli.estimated import note_sweep_estimate, sweep_estimate_in_json
from prl_submit.cli.follow_many import follow_runs
from prl_submit.cli.forward_sigterm import ForwardSigterm
from prl_submit.cli.problems import errors_line
from prl_submit.cli.run_lines import describe, result_code
from prl_submit.cli.views.sweep_tables import (
    combinations_document,
    combinations_table,
    errors_of_sweep,
    note_problems,
    problems_document,
    summary,
)
from prl_submit.cli.watch import wait_for
from prl_submit.errors import EXIT_INTERRUPTED, EXIT_WRONG_INPUT, PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.prepare import Asked
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import CANCEL, QUEUE, QUEUE_LOG
from prl_submit.runs.states import Status
from prl_submit.submission import World
from prl_submit.sweeps.sweep_estimate import SweepEstimate, with_estimates
from prl_submit.sweeps.sweep_plans import SweepPlans, plan_sweep
from prl_submit.sweeps.sweep_submission import SubmittedSweep, submit_sweep
from prl_submit.system.user_paths import output_root


def submit_or_show(
    asked: Asked,
    world: World,
    *,
    dry_run: bool,
    prepare: bool,
    skip_invalid: bool,
    wait: bool,
    follow: bool,
    seconds_per_step: float | None,
    as_json: bool,
) -> int:
    """Submit all combinations, or show them with `dry_run`; the exit code."""
    plans, found = with_estimates(plan_sweep(asked), seconds_per_step)
    if plans.runs and not prepare:
        _refuse_node(plans, world)
    errors = errors_of_sweep(plans)
    # --skip-invalid leaves combinations out. It does not help where the section itself is wrong.
    is_usable = bool(plans.good) and not _is_wrong_itself(plans)
    is_wrong = bool(errors) and not (skip_invalid and is_usable)
    if plans.runs:
        backends.load(plans.runs[0].planned.plan.backend)
    if dry_run and plans.runs:
        _show(plans, found, as_json=as_json)
        return EXIT_WRONG_INPUT if is_wrong else 0
    note_problems(plans)
    if is_wrong:
        note(_refusal(asked.spec, plans))
        return EXIT_WRONG_INPUT
    note_sweep_estimate(found)
    try:
        sweep = submit_sweep(plans, world)
    except KeyboardInterrupt as interrupt:
        return say_interrupted(interrupt.args)
    return after_start(sweep, "submitted", wait=wait, follow=follow, as_json=as_json)


def _refuse_node(plans: SweepPlans, world: World) -> None:
    """Raise PrlSubmitError on a platform's node: it runs one job, and would submit all of them on each node."""
    plan = plans.runs[0].planned.plan
    if not plan.traits.nodes_tell_size:
        return
    if backends.load_options(plan.backend).is_node(plan, world.environ):
        raise PrlSubmitError(
            f"{plans.name} is a sweep, and this machine is a node of one job",
            "prepare the runs where you type, and paste the command of each; here too with --prepare",
        )


def _show(plans: SweepPlans, found: SweepEstimate | None, *, as_json: bool) -> None:
    """Print all combinations, and what is wrong with them."""
    if as_json:
        document(
            {
                "name": plans.name,
                "backend": plans.runs[0].planned.plan.backend,
                "max_parallel": plans.sweep.max_parallel,
                "combinations": combinations_document(plans),
                "estimate": sweep_estimate_in_json(found),
                "problems": problems_document(plans),
            }
        )
        return
    data(combinations_table(plans))
    bad = plans.count - len(plans.good)
    data(summary(plans) + (f"; {bad} with errors" if bad else ""))
    note_problems(plans)
    note_sweep_estimate(found)


def _is_wrong_itself(plans: SweepPlans) -> bool:
    """True if the section `sweep` has an error, whatever the combinations are."""
    return any(problem.severity == "error" for problem in plans.problems)


def _refusal(spec: str, plans: SweepPlans) -> str:
    """The last line about a sweep that is not submitted."""
    if not plans.runs:
        return errors_line(spec, plans.problems)
    bad = plans.count - len(plans.good)
    if _is_wrong_itself(plans) or not plans.good:
        return f"{spec}: no combination can be submitted; nothing was created"
    line = f"{spec}: {bad} of {plans.count} combinations have errors; nothing was created"
    return f"{line}\nhint: --skip-invalid submits the other {len(plans.good)}"


def after_start(
    sweep: SubmittedSweep,
    verb: str,
    *,
    wait: bool,
    follow: bool,
    as_json: bool,
    left: Sequence[Run] = (),
) -> int:
    """Print that the runs were started; with `wait` or `follow` wait for their end. The exit code.

    `left`: runs of the sweep that this command did not start, and whose end is waited for too.
    """
    runs = [*sweep.runs, *left]
    note(_started_line(sweep, verb))
    if sweep.runs and os.path.exists(sweep.folder / QUEUE):
        note("  they wait in a queue on this machine, which must stay up")
        note(f"  queue:   {sweep.folder / QUEUE_LOG}")
    _say_how_to_start(sweep.runs)
    if not wait and not follow:
        if as_json:
            _document(sweep, runs, statuses_of(runs))
            return 0
        data(str(sweep.folder))
        name = typed_sweep(sweep)
        note(f"  status:  prl-submit status {name}")
        note(f"  compare: prl-submit compare {name} --best reward")
        return 0
    try:
        statuses = _stay(runs, follow=follow and not as_json)
    except KeyboardInterrupt:
        runs = [refreshed(run) for run in sweep.runs]  # a queue may have started them meanwhile
        return say_interrupted([SubmittedSweep(sweep.name, sweep.folder, runs)])
    if as_json:
        _document(sweep, runs, statuses)
    elif not follow:
        data(str(sweep.folder))
    return result_code(statuses)


def _started_line(sweep: SubmittedSweep, verb: str) -> str:
    """What was started: how many runs, and which."""
    runs = sweep.runs
    if not runs:
        return f"{sweep.name}: nothing was {verb}"
    names = runs[0].name if len(runs) == 1 else f"{runs[0].name} to {runs[-1].name}"
    line = f"{verb} {sweep.name}: {len(runs)} run{'s' if len(runs) > 1 else ''}, {names}"
    cancelled = sum(_was_cancelled_first(run) for run in runs)
    return f"{line}; {cancelled} of them cancelled meanwhile" if cancelled else line


def _was_cancelled_first(run: Run) -> bool:
    """True if somebody cancelled the run before it was given to its backend."""
    return run.record is not None and run.record.is_waiting and (run.path / CANCEL).exists()


def _say_how_to_start(runs: Sequence[Run]) -> None:
    """Print the command of each run that the user has to start."""
    orders: list[tuple[Run, StartCommand]] = []
    for run in runs:
        order = None
        if run.record is not None and not run.record.is_waiting:
            order = backends.load(run.record.backend).how_to_start(run)
        if order is not None:
            orders.append((run, order))
    if orders:
        note(orders[0][1].where)
    for run, order in orders:
        note(f"# {run.record.name if run.record else run.name}")
        note(order.command)
    if orders and orders[0][1].also is not None:
        note(orders[0][1].also)


def _stay(runs: Sequence[Run], *, follow: bool) -> list[Status]:
    """Wait for the end of all runs; their last statuses."""
    with ForwardSigterm(runs):
        if follow:
            return follow_runs(runs)
        return wait_for(runs, lambda status: note(describe(status)))


def _document(sweep: SubmittedSweep, runs: Sequence[Run], statuses: list[Status]) -> None:
    """Print the sweep and its runs as JSON."""
    from prl_submit.cli.views.shown_runs import detailed

    found = detailed([refreshed(run) for run in runs], statuses)
    document({"sweep": {"name": sweep.name, "path": str(sweep.folder)}, "runs": found})


def typed_sweep(sweep: SubmittedSweep) -> str:
    """The sweep as the user can type it here: its name, or its folder if it is under another root."""
    here = sweep.folder.parent.parent == output_root(None)
    return bash(sweep.name if here else str(sweep.folder))


def say_interrupted(sweeps: Sequence[SubmittedSweep]) -> int:
    """Say after Ctrl-C what was submitted and goes on; the exit code."""
    if not sweeps:
        note("\ninterrupted: nothing was submitted")
    for sweep in sweeps:
        left = len(sweep.runs) - sweep.submitted
        name = typed_sweep(sweep)
        if not left and not sweep.in_doubt:
            note(f"\ninterrupted: {sweep.name} goes on")
        else:
            note(f"\ninterrupted: {sweep.in_words}; what was submitted goes on")
        if left:
            note(f"  submit the rest: prl-submit resume {name}")
        note(f"  status: prl-submit status {name}")
        note(f"  end it: prl-submit cancel {name}")
    return EXIT_INTERRUPTED
