"""Following a run: its log is printed until the job has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prl_submit import backends
from prl_submit.cli.console import note, raw
from prl_submit.cli.log_copies import finish, log_copier
from prl_submit.cli.run_lines import describe
from prl_submit.cli.watch import Background, Watch, news
from prl_submit.runs.directory import Run
from prl_submit.runs.limits import limits_of
from prl_submit.runs.logs import LogReader, follow, node_logs
from prl_submit.runs.plan_file import find_plan
from prl_submit.runs.signs_of_life import last_size
from prl_submit.runs.states import FINISHED, QUEUED, Status
from prl_submit.spec.traits import DEFAULT, find_traits

if TYPE_CHECKING:
    from prl_submit.results.step_words import ShortSteps


def follow_run(
    run: Run,
    *,
    reader: LogReader | None = None,
    seen: dict[Path, int] | None = None,
    shorten: ShortSteps | None = None,
) -> Status:
    """Print the run's log to its end; the last status. While the run is queued, say why.

    `seen`: how many bytes of each log the user knows already, which are not printed. `shorten`: makes short
    lines of what ms-swift prints of a step.
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

    output = _Output(shorten)
    follow(reader, output.write, is_finished)
    output.end()
    return watcher.last()


class _Output:
    """The log on stdout."""

    def __init__(self, shorten: ShortSteps | None) -> None:
        self._shorten = shorten
        self._last = b"\n"

    def write(self, content: bytes) -> None:
        """Print the next piece of the log."""
        if self._shorten is not None:
            content = self._shorten(content)
        self._last = content[-1:] or self._last
        raw(content)

    def end(self) -> None:
        """End the last line: a progress bar has no line end, and the next message needs a line of its own."""
        if self._shorten is not None and self._shorten.is_holding:
            self.write(b"\n")
        elif self._last != b"\n":
            raw(b"\n")


def _may_have_several_nodes(run: Run) -> bool:
    """True if the job has several nodes, or if only the platform will tell how many it has."""
    if run.record is None:
        return False
    if limits_of(run.path, run.record).nodes > 1:
        return True
    traits = find_traits(run.record.backend)
    if traits is None or not traits.nodes_tell_size:
        return False
    plan, size = find_plan(run.path), last_size(run.path)
    if plan is None or not plan.unstated:
        return False
    return size is None or size[0] > 1


def node_name(run: Run) -> Callable[[int], str] | None:
    """The name of a node by its number, to mark each line of the log; None for a run on one node."""
    several = len(node_logs(run.path)) > 1 or _may_have_several_nodes(run)
    name = run.record.backend if run.record else DEFAULT
    return backends.load(name).node_name if several else None
