"""How many seconds each step took, from the times that ms-swift writes since an attempt began.

ms-swift writes no time of a single step. It writes the whole seconds since the attempt began
(`elapsed_time`), and a speed, from which these seconds follow more exactly:

    since 3.12.5   train_speed(s/it) = seconds / (step - the attempt's first step)
    before         train_speed(iter/s) = step / seconds
"""

from __future__ import annotations

from math import ceil, floor

from msgspec import Struct

from prl_submit.results.step_lines import LogLine

#: ms-swift rounds speeds to six decimals.
_ROUNDED = 5e-7
#: ms-swift rounds or cuts `elapsed_time` to whole seconds.
_WHOLE = 1.0


class Interval(Struct, frozen=True, gc=False):
    """The time from one logged step to the next. `first`: it is the attempt's first, which has the warm-up."""

    steps: int
    seconds: float
    first: bool

    @property
    def per_step(self) -> float:
        """Seconds per step."""
        return self.seconds / self.steps


class AttemptClock:
    """The times of one attempt. `after`: its step before the first, if that is known."""

    def __init__(self, after: int | None = None) -> None:
        self._began_after = after
        #: The last logged step, and the seconds until now: of that step, or of an evaluation after it.
        self._step: int | None = None
        self._now: float | None = None

    def step(self, line: LogLine) -> Interval | None:
        """The time since the step that was logged before; None if the times are missing or make no sense."""
        now = self._seconds(line)
        first = self._step is None
        before = self._began_after if first else self._step
        since = 0.0 if first else self._now
        self._step, self._now = line.step, now
        if before is None:
            before = line.step - 1
        if now is None or since is None or now <= since or line.step <= before:
            return None
        return Interval(line.step - before, now - since, first)

    def evaluation(self, line: LogLine) -> None:
        """Note the end of an evaluation, so that its time is not counted to the next step."""
        took = line.values.get("runtime") or 0.0
        if not 0 <= took < 1e12:
            return
        if line.seconds_per_step is not None:
            now = self._seconds(line)
        else:
            now = None if self._now is None else self._now + took
        if now is not None and (self._now is None or now >= self._now):
            self._now = now

    def _seconds(self, line: LogLine) -> float | None:
        """The seconds from the attempt's begin to this line, as exactly as the line has them."""
        if line.steps_per_second is not None:
            exact = line.step / line.steps_per_second
            error = exact * _ROUNDED / line.steps_per_second
        elif line.seconds_per_step is not None:
            steps = line.step - self._first_step(line, line.seconds_per_step)
            exact, error = steps * line.seconds_per_step, steps * _ROUNDED
        else:
            return line.elapsed
        if line.elapsed is None:
            return exact
        agrees = abs(exact - line.elapsed) <= 2 * _WHOLE + error
        return exact if agrees and error < _WHOLE else line.elapsed

    def _first_step(self, line: LogLine, speed: float) -> int:
        """The step after which the attempt began: the guess, changed as far as `elapsed_time` asks for."""
        last = line.step - 1
        if self._began_after is not None and line.elapsed is not None and self._began_after <= last:
            exact = (line.step - self._began_after) * speed
            if abs(exact - line.elapsed) <= _WHOLE:
                return self._began_after
        low, high = 0, last
        if line.elapsed is not None:
            low = ceil(line.step - (line.elapsed + _WHOLE) / speed)
            high = floor(line.step - max(line.elapsed - _WHOLE, 0.0) / speed)
        guess = last if self._began_after is None else self._began_after
        if self._step is None and not low <= guess <= high:
            guess = last
        found = max(0, min(max(guess, low), high, last))
        self._began_after = found
        return found
