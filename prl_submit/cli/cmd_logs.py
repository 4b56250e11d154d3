"""The command `logs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from prl_submit.cli.console import data, note, raw
from prl_submit.cli.follow import follow_run, node_name
from prl_submit.cli.log_copies import finish, log_copier
from prl_submit.cli.run_lines import describe, interrupted, result_code, title
from prl_submit.cli.shared_options import output_root_option, run_argument
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import Run, find_runs
from prl_submit.runs.final_state import read_verdict
from prl_submit.runs.layout import SLURM_LOG
from prl_submit.runs.logs import LogReader, node_logs, rank_logs
from prl_submit.runs.plan_file import read_plan
from prl_submit.runs.signs_of_life import last_size
from prl_submit.runs.states import finished_state
from prl_submit.spec.sections import Resources
from prl_submit.system.user_paths import output_root as output_root_of

if TYPE_CHECKING:
    from prl_submit.results.step_words import ShortSteps

Find = Callable[[], list[tuple[int, Path]]]


@click.command("logs")
@run_argument(many=False)
@click.option(
    "--follow",
    "-f",
    is_flag=True,
    help="Print new lines until the job has ended; exit 0 if it succeeded, else 1.",
)
@click.option(
    "--tail", type=click.IntRange(0), metavar="N", help="Begin with the last N lines of the log."
)
@click.option(
    "--node",
    type=click.IntRange(0),
    metavar="N",
    help="Print the log of node N only; nodes count from 0.",
)
@click.option(
    "--rank",
    type=click.IntRange(0),
    metavar="R",
    help="Print the log of rank R only. Needs PET_TEE=3 in the job's environment, with which torchrun writes a log for each rank.",
)
@click.option(
    "--raw",
    "as_it_is",
    is_flag=True,
    help="With -f: print steps as ms-swift does, not as a short line.",
)
@output_root_option
def logs(
    run: str,
    follow: bool,
    tail: int | None,
    node: int | None,
    rank: int | None,
    as_it_is: bool,
    output_root: str | None,
) -> int:
    """Print a run's log; with -f also the lines that are still to come.

    The logs of a sweep are printed one after the other; with -f together, each line with its run's name.
    """
    runs = find_runs(run, output_root_of(output_root))
    if len(runs) > 1 and follow:
        return _follow_all(runs, tail)
    for number, found in enumerate(runs):
        if len(runs) > 1:
            data(f"{chr(10) if number else ''}==> {title(found)} <==")
        code = _print(found, follow, tail, node, rank, as_it_is)
    return code


def _follow_all(runs: list[Run], tail: int | None) -> int:
    """Print the logs of a sweep's runs together until all have ended; the exit code."""
    from prl_submit.cli.follow_many import follow_runs

    try:
        return result_code(follow_runs(runs, tail=tail))
    except KeyboardInterrupt:
        return interrupted(runs)


def _print(
    found: Run, follow: bool, tail: int | None, node: int | None, rank: int | None, as_it_is: bool
) -> int:
    """Print the log of one run; the exit code."""
    find = _logs_of(found, node, rank)
    name = node_name(found) if node is None and rank is None else None
    if follow:
        try:
            reader = LogReader(find, tail, name=name)
            status = follow_run(found, reader=reader, shorten=None if as_it_is else _short_steps())
        except KeyboardInterrupt:
            return interrupted([found])
        note(describe(status))
        return result_code([status])
    finish(log_copier(found))
    if not find():
        find, name = _instead(found, node, rank), None
    for piece in LogReader(find, tail, name=name).read(last=True):
        raw(piece)
    return 0


def _short_steps() -> ShortSteps:
    from prl_submit.results.step_words import ShortSteps

    return ShortSteps()


def _logs_of(run: Run, node: int | None, rank: int | None) -> Find:
    """A function that finds the log files of the node or rank.

    Raises PrlSubmitError for a node or rank that the run does not have.
    """
    if node is None and rank is None:
        return lambda: node_logs(run.path)
    resources = _resources(run)
    if resources is None:  # the platform has not started the job, so nobody knows its size
        return lambda: node_logs(run.path, node or 0) if rank is None else []
    if node is not None and not node < resources.nodes:
        raise PrlSubmitError(f"{run.name} has no node {node}; it has 0 to {resources.nodes - 1}")
    if rank is None:
        return lambda: node_logs(run.path, node)
    if not rank < resources.nodes * resources.nproc_per_node:
        world = resources.nodes * resources.nproc_per_node
        raise PrlSubmitError(f"{run.name} has no rank {rank}; it has 0 to {world - 1}")
    place, local_rank = divmod(rank, resources.nproc_per_node)
    if node not in (None, place):
        raise PrlSubmitError(f"rank {rank} of {run.name} is on node {place}, not on node {node}")
    return lambda: rank_logs(run.path, place, local_rank)


def _resources(run: Run) -> Resources | None:
    """The size of the job; None if the spec leaves it to the platform, and no node has told it yet."""
    plan = read_plan(run.path).plan
    if not plan.unstated:
        return plan.resources
    size = last_size(run.path)
    if size is None:
        return None
    return msgspec.structs.replace(plan.resources, nodes=size[0], nproc_per_node=size[1])


def _instead(run: Run, node: int | None, rank: int | None) -> Find:
    """A function that finds the scheduler's log, for a run that has no log yet.

    Raises PrlSubmitError where only the logs of single ranks are missing.
    """
    if rank is not None and node_logs(run.path):
        raise PrlSubmitError(
            f"{run.name} does not log its ranks apart",
            "submit with --set environment.env.PET_TEE=3; `--node N` shows a whole node",
        )
    log = run.path / SLURM_LOG
    scheduler = [log] if log.exists() else []
    is_over = finished_state(run) is not None or read_verdict(run) is not None
    note(
        f"{run.name} has no log{'' if is_over else ' yet'}"
        + ("; the scheduler's:" if scheduler else "")
    )
    return lambda: [(node or 0, path) for path in scheduler]


command = logs
