"""Following several runs: the lines of their logs, each with the name of its run before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prl_submit.cli.console import note, raw
from prl_submit.cli.log_copies import finish, log_copier
from prl_submit.cli.run_lines import describe
from prl_submit.cli.watch import Watch, news
from prl_submit.runs.directory import Run
from prl_submit.runs.logs import LogReader, follow, node_logs
from prl_submit.runs.states import FINISHED, Status
from prl_submit.system.untrusted_text import words


def follow_runs(runs: Sequence[Run], *, tail: int | None = None) -> list[Status]:
    """Print the logs of all runs until the last has ended; their last statuses."""
    marks = [words(run.record.name if run.record else run.name) for run in runs]
    watch, told = Watch(runs), dict[str, str]()
    copiers = [log_copier(run) for run in runs]
    for copier in copiers:
        copier.start()
    statuses: list[Status] = []

    def find() -> list[tuple[int, Path]]:
        """The logs of all nodes, with the number of their run."""
        return [(at, path) for at, run in enumerate(runs) for _, path in node_logs(run.path)]

    def are_finished() -> bool:
        statuses[:] = watch.look()
        for status in statuses:
            _tell_news(status, told)
        if any(status.state not in FINISHED for status in statuses):
            return False
        for copier in copiers:
            finish(copier)
        return True

    follow(LogReader(find, tail, name=lambda at: marks[at]), raw, are_finished)
    return statuses


def _tell_news(status: Status, told: dict[str, str]) -> None:
    """Print a run's state if it is not the one that was printed last. `told`: what was, by directory."""
    if told.get(status.path) != news(status):
        told[status.path] = news(status)
        note(describe(status))
