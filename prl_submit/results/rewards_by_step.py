"""The rewards of one step after another from completions.jsonl, for steps whose line in logging.jsonl has none.

Before 3.4 ms-swift logs no reward at a step that an evaluation follows: it takes the metrics of the evaluation
that is about to happen, of which there are none yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from prl_submit.results.completions import LONGEST_LINE, Rewards, begin_of, read_rewards
from prl_submit.results.line_reader import NewLines


class RewardsByStep:
    """Finds the rewards of steps, which are asked for in the order of logging.jsonl. Each line is read once."""

    def __init__(self, path: Path, tail: int | None = None) -> None:
        self._file = NewLines(path, LONGEST_LINE, tail)
        self._lines: Iterator[bytes] = iter(())
        self._next: bytes | None = None
        self._before = -1
        #: True until the first line of the present attempt was met: lines of later steps are of the old one.
        self._stale = False

    def refresh(self) -> None:
        """Look for new lines in the file. Until this is called again, nothing new is seen."""
        self._lines = self._file.read()

    def restart(self) -> None:
        """Hear that the next step is the first one of another attempt."""
        self._stale = True

    def find(self, step: int, weights: Sequence[float] | None = None) -> Rewards | None:
        """The rewards of a step; None if they are not written, or not written yet.

        `weights`: of the reward functions, in their order.
        """
        found: Rewards | None = None
        while (line := self._peek()) is not None:
            at, is_old_form = begin_of(line)
            if self._is_later(at, step):
                break
            if found is not None and (at != step or not is_old_form):
                break
            self._next = None
            self._before = at
            if at == step:
                found = _joined(found, read_rewards(line, weights))
        return found

    def _is_later(self, at: int, step: int) -> bool:
        """True if the line's step is still to come in logging.jsonl; False if the line can be dropped or used."""
        if self._stale and 0 <= at < self._before:
            self._stale = False  # the file's steps went back here too
        if at == step:
            self._stale = False
        return at > step and not self._stale

    def _peek(self) -> bytes | None:
        if self._next is None:
            self._next = next(self._lines, None)
        return self._next


def _joined(first: Rewards | None, second: Rewards | None) -> Rewards | None:
    """The rewards of two lines of one step: 3.1 and 3.2 write one for each micro-batch."""
    if first is None or second is None:
        return first or second
    return Rewards(first.step, {}, first.totals + second.totals)
