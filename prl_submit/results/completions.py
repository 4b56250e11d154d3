"""The lines of completions.jsonl: what the model wrote, and how each completion was rewarded.

    3.1.1 to 3.2   step, messages, completion, reward                     before the step is trained and logged
    3.3 to 3.6     step, prompt, completion, a column for each reward function    after the step was logged
    3.7            the same, then `advantage`; since 3.8 `advantages`, and columns such as `solution`, `entropy`

Each column is a list with a value for each completion. With an evaluation, or at the end of the training,
ms-swift writes a second line with the number of the last step.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from math import fsum, sqrt
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from prl_submit.results.line_reader import NewLines
from prl_submit.results.logged_values import number
from prl_submit.results.metric_names import REWARD_OF, REWARD_STD_OF
from prl_submit.system.files import tail_bytes

#: A line has all completions of one generation, with their prompts.
LONGEST_LINE = 64 << 20
#: After the columns of the reward functions.
_AFTER_REWARDS = frozenset({"advantages", "advantage"})
#: A line's begin: its step, and whether it is in the form of 3.1 and 3.2.
_BEGIN = re.compile(rb'\{"step": ?\["(\d{1,15})"[^\]]*\], ?"(messages|prompt)"')
#: Each column before it is decoded: texts are passed over quickly.
_COLUMNS = msgspec.json.Decoder(dict[str, Raw])
_NUMBERS = msgspec.json.Decoder(list[float | None])
_ANY = msgspec.json.Decoder()
_MOST_FUNCTIONS = 64
#: A reward as large as this is damage, and its square could not be added up.
_BEYOND = 1e100
#: Bytes to read from the end of the file at first.
_TAIL = 1 << 18


class Rewards(Struct):
    """The rewards of the completions in one line. `step`: the step of logging.jsonl that trained them.

    `by_function`: for each reward function its values, None where it did not apply. Empty in the form of 3.1
    and 3.2, which has `totals` alone.
    """

    step: int
    by_function: dict[str, list[float | None]]
    totals: list[float]


class Batch(Struct):
    """All of one line: the completions of one generation with their prompts."""

    rewards: Rewards
    prompts: list[str]
    completions: list[str]
    advantages: list[float | None]


def read_rewards(line: bytes, weights: Sequence[float] | None = None) -> Rewards | None:
    """The rewards in a line; None if the line is damaged. `weights`: of the reward functions, in their order."""
    try:
        columns = _columns(line)
        steps = _ANY.decode(columns["step"])
        step = int(number(steps[0]) or 0)
    except (ValueError, RecursionError, LookupError, TypeError, OverflowError):
        return None
    if "messages" in columns:
        totals = [number(value) for value in _list(columns.get("reward"))]
        return Rewards(step + 1, {}, [total for total in totals if total is not None])
    functions: dict[str, list[float | None]] = {}
    for name, column in _reward_columns(columns):
        values = _numbers(column)
        if values is not None and len(values) == len(steps) and len(functions) < _MOST_FUNCTIONS:
            functions[name] = values
    return Rewards(step, functions, _totals(functions, weights))


def _columns(line: bytes) -> dict[str, Raw]:
    """The columns of a line by name, not decoded yet. Raises ValueError or RecursionError if it is damaged."""
    try:
        return _COLUMNS.decode(line)
    except ValueError:
        # It may have NaN, which msgspec does not read, and of which `encode` makes null; or half a surrogate
        # pair as an escape, of which `replace` makes a question mark.
        found = json.loads(line.decode("utf-8", "replace"))
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return {name: Raw(msgspec.json.encode(value)) for name, value in found.items()}


def _reward_columns(columns: dict[str, Raw]) -> list[tuple[str, Raw]]:
    """The columns between `completion` and the advantages, or the line's end."""
    names = list(columns)
    if "completion" not in columns:
        return []
    begin = names.index("completion") + 1
    ends = [place for place, name in enumerate(names) if name in _AFTER_REWARDS]
    return [(name, columns[name]) for name in names[begin : ends[0] if ends else None]]


def _numbers(column: Raw | None) -> list[float | None] | None:
    """A column of numbers, None for each value that is missing; None for any other column."""
    try:
        return None if column is None else _NUMBERS.decode(column)
    except (ValueError, RecursionError):
        return None


def _totals(
    functions: dict[str, list[float | None]], weights: Sequence[float] | None
) -> list[float]:
    """The weighted sum of all functions for each completion, as ms-swift makes it (`nansum`)."""
    used = list(weights) if weights and len(weights) == len(functions) else [1.0] * len(functions)
    rows = zip(*functions.values(), strict=True)
    return [
        fsum(weight * value for weight, value in zip(used, row, strict=True) if value is not None)
        for row in rows
    ]


def reward_metrics(rewards: Rewards, group: int | None) -> dict[str, float]:
    """The metrics that logging.jsonl has in other cases. `group`: completions of one prompt, num_generations."""
    found: dict[str, float] = {}
    for name, values in rewards.by_function.items():
        told = [value for value in values if value is not None and abs(value) < _BEYOND]
        if told:
            found[REWARD_OF + name] = fsum(told) / len(told)
            found[REWARD_STD_OF + name] = _deviation(told)
    totals = [value for value in rewards.totals if abs(value) < _BEYOND]
    if not totals:
        return found
    found["reward"] = fsum(totals) / len(totals)
    if group and group > 1 and len(totals) % group == 0 and len(totals) == len(rewards.totals):
        groups = [totals[at : at + group] for at in range(0, len(totals), group)]
        spreads = [_deviation(values) for values in groups]
        found["reward_std"] = fsum(spreads) / len(spreads)
        found["frac_reward_zero_std"] = sum(spread < 1e-8 for spread in spreads) / len(spreads)
    return found


def _deviation(values: Sequence[float]) -> float:
    """The standard deviation, as torch computes it: with one less than the count."""
    if len(values) < 2:
        return 0.0
    mean = fsum(values) / len(values)
    return sqrt(fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def read_batch(line: bytes, weights: Sequence[float] | None = None) -> Batch | None:
    """All of a line; None if it is damaged. A prompt is a text, or a conversation as the last message's text."""
    rewards = read_rewards(line, weights)
    if rewards is None:
        return None
    columns = _columns(line)
    prompts = _list(columns.get("prompt") or columns.get("messages"))
    advantages = _numbers(columns.get("advantages") or columns.get("advantage"))
    completions = [_text(value) for value in _list(columns.get("completion"))]
    return Batch(rewards, [_text(value) for value in prompts], completions, advantages or [])


def _list(column: Raw | None) -> list[Any]:
    try:
        found = _ANY.decode(column) if column is not None else []
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _text(value: object) -> str:
    """A text as it is; of a conversation the content of the last message; anything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        return _text(value[-1].get("content"))
    return msgspec.json.encode(value).decode("utf-8", "replace")


def identical_share(batch: Batch) -> float | None:
    """The share of the completions that another completion of the same prompt equals; None without groups."""
    pairs = list(zip(batch.prompts, batch.completions, strict=False))
    groups = Counter(batch.prompts)
    compared = [pair for pair in pairs if groups[pair[0]] > 1]
    if not compared:
        return None
    counts = Counter(compared)
    return sum(count for count in counts.values() if count > 1) / len(compared)


def one_character_share(batch: Batch) -> float | None:
    """The share of the completions that are one character over and over, such as `!!!!!!!!`."""
    if not batch.completions:
        return None
    texts = [text.strip() for text in batch.completions]
    return sum(len(text) >= 8 and len(set(text)) == 1 for text in texts) / len(texts)


def begin_of(line: bytes) -> tuple[int, bool]:
    """The step in logging.jsonl that a line belongs to, and True for the form of 3.1 and 3.2.

    -1 for a damaged line. Only the begin of a line is looked at, if it is as ms-swift writes it.
    """
    match = _BEGIN.match(line)
    if match is not None:
        is_old = match[2] == b"messages"
        return int(match[1]) + is_old, is_old
    rewards = read_rewards(line)
    return (-1, False) if rewards is None else (rewards.step, not rewards.by_function)


def find_batch(path: Path, step: int, weights: Sequence[float] | None = None) -> Batch | None:
    """The completions of a step, of the last attempt that trained the step; None if there are none.

    The first of several lines of a step counts, because the others are of an evaluation.
    """
    found, before = None, -1
    for line in NewLines(path, LONGEST_LINE).read():
        at, _ = begin_of(line)
        if at == step and before != step:
            found = line
        before = at
    return None if found is None else read_batch(found, weights)


def last_batch(path: Path, weights: Sequence[float] | None = None) -> Batch | None:
    """The completions of the last step in completions.jsonl; None if there are none yet, or they are damaged.

    The first of several lines of the step counts, as in `find_batch`: an evaluation writes its line after it.
    """
    size = _TAIL
    while True:
        data = tail_bytes(path, size)
        is_all = len(data) < size
        *lines, _ = data.split(b"\n")  # the last part is a line that is being written, or empty
        whole = lines if is_all else lines[1:]
        at = _first_of_last_step(whole)
        if at > 0 or is_all or size > LONGEST_LINE:
            return read_batch(whole[at], weights) if whole else None
        size *= 16


def _first_of_last_step(lines: Sequence[bytes]) -> int:
    """The place of the first of those lines at the end that belong to one step."""
    at = max(len(lines) - 1, 0)
    while at > 0 and begin_of(lines[at - 1]) == begin_of(lines[-1]):
        at -= 1
    return at
