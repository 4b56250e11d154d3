"""Reads a run's metrics from its directory, and later only what is new."""

from __future__ import annotations

import os
from pathlib import Path

from prl_submit.results.completions import reward_metrics
from prl_submit.results.line_reader import NewLines
from prl_submit.results.logged_values import printed_object
from prl_submit.results.repeated_steps import read_restarts
from prl_submit.results.rewards_by_step import RewardsByStep
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import RunSettings, read_run_settings
from prl_submit.results.step_lines import LineParser
from prl_submit.results.step_table import ROWS
from prl_submit.runs.layout import COMPLETIONS, LOGS, STEPS, kept_file, node_log

#: Longer lines of logging.jsonl are skipped. A step's line has some kB; the last line of a training repeats the whole history.
_LONGEST = 1 << 20
#: So many bytes at the end of logging.jsonl are read at first for the last steps: about 35 steps.
RECENT_BYTES = 1 << 15
#: And so many at most. In a file of ms-swift the last step is not further from the end.
_FURTHEST = 64 << 20
#: And of completions.jsonl.
_RECENT_COMPLETIONS = 4 << 20
#: Reads the last lines of all runs.
_PARSER = LineParser()


class MetricsReader:
    """Reads the metrics of a run. The memory that it needs does not grow with the files.

    The files may grow, may be replaced and may hold anything. Rewards that logging.jsonl does not have are
    read from completions.jsonl. Where the run directory is not on this machine's disk, the copied log of
    node 0 is read too, in which ms-swift prints the same lines; then the file that is further counts.
    """

    def __init__(
        self,
        run: Path,
        *,
        rows: int = ROWS,
        tail: int | None = None,
        parser: LineParser | None = None,
    ) -> None:
        """`rows`: so many rows are kept at least. `tail`: begin so many bytes before the end of the files.

        `parser`: one that other runs use too, because most runs have lines of the same layouts.
        """
        self._logged = _LoggedSteps(run, rows, tail, parser)
        self._printed: _PrintedSteps | None = None
        self._arguments = run, rows, tail, parser
        self._kept = kept_file(run / LOGS, 0)

    def read(self) -> RunMetrics:
        """The metrics of all lines that are written by now."""
        logged = self._logged.read()
        if not os.path.exists(self._kept):
            return logged
        if self._printed is None:
            self._printed = _PrintedSteps(*self._arguments)
        printed = self._printed.read()
        return printed if (printed.step or -1) > (logged.step or -1) else logged


class _Steps:
    """The steps in one file."""

    def __init__(self, path: Path, rows: int, tail: int | None, parser: LineParser | None) -> None:
        self._shared_parser = parser
        self._file = NewLines(path, _LONGEST, tail)
        self._rows = rows
        self._tail = tail
        self._replaced = 0
        self._forget()

    def _forget(self) -> None:
        """Begin with no metrics."""
        self._parser = self._shared_parser or LineParser()
        self._metrics = RunMetrics(
            self._rows, whole=self._tail is None, began_again=self._began_again()
        )

    def _began_again(self) -> frozenset[int]:
        """The steps with which attempts began that this file does not show any more."""
        return frozenset()

    def read(self) -> RunMetrics:
        """The metrics of all lines that are written by now."""
        self._file.look()
        if self._file.replaced != self._replaced:
            self._replaced = self._file.replaced
            self._forget()
        for lines in self._file.blocks():
            for line in lines:
                if line:
                    self._add(line)
        return self._metrics

    def _add(self, text: bytes) -> None:
        raise NotImplementedError


class _LoggedSteps(_Steps):
    """The steps of logging.jsonl."""

    def __init__(self, run: Path, rows: int, tail: int | None, parser: LineParser | None) -> None:
        self._run = run
        super().__init__(run / STEPS, rows, tail, parser)

    def _forget(self) -> None:
        super()._forget()
        tail = None if self._tail is None else _RECENT_COMPLETIONS
        self._rewards = RewardsByStep(self._run / COMPLETIONS, tail)
        self._rewards.refresh()
        self._settings: RunSettings | None = None

    def _began_again(self) -> frozenset[int]:
        return read_restarts(self._run)

    def read(self) -> RunMetrics:
        self._rewards.refresh()
        self._complete()  # the rewards of the last row may be written only now
        return super().read()

    def _add(self, text: bytes) -> None:
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
        if self._settings is None:  # ms-swift writes args.json before its first step
            self._settings = read_run_settings(self._run)
        rewards = self._rewards.find(row.step, self._settings.reward_weights)
        group = self._settings.num_generations
        if rewards is not None and (found := reward_metrics(rewards, group)):
            self._metrics.amend(found)
            self._metrics.rewards_from_completions += 1


class _PrintedSteps(_Steps):
    """The steps that ms-swift printed into the log of node 0."""

    def __init__(self, run: Path, rows: int, tail: int | None, parser: LineParser | None) -> None:
        super().__init__(node_log(run / LOGS, 0), rows, tail, parser)

    def _add(self, text: bytes) -> None:
        raw = printed_object(text)
        line = self._parser.parse_object(raw) if raw is not None else None
        if line is not None:
            # A speed has four digits there, so `elapsed_time`, which has whole seconds, is more exact.
            line.seconds_per_step = line.steps_per_second = None
            self._metrics.add(line)


def read_metrics(run: Path, *, rows: int = ROWS) -> RunMetrics:
    """The metrics of a run."""
    return MetricsReader(run, rows=rows).read()


def read_recent_metrics(run: Path) -> RunMetrics:
    """What the last lines tell: the last steps, but not how many there were, or their attempts.

    It takes less than a millisecond, however long the training is.
    """
    return recent_reader(run)[1]


def recent_reader(run: Path, size: int = RECENT_BYTES) -> tuple[MetricsReader, RunMetrics]:
    """A reader that began with the last lines, and what they tell. `size`: so many bytes are read at first.

    ms-swift's last line repeats the whole history, so more is read if no step is found.
    """
    while True:
        reader = MetricsReader(run, tail=size, parser=_PARSER)
        metrics = reader.read()
        is_all = size >= _FURTHEST or not _is_larger(run / STEPS, size)
        if metrics.step is not None or is_all:
            return reader, metrics
        size = min(size * 16, _FURTHEST)


def _is_larger(path: Path, size: int) -> bool:
    try:
        return os.stat(path, follow_symlinks=False).st_size > size
    except OSError:
        return False
