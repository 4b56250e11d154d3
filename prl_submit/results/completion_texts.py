"""The completions of a step one by one, as data and as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from prl_submit.results.completions import Batch
from prl_submit.results.time_words import short

_T = TypeVar("_T")


class Completion(Struct, frozen=True):
    """One completion. `number`: its place in the batch, from 1. `rewards`: of each function, before its weight."""

    number: int
    prompt: str
    completion: str
    reward: float | None
    rewards: dict[str, float | None]
    advantage: float | None


#: Orders in which completions can be shown.
ORDERS: dict[str, Callable[[Completion], float]] = {
    "reward": lambda one: -(one.reward if one.reward is not None else float("-inf")),
    "lowest": lambda one: one.reward if one.reward is not None else float("inf"),
    "length": lambda one: -len(one.completion),
}


def completions_of(batch: Batch, order: str | None = None) -> list[Completion]:
    """The completions of a batch, as they were generated or in an order of ORDERS."""
    rewards = batch.rewards
    found = [
        Completion(
            place + 1,
            _at(batch.prompts, place) or "",
            text,
            _at(rewards.totals, place),
            {name: _at(values, place) for name, values in rewards.by_function.items()},
            _at(batch.advantages, place),
        )
        for place, text in enumerate(batch.completions)
    ]
    return found if order is None else sorted(found, key=ORDERS[order])


def has_text(one: Completion, text: str) -> bool:
    """True if the prompt or the completion has the text, in whatever case."""
    wanted = text.casefold()
    return wanted in one.prompt.casefold() or wanted in one.completion.casefold()


def _at(values: Sequence[_T], place: int) -> _T | None:
    return values[place] if place < len(values) else None


def shown(one: Completion, count: int, step: int, *, prompt_length: int = 400) -> str:
    """A completion as text: a line with its rewards, the end of its prompt, and all that the model wrote."""
    told = [f"step {step}, completion {one.number} of {count}"]
    if one.reward is not None:
        told.append(f"reward {short(one.reward)}")
    told += [
        f"{name} {'-' if value is None else short(value)}" for name, value in one.rewards.items()
    ]
    if one.advantage is not None:
        told.append(f"advantage {short(one.advantage)}")
    prompt = one.prompt.strip()
    if len(prompt) > prompt_length:
        prompt = "… " + prompt[-prompt_length:].lstrip()
    parts = [f"==> {'  '.join(told)} <=="]
    parts += [f"| {line}" for line in prompt.splitlines()]
    return "\n".join([*parts, one.completion.strip("\n"), ""])
