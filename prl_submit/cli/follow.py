"""Following a run: its output is printed until the job has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prl_submit import backends
from prl_submit.cli.console import note, raw
from prl_submit.cli.log_copies import finish, log_copier
from prl_submit.cli.run_lines import describe
from prl_submit.cli.watch import Background, Watch, news
from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import PLAN, Run
from prl_submit.runs.logs import LogReader, follow, node_logs
from prl_submit.runs.plan_file import read_plan
from prl_submit.runs.states import FINISHED, QUEUED, Status
from prl_submit.spec.traits import DEFAULT


def follow_run(
    run: Run,
    *,
    reader: LogReader | None = None,
    seen: dict[Path, int] | None = None,
) -> Status:
    """Print the run's output to its end and return how it ended; say what it waits for."""
    reader = reader or LogReader(lambda: node_logs(run.path), seen=seen, name=node_name(run))
    watcher = Background(Watch([run]))
    keeper = log_copier(run)
    keeper.start()
    told = ""

    def is_finished() -> bool:
        nonlocal told
        status = watcher.latest()
        if status is not None and status.state == QUEUED and told != news(status):
            told = news(status)
            note(describe(status))
        if status is None or status.state not in FINISHED:
            return False
        finish(keeper)
        return True

    last = b"\n"

    def write(content: bytes) -> None:
        nonlocal last
        last = content[-1:]
        raw(content)

    follow(reader, write, is_finished)
    if last != b"\n":  # a progress bar; what is said next begins a line
        raw(b"\n")
    return watcher.last()


def node_name(run: Run) -> Callable[[int], str] | None:
    """What nodes of the run are called where each line is marked with its own; None: it has one."""
    try:
        several = read_plan(run.path / PLAN).plan.resources.nodes > 1
    except PrlSubmitError:
        several = len(node_logs(run.path)) > 1
    name = run.record.backend if run.record else DEFAULT
    return backends.load(name).node_name if several else None
