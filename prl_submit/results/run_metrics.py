"""What a run's logging.jsonl tells of the training, line by line, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isfinite, nan
from statistics import fmean

from msgspec import Struct

from prl_submit.results.attempt_clock import AttemptClock, Interval
from prl_submit.results.step_lines import EVALUATED, SUMMARY, LogLine, Values
from prl_submit.results.step_table import ROWS, StepTable

#: So many last rows are kept one by one.
_RECENT = 256
#: So many first rows are kept one by one.
_FIRST = 16
#: The column of the measured time of a step.
SECONDS = "seconds_per_step"


class Row(Struct, gc=False):
    """One logged step.

    `seconds`: per step since the row before, without evaluations; None if unknown, or in an attempt's first row.
    `steps`: so many steps lie between the row before and this one.
    """

    step: int
    values: Values
    seconds: float | None
    steps: int = 1


class TimedSteps(Struct):
    """How long the steps took. Each attempt's first row, evaluations, and time between attempts are not in it.

    `seconds`, `steps`: of all rows that were timed. `tokens`: the completions' mean length times the steps,
    of the rows in `steps_with_length`. `warm_up`: the seconds of the attempts' first rows, which are
    `warm_up_steps` steps. `evaluations`: the seconds of all evaluations.
    """

    seconds: float = 0.0
    steps: int = 0
    tokens: float = 0.0
    steps_with_length: int = 0
    seconds_with_length: float = 0.0
    warm_up: float = 0.0
    warm_up_steps: int = 0
    evaluations: float = 0.0


class _Places(Struct, frozen=True):
    """Where in rows of these names the metrics are that each row is asked for; None: nowhere.

    `timed`: the names, and that of the step's time.
    """

    names: tuple[str, ...]
    timed: tuple[str, ...]
    length: int | None
    memory: int | None
    has_reward: bool


def mean(values: Sequence[float]) -> float | None:
    """The mean of finite numbers, however large they are; None if there are none."""
    if not values:
        return None
    try:
        return fmean(values)
    except OverflowError:
        return sum(value / len(values) for value in values)


def _places(names: tuple[str, ...]) -> _Places:
    length, memory = (
        names.index(name) if name in names else None for name in ("completion_length", "memory_gib")
    )
    return _Places(names, (*names, SECONDS), length, memory, "reward" in names)


class AttemptSteps(Struct):
    """The steps that one attempt logged: its first and its last."""

    first: int
    last: int


class RunMetrics:
    """All that is known of a training. If it was restarted, the steps that it repeats are in it once.

    `training`, `evaluations`: the metrics by step, under the names of `metric_names`. `recent`, `first`: the
    last and the first rows one by one. `summary`: the metrics of the line at the training's end.
    `not_finite`: for each metric that was NaN or infinite, the last such step. `damaged`: lines that could
    not be read. `rewards_from_completions`: rows whose reward is from completions.jsonl.
    """

    def __init__(
        self, rows: int = ROWS, *, whole: bool = True, began_again: frozenset[int] = frozenset()
    ) -> None:
        """`whole`: the lines begin with the training's first one, not somewhere in the middle.

        `began_again`: steps with which an attempt began, where launch.sh has moved the lines that it repeats.
        """
        self.began_again = began_again
        self.training = StepTable(rows)
        self.evaluations = StepTable(rows)
        self.recent: deque[Row] = deque(maxlen=_RECENT)
        self.first: list[Row] = []
        self.attempts: list[AttemptSteps] = []
        self.pace = TimedSteps()
        self.step: int | None = None
        self.max_steps: int | None = None
        self.summary: Values | None = None
        self.not_finite: dict[str, int] = {}
        self.peak_memory_gib: float | None = None
        self.logged = 0
        self.damaged = 0
        self.rewards_from_completions = 0
        self.is_whole = whole
        self._clock = AttemptClock(0 if whole else None)
        self._elapsed = 0.0
        self._gap = 1
        self._places = _places(())
        #: The metrics of the last evaluation.
        self._evaluated = Values((), ())

    @property
    def last(self) -> Row | None:
        """The last logged step."""
        return self.recent[-1] if self.recent else None

    @property
    def lacks_reward(self) -> bool:
        """True if the last row's line in logging.jsonl has no reward."""
        return self.step is not None and not self._places.has_reward

    def latest(self, name: str, most: int = _RECENT) -> list[float]:
        """The finite values of a metric in the last rows that are kept one by one, `most` of them at most."""
        rows = list(self.recent)[-most:]
        found = []
        names: tuple[str, ...] = ()
        place = -1
        for row in rows:
            if row.values.names is not names:  # rows of one layout share them
                names = row.values.names
                place = names.index(name) if name in names else -1
            if place >= 0 and isfinite(row.values.numbers[place]):
                found.append(row.values.numbers[place])
        return found

    def add(self, line: LogLine) -> bool:
        """Take in the next line. True if it is a training step that begins a new attempt."""
        self.max_steps = line.max_steps or self.max_steps
        if line.kind == SUMMARY:
            self.summary = line.values
            return False
        if line.kind == EVALUATED:
            self._add_evaluation(line)
            return False
        restarted = self._restarts(line)
        if restarted:
            self._restart(line.step)
        self._add_step(line)
        return restarted

    def amend(self, more: dict[str, float]) -> None:
        """Add metrics to the last row that its line in logging.jsonl does not have."""
        row = self.last
        if row is not None:
            row.values = row.values.with_more(more)
            self.training.amend(row.values)

    def _add_evaluation(self, line: LogLine) -> None:
        """Take in the line of an evaluation. With several validation sets a step has several lines."""
        self._clock.evaluation(line)
        took = line.values.get("runtime")
        if took is not None and 0 < took < 1e12:
            self.pace.evaluations += took
        values, before = line.values, self.evaluations.last_step
        if before is not None and before >= line.step:
            self.evaluations.cut(line.step)
            if before == line.step:
                more = zip(values.names, values.numbers, strict=True)
                values = self._evaluated.with_more(dict(more))
        self._evaluated = values
        self.evaluations.append(line.step, values)

    def _restarts(self, line: LogLine) -> bool:
        """True if another attempt wrote this line: it repeats a step, its time began anew, or its steps did."""
        if self.step is None:
            return False
        if line.step <= self.step or (line.elapsed is not None and line.elapsed < self._elapsed):
            return True
        if self.began_again and any(self.step < first <= line.step for first in self.began_again):
            return True
        return self._has_fewer_steps(line)

    def _has_fewer_steps(self, line: LogLine) -> bool:
        """True if the line's speed is that of fewer steps than this attempt has logged.

        `elapsed_time` has whole seconds, so the attempt is less than a second older.
        """
        speed, elapsed = line.seconds_per_step, line.elapsed
        if not speed or elapsed is None or speed < 0:
            return False
        return (elapsed + 1) / speed < line.step - self.attempts[-1].first

    def _restart(self, step: int) -> None:
        self.training.cut(step)
        self.evaluations.cut(step)
        while self.recent and self.recent[-1].step >= step:
            self.recent.pop()
        self.first = [row for row in self.first if row.step < step]
        self.not_finite = {name: at for name, at in self.not_finite.items() if at < step}
        self.summary = None
        self._clock = AttemptClock(max(0, step - self._gap))
        self.attempts.append(AttemptSteps(step, step))

    def _add_step(self, line: LogLine) -> None:
        if not self.attempts:
            self.attempts.append(AttemptSteps(line.step, line.step))
        elif self.step is not None and line.step > self.step:
            self._gap = line.step - self.step
        if self._places.names is not line.values.names:
            self._places = _places(line.values.names)
        numbers = line.values.numbers
        seconds = self._count(self._clock.step(line), numbers)
        values = Values(self._places.timed, (*numbers, nan if seconds is None else seconds))
        row = Row(line.step, values, seconds, self._gap)
        self.training.append(line.step, values)
        self.recent.append(row)
        if len(self.first) < _FIRST:
            self.first.append(row)
        self.step = self.attempts[-1].last = line.step
        self._elapsed = line.elapsed if line.elapsed is not None else 0.0
        self.logged += 1
        self._watch(line)

    def _count(self, interval: Interval | None, numbers: tuple[float, ...]) -> float | None:
        """Add the time to the pace; the seconds per step, or None if the row is not timed."""
        if interval is None:
            return None
        if interval.first:
            self.pace.warm_up += interval.seconds
            self.pace.warm_up_steps += interval.steps
            return None
        pace = self.pace
        pace.seconds += interval.seconds
        pace.steps += interval.steps
        length = nan if self._places.length is None else numbers[self._places.length]
        if isfinite(length):
            pace.tokens += length * interval.steps
            pace.steps_with_length += interval.steps
            pace.seconds_with_length += interval.seconds
        return interval.per_step

    def _watch(self, line: LogLine) -> None:
        """Note values that are not finite, and the peak of the memory."""
        values = line.values
        if not line.is_finite:
            for name, value in zip(values.names, values.numbers, strict=True):
                if not isfinite(value):
                    self.not_finite[name] = line.step
        memory = 0.0 if self._places.memory is None else values.numbers[self._places.memory]
        if memory > (self.peak_memory_gib or 0.0) and isfinite(memory):
            self.peak_memory_gib = memory
