"""Following a run: its log is printed until the job has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prl_submit import backends
from prl_submit.cli.console import note, raw
from prl_submit.cli.log_copies import finish, log_copier
from prl_submit.cli.run_lines import describe
from prl_submit.cli.watch import Background, Watch, news
from prl_submit.runs.directory import Run
from prl_submit.runs.limits import limits_of
from prl_submit.runs.logs import LogReader, follow, node_logs
from prl_submit.runs.states import FINISHED, QUEUED, Status
from prl_submit.spec.traits import DEFAULT


def follow_run(
    run: Run,
    *,
    reader: LogReader | None = None,
    seen: dict[Path, int] | None = None,
) -> Status:
    """Print the run's log to its end; the last status. While the run is queued, say why.

    `seen`: how many bytes of each log the user knows already, which are not printed.
    """
    reader = reader or LogReader(lambda: node_logs(run.path), seen=seen, name=node_name(run))
    watcher = Background(Watch([run]))
    copier = log_copier(run)
    copier.start()
    told = ""

    def is_finished() -> bool:
        nonlocal told
        status = watcher.latest()
        if status is not None and status.state == QUEUED and told != news(status):
            told = news(status)
            note(describe(status))
        if status is None or status.state not in FINISHED:
            return False
        finish(copier)
        return True

    last = b"\n"

    def write(content: bytes) -> None:
        nonlocal last
        last = content[-1:]
        raw(content)

    follow(reader, write, is_finished)
    if (
        last != b"\n"
    ):  # a progress bar ends without a newline; the next message needs a line of its own
        raw(b"\n")
    return watcher.last()


def node_name(run: Run) -> Callable[[int], str] | None:
    """The name of a node by its number, to mark each line of the log; None for a run on one node."""
    several = len(node_logs(run.path)) > 1
    if run.record is not None and limits_of(run.path, run.record).nodes > 1:
        several = True
    name = run.record.backend if run.record else DEFAULT
    return backends.load(name).node_name if several else None
