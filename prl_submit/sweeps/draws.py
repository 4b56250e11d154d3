"""The values of `sweep.random`. The same spec gives the same values, with every release of Python."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, mapping, problem_at, scalar_node
from prl_submit.spec.scalars import parse_bool, parse_float
from prl_submit.spec.suggest import did_you_mean
from prl_submit.spec.typed import plain

_KEYS = ("min", "max", "log")
#: How often a point that was drawn before is drawn anew, for each sample.
_TRIES = 100


def is_range(node: Node) -> bool:
    """True for a mapping with `min` or `max`: the limits of a value, and no further keys of the spec."""
    keys = mapping(node)
    return "min" in keys or "max" in keys


def draw(
    section: Node, ranges: dict[str, Node], samples: int | None, seed: int
) -> tuple[list[dict[str, Node]], list[Problem]]:
    """`samples` different points: a value for each key of `ranges`. No points if something is wrong."""
    problems = [problem for key, node in ranges.items() for problem in _wrong_range(key, node)]
    if ranges and samples is None:
        hint = "samples: 20"
        problems.append(problem_at(section.origin, "sweep.samples", "`random` needs it", hint))
    if samples is not None and not ranges and not problems:
        origin = mapping(section)["samples"].origin
        message = "says how many values of `random` are drawn, and there is no `random`"
        problems.append(problem_at(origin, "sweep.samples", message, "remove it"))
    if problems or samples is None:
        return [], problems
    points = _different_points(ranges, samples, seed)
    if len(points) < samples:
        what = f"`random` has only {len(points)} different combinations, and samples is {samples}"
        problems.append(
            problem_at(section.origin, "sweep.samples", what, "use `grid` to run all of them")
        )
    return points, problems


def _different_points(ranges: dict[str, Node], samples: int, seed: int) -> list[dict[str, Node]]:
    """At most `samples` points, none of them twice.

    Each key has a sequence of its own, which depends on the seed and the key alone. So a further key does
    not change the values of the others.
    """
    sources = {key: Random(f"{seed} {key}") for key in ranges}  # noqa: S311  # chance, no secret
    points: dict[str, dict[str, Node]] = {}
    for _ in range(samples * _TRIES):
        point = {key: _value(node, sources[key].random()) for key, node in ranges.items()}
        points.setdefault(repr([plain(node) for node in point.values()]), point)
        if len(points) == samples:
            break
    return list(points.values())


def _value(node: Node, chance: float) -> Node:
    """The value that belongs to a number from 0 to below 1."""
    if isinstance(node.value, list):
        return node.value[int(chance * len(node.value))]
    low, high, is_log = _limits(node)
    if isinstance(low, int) and isinstance(high, int):
        return scalar_node(str(_whole(low, high, is_log, chance)), node.origin)
    found = low * (high / low) ** chance if is_log else low + (high - low) * chance
    rounded = float(f"{found:.4g}")  # so a name and a table show the value itself
    number = min(max(rounded, low), high)
    return scalar_node(f"{number:.4g}" if number == rounded else repr(number), node.origin)


def _whole(low: int, high: int, is_log: bool, chance: float) -> int:
    """A whole number from `low` to `high`, both included."""
    if not is_log:
        return low + int((high - low + 1) * chance)
    # From half a step below `low` to half a step above `high`, so that each end is drawn as its neighbours are.
    bottom, top = math.log(low - 0.5), math.log(high + 0.5)
    return min(max(round(math.exp(bottom + (top - bottom) * chance)), low), high)


def _limits(node: Node) -> tuple[int | float, int | float, bool]:
    """`min`, `max` and `log` of a range without mistakes."""
    texts = {key: str(child.value) for key, child in mapping(node).items()}
    low, high = (parse_float(texts[name]) or 0 for name in ("min", "max"))
    return low, high, bool(parse_bool(texts.get("log", "no")))


def _wrong_range(key: str, node: Node) -> list[Problem]:
    """What is wrong with the limits of a key."""
    where = f"sweep.random.{key}"
    if not isinstance(node.value, dict):
        return []
    problems = []
    for name, child in node.value.items():
        fault = _wrong_limit(name, child)
        if fault is not None:
            problems.append(problem_at(child.origin, f"{where}.{name}", *fault))
    missing = [name for name in ("min", "max") if name not in node.value]
    if missing:
        problems.append(problem_at(node.origin, where, f"{missing[0]} is missing", None))
    return problems or _wrong_order(where, node)


def _wrong_limit(name: str, node: Node) -> tuple[str, str | None] | None:
    """What is wrong with one key of a range, and a hint; None if nothing is."""
    if name not in _KEYS:
        return "unknown key", did_you_mean(name, _KEYS) or "keys here: min, max, log"
    text = node.value
    if name == "log":
        is_right = isinstance(text, str) and parse_bool(text) is not None
        return None if is_right else ("expected true or false", None)
    number: Any = parse_float(text) if isinstance(text, str) else None
    if number is None or not math.isfinite(number):
        return "expected a number", None
    return None


def _wrong_order(where: str, node: Node) -> list[Problem]:
    """A problem if nothing lies between the limits, or a logarithm has no value there."""
    low, high, is_log = _limits(node)
    if low >= high:
        return [problem_at(node.origin, where, f"min {low} is not below max {high}", None)]
    if is_log and low <= 0:
        hint = "a logarithmic range begins above 0"
        return [problem_at(node.origin, where, f"min is {low}, and log is true", hint)]
    return []
