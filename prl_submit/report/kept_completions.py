"""The completions of a run that a report shows: of all steps, or of steps at even distances if there are too many."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.results.completion_texts import Completion, completions_of
from prl_submit.results.completions import LONGEST_LINE, begin_of, read_batch
from prl_submit.results.line_reader import NewLines

#: A longer text is cut.
LONGEST_TEXT = 50_000


class KeptStep(Struct):
    """The completions of one step.

    `place`: the step is the file's so many-th one, from 0. `size`: about so many characters.
    """

    place: int
    step: int
    completions: list[Completion]
    size: int


class KeptCompletions(Struct):
    """The completions of a file that are kept.

    `steps`: so many steps the file has, of which every `stride`-th and the last one are kept. `cut`: so many
    completions of the last step are left out. `damaged`: so many lines could not be read.
    """

    kept: list[KeptStep]
    steps: int = 0
    stride: int = 1
    cut: int = 0
    damaged: int = 0

    def count(self) -> int:
        """The number of completions."""
        return sum(len(step.completions) for step in self.kept)

    def left_out(self) -> str | None:
        """What the report does not have, in words; None if it has all."""
        told = []
        if len(self.kept) < self.steps:
            few = {1: "the last", 2: "the first and the last"}
            which = few.get(len(self.kept), f"one in {self.stride:,}, and the last")
            told.append(
                f"completions of {len(self.kept):,} of the {self.steps:,} logged steps are kept ({which})"
            )
        if self.cut:
            told.append(f"{self.cut:,} completions of step {self.kept[-1].step:,} are left out")
        return "; ".join(told) or None


class _Keeper:
    """Takes one line after another; keeps at most so many completions, and so many bytes of text."""

    def __init__(self, most: int, size: int, weights: Sequence[float] | None) -> None:
        self.found = KeptCompletions([])
        self._most = most
        self._size = size
        self._weights = weights
        #: All steps in the file, without those that a restarted training repeated.
        self._steps = array("q")
        #: The lines of the last step. 3.1 and 3.2 write several; later releases one, and one of an evaluation.
        self._last: list[bytes] = []
        #: Of all steps that are kept.
        self._count = 0
        self._characters = 0

    def add(self, line: bytes) -> None:
        """Take in the next line."""
        step, is_old_form = begin_of(line)
        if step < 0:
            self.found.damaged += 1
            return
        before = self._steps[-1] if self._steps else -1
        if step == before:
            if is_old_form:
                self._last.append(line)
            return
        if step > before:
            self._keep_last(is_end=False)
        else:
            self._cut(step)
        self._steps.append(step)
        self._last = [line]

    def finish(self) -> KeptCompletions:
        """What is kept of all lines."""
        self._keep_last(is_end=True)
        self.found.steps = len(self._steps)
        self._shorten_last()
        return self.found

    def _cut(self, step: int) -> None:
        """Forget a step and all later ones, because a restarted training repeats them."""
        while self._steps and self._steps[-1] >= step:
            self._steps.pop()
        self._replace([one for one in self.found.kept if one.place < len(self._steps)])

    def _keep_last(self, *, is_end: bool) -> None:
        """Keep the last step if it is one of those at even distances, or the last one of all."""
        place = len(self._steps) - 1
        if not self._last or (place % self.found.stride and not is_end):
            return
        completions = [one for line in self._last for one in self._completions(line)]
        self._last = []
        if completions:
            step = KeptStep(place, self._steps[-1], completions, _size(completions))
            self.found.kept.append(step)
            self._count += len(completions)
            self._characters += step.size
            self._thin_out(is_end=is_end)

    def _completions(self, line: bytes) -> Iterator[Completion]:
        batch = read_batch(line, self._weights)
        if batch is None:
            self.found.damaged += 1
            return
        for one in completions_of(batch):
            yield msgspec.structs.replace(
                one, prompt=shortened(one.prompt), completion=shortened(one.completion)
            )

    def _thin_out(self, *, is_end: bool) -> None:
        """Drop every second step until the rest is not too much. At the end the last step stays."""
        while len(self.found.kept) > 1 and self._is_too_much():
            self.found.stride *= 2
            stride, last = self.found.stride, self.found.kept[-1] if is_end else None
            kept = [one for one in self.found.kept if one.place % stride == 0 or one is last]
            self._replace(kept if len(kept) != 2 or last is None else self._first_too(kept))

    def _first_too(self, kept: list[KeptStep]) -> list[KeptStep]:
        """The first and the last step, or the last one alone if both together are too much."""
        self._replace(kept)
        return kept[1:] if self._is_too_much() else kept

    def _replace(self, kept: list[KeptStep]) -> None:
        self.found.kept = kept
        self._count = sum(len(step.completions) for step in kept)
        self._characters = sum(step.size for step in kept)

    def _is_too_much(self) -> bool:
        return self._count > self._most or self._characters > self._size

    def _shorten_last(self) -> None:
        """Cut the last step if that step alone is too much."""
        if len(self.found.kept) != 1 or not self._is_too_much():
            return
        (last,) = self.found.kept
        whole, room, count = last.completions, self._size, 0
        for one in islice(whole, self._most):
            room -= len(one.prompt) + len(one.completion)
            if room < 0 and count:
                break
            count += 1
        last.completions = whole[:count]
        self.found.cut = len(whole) - count


def _size(completions: Sequence[Completion]) -> int:
    """About so many characters. The completions of a group have one prompt, which is kept once."""
    prompts = sum(map(len, {one.prompt for one in completions}))
    return prompts + sum(len(one.completion) for one in completions)


def shortened(text: str) -> str:
    """The text, cut if it is too long, with the number of characters that are left out."""
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]}\n… [{len(text) - LONGEST_TEXT:,} more characters are not in this report]"


def keep_completions(
    path: Path, most: int, size: int, weights: Sequence[float] | None = None
) -> KeptCompletions:
    """Read completions.jsonl: at most `most` completions and about `size` bytes of text, evenly over the steps.

    The memory that it needs does not grow with the file, but for 8 bytes a step. Of a step that a restarted
    training repeated, the later completions are kept.
    """
    keeper = _Keeper(most, size, weights)
    for line in NewLines(path, LONGEST_LINE).read():
        if line:
            keeper.add(line)
    return keeper.finish()


def parts(kept: KeptCompletions, count: int = 2000) -> Iterator[dict[str, Any]]:
    """The completions in columns, some steps at a time, as the page reads them. Each prompt of a part is there once.

    `count`: so many completions are in a part, if its last step has no more of them.
    """
    steps: list[KeptStep] = []
    held = 0
    for step in kept.kept:
        steps.append(step)
        held += len(step.completions)
        if held >= count:
            yield _columns(steps)
            steps, held = [], 0
    if steps:
        yield _columns(steps)


def _columns(steps: Sequence[KeptStep]) -> dict[str, Any]:
    all_ = [(step.step, one) for step in steps for one in step.completions]
    prompts: dict[str, int] = {}
    places = [prompts.setdefault(one.prompt, len(prompts)) for _, one in all_]
    functions = list(dict.fromkeys(name for _, one in all_ for name in one.rewards))
    return {
        "step": [step for step, _ in all_],
        "number": [one.number for _, one in all_],
        "prompt": places,
        "prompts": list(prompts),
        "completion": [one.completion for _, one in all_],
        "reward": [finite(one.reward) for _, one in all_],
        "advantage": [finite(one.advantage) for _, one in all_],
        "rewards": {name: _values(all_, _reward_of(name)) for name in functions},
    }


def _reward_of(name: str) -> Callable[[Completion], float | None]:
    return lambda one: one.rewards.get(name)


def _values(
    all_: Sequence[tuple[int, Completion]], value: Callable[[Completion], float | None]
) -> list[float | None]:
    return [finite(value(one)) for _, one in all_]


def finite(value: float | None) -> float | None:
    """The number; None if it is NaN or infinite, which JSON does not have."""
    return value if value is not None and isfinite(value) else None
