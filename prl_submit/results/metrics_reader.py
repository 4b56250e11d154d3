"""Reads a run's metrics from its directory, and later only what is new."""

from __future__ import annotations

import os
from pathlib import Path

from prl_submit.results.completions import reward_metrics
from prl_submit.results.line_reader import NewLines
from prl_submit.results.rewards_by_step import RewardsByStep
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import read_run_settings
from prl_submit.results.step_lines import LineParser
from prl_submit.results.step_table import ROWS
from prl_submit.runs.layout import COMPLETIONS, STEPS

#: Longer lines of logging.jsonl are skipped. A step's line has some kB; the last line of a training repeats the whole history.
_LONGEST = 1 << 20
#: So many bytes at the end of logging.jsonl are read at first for the last steps: about 35 steps.
RECENT_BYTES = 1 << 15
#: And of completions.jsonl.
_RECENT_COMPLETIONS = 4 << 20


class MetricsReader:
    """Reads logging.jsonl, and completions.jsonl for the rewards that logging.jsonl does not have.

    The memory that it needs does not grow with the files. The files may grow, may be replaced and may hold
    anything.
    """

    def __init__(self, run: Path, *, rows: int = ROWS, tail: int | None = None) -> None:
        """`rows`: so many rows are kept at least. `tail`: begin so many bytes before the end of logging.jsonl."""
        self._run = run
        self._rows = rows
        self._tail = tail
        self._file = NewLines(run / STEPS, _LONGEST, tail)
        self._replaced = 0
        self._forget()

    def _forget(self) -> None:
        """Begin with no metrics."""
        settings = read_run_settings(self._run)
        self._group = settings.num_generations
        self._rewards = RewardsByStep(
            self._run / COMPLETIONS,
            settings.reward_weights,
            None if self._tail is None else _RECENT_COMPLETIONS,
        )
        self._parser = LineParser()
        self._metrics = RunMetrics(self._rows, whole=self._tail is None)

    def read(self) -> RunMetrics:
        """The metrics of all lines that are written by now."""
        self._file.look()
        if self._file.replaced != self._replaced:
            self._replaced = self._file.replaced
            self._forget()
        self._rewards.refresh()
        self._complete()  # the rewards of the last row may be written only now
        for lines in self._file.blocks():
            for line in lines:
                if line:
                    self._add(line)
        return self._metrics

    def _add(self, text: bytes) -> None:
        """Take in a line of logging.jsonl."""
        try:
            line = self._parser.parse(text)
        except ValueError:
            self._metrics.damaged += 1
            return
        if line is None:
            return
        if self._metrics.add(line):
            self._rewards.restart()
        if self._metrics.lacks_reward:
            self._complete()

    def _complete(self) -> None:
        """Give the last row the rewards of completions.jsonl if logging.jsonl has none."""
        row = self._metrics.last
        if row is None or "reward" in row.values.names:
            return
        rewards = self._rewards.find(row.step)
        if rewards is not None and (found := reward_metrics(rewards, self._group)):
            self._metrics.amend(found)
            self._metrics.rewards_from_completions += 1


def read_metrics(run: Path, *, rows: int = ROWS) -> RunMetrics:
    """The metrics of a run."""
    return MetricsReader(run, rows=rows).read()


def read_recent_metrics(run: Path) -> RunMetrics:
    """What the last lines of logging.jsonl tell: the last steps, but not how many there were, or their attempts.

    It takes less than a millisecond, however long the training is. ms-swift's last line repeats the whole
    history, so more is read if no step is found.
    """
    size = RECENT_BYTES
    while True:
        metrics = MetricsReader(run, tail=size).read()
        if metrics.step is not None or not _is_larger(run / STEPS, size):
            return metrics
        size *= 16


def _is_larger(path: Path, size: int) -> bool:
    try:
        return os.stat(path, follow_symlinks=False).st_size > size
    except OSError:
        return False
