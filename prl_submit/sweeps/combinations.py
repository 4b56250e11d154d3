"""From the section `sweep` of a spec to all combinations of values. Pure: no clock, no environment, no disk.

`grid`, `zip` and `random` multiply: each row of `zip` and each draw of `random` is combined with each point
of `grid`. The last key of `grid` varies faster than the first, `zip` faster than `grid`, and `random` fastest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.planning.layers import underscored_name
from prl_submit.spec.nodes import Node, Origin, leaves, mapping, merge, nest, problem_at
from prl_submit.spec.sections import JobSpec, Sweep
from prl_submit.spec.typed import plain
from prl_submit.sweeps.draws import draw, is_range
from prl_submit.sweeps.run_names import name_runs

#: The most combinations of one sweep.
MOST = 10_000
#: Keys that all runs of a sweep have in common, and why.
_FIXED = {
    "name": "the runs' names come from `sweep.name`",
    "backend": "a sweep is submitted to one backend",
    "output": "a sweep has one output root",
    "workdir": "a sweep has one working directory",
    "extends": "the bases are read before the sweep",
    "sweep": "a sweep has no sweeps",
}
#: The values of one point: a node for each key.
Point = dict[str, Node]


class Combination(Struct, frozen=True):
    """One run of a sweep. `index` counts from 1; `values`: its values of the keys that vary, as plain data.

    `layer`: these values and the run's name as a tree, which is merged over the spec.
    """

    index: int
    name: str
    values: dict[str, Any]
    layer: Node


class ExpandedSweep(Struct, frozen=True):
    """The combinations of a sweep, and what is wrong with its section. `keys`: the keys that vary.

    Without combinations, if the section does not say which there are.
    """

    keys: list[str]
    combinations: list[Combination]
    problems: list[Problem]


def expand(name: str, section: Node, sweep: Sweep, overridden: Mapping[str, str]) -> ExpandedSweep:
    """All combinations of a sweep.

    `name`: the spec's name. `section`: `sweep` as it was written; `sweep`: the same, typed. `overridden`: the
    keys that an option or a variable sets, and which one.
    """
    problems: list[Problem] = []
    grid = _lists(section, "grid", problems)
    rows = _lists(section, "zip", problems)
    ranges = _ranges(section, problems)
    keys = [*grid, *rows, *ranges]
    problems += _wrong_keys(section, (grid, rows, ranges), overridden)
    problems += _wrong_lengths(rows)
    if not keys and not problems:
        what = "says nothing that varies, so there is one run"
        hint = "grid: {swift.learning_rate: [1e-6, 1e-5]}, or remove the section"
        problems.append(problem_at(section.origin, "sweep", what, hint))
    draws, wrong = draw(section, ranges, sweep.samples, sweep.seed)
    problems += wrong
    count = _count(grid, rows, draws)
    if count > MOST:
        what = f"makes {count} combinations; at most {MOST} can be submitted together"
        problems.append(
            problem_at(section.origin, "sweep", what, "random: with samples: N draws some")
        )
    if problems:
        return ExpandedSweep(keys, [], problems)
    points = list(_points(grid, rows, draws))
    names, wrong = name_runs(name, section, points)
    return ExpandedSweep(keys, _combinations(points, names, section), wrong)


def _lists(section: Node, kind: str, problems: list[Problem]) -> dict[str, list[Node]]:
    """The values of each key under `grid` or `zip`. What is no list of values is left out, with a problem."""
    found: dict[str, list[Node]] = {}
    for written, node in leaves(mapping(section).get(kind) or Node({}, section.origin)):
        where, key, values = f"sweep.{kind}.{written}", _spelt(written), node.value
        if values is None:  # a spec removes so what its base varies
            continue
        if not isinstance(values, list):
            hint = f"write the values as a list: {key}: [{values}, …]"
            problems.append(problem_at(node.origin, where, "expected a list of values", hint))
        elif not values:
            hint = "write its values, or remove the key"
            problems.append(problem_at(node.origin, where, "is an empty list", hint))
        elif key in found:
            problems.append(_there_already(node, where))
        else:
            problems += _repeated(values, where) if kind == "grid" else []
            found[key] = values
    return found


def _there_already(node: Node, where: str) -> Problem:
    """The problem of a key that is there in two spellings: with dots and nested, or with `-` and `_`."""
    return problem_at(node.origin, where, "is there twice", "keep one of the two")


def _repeated(values: list[Node], where: str) -> list[Problem]:
    """A problem for each value that stands in the list a second time."""
    seen: list[Any] = []
    problems = []
    for node in values:
        value = plain(node)
        if any(value == other and type(value) is type(other) for other in seen):
            hint = "remove one of the two; runs that differ in chance alone vary swift.seed"
            problems.append(problem_at(node.origin, where, f"{value!r} is there twice", hint))
        seen.append(value)
    return problems


def _ranges(section: Node, problems: list[Problem]) -> dict[str, Node]:
    """What each key under `random` is drawn from: a list, or a mapping with `min` and `max`."""
    found: dict[str, Node] = {}
    for key, node in _until_ranges(mapping(section).get("random"), ()):
        if node.value is None:
            continue
        if isinstance(node.value, str) or node.value == []:
            hint = f"{key}: [1, 2, 4], or {key}: {{min: 1e-6, max: 1e-4, log: true}}"
            message = "expected a list of values, or `min` and `max`"
            problems.append(problem_at(node.origin, f"sweep.random.{key}", message, hint))
        elif _spelt(key) in found:
            problems.append(_there_already(node, f"sweep.random.{key}"))
        else:
            found[_spelt(key)] = node
    return found


def _until_ranges(node: Node | None, path: tuple[str, ...]) -> Iterator[tuple[str, Node]]:
    """The dotted key and node of each range or list. A mapping that is no range has further keys."""
    for key, child in mapping(node).items():
        if isinstance(child.value, dict) and child.value and not is_range(child):
            yield from _until_ranges(child, (*path, key))
        else:
            yield ".".join((*path, key)), child


def _spelt(key: str) -> str:
    """The key with the argument's own name: `swift.learning-rate` is `swift.learning_rate`."""
    section, sign, rest = key.partition(".")
    return f"swift.{underscored_name(rest)}" if section == "swift" and sign else key


def _wrong_keys(
    section: Node, kinds: tuple[Mapping[str, Any], ...], overridden: Mapping[str, str]
) -> list[Problem]:
    """Problems with keys that may not vary, vary twice, or are set by an option or a variable."""
    problems, seen = [], dict[str, str]()
    for kind, keys in zip(("grid", "zip", "random"), kinds, strict=True):
        for key in keys:
            where = f"sweep.{kind}.{key}"
            fault = _fault(key) or _clash(key, seen) or _set_elsewhere(key, overridden)
            if fault is not None:
                problems.append(problem_at(_origin_of(section, kind, key), where, *fault))
            seen.setdefault(key, where)
    return problems


def _fault(key: str) -> tuple[str, str | None] | None:
    """Why a key may not vary, and a hint; None if it may."""
    first = key.partition(".")[0]
    if first in _FIXED:
        return f"{first} cannot vary: {_FIXED[first]}", None
    if key in JobSpec.__struct_fields__:
        return (
            f"{key} is a whole section",
            f"vary its keys: {key}.KEY: [...]; `zip` varies several together",
        )
    return None


def _clash(key: str, seen: Mapping[str, str]) -> tuple[str, str | None] | None:
    """Why a key cannot vary beside those in `seen`."""
    for other, where in seen.items():
        if key == other:
            return f"varies twice: it is in {where} too", "keep one of the two"
        if _overlap(key, other):
            return f"is a part of {other}, or has it as a part, and that varies in {where}", None
    return None


def _overlap(one: str, other: str) -> bool:
    """True if two keys are the same, or one of them is inside the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _set_elsewhere(key: str, overridden: Mapping[str, str]) -> tuple[str, str | None] | None:
    """Why a key that an option or a variable sets cannot vary: all its values would be the same."""
    for other, label in overridden.items():
        if _overlap(key, other):
            return (
                f"{label} sets {other}, which the sweep varies",
                f"leave out {label}, or the key here",
            )
    return None


def _origin_of(section: Node, kind: str, key: str) -> Origin:
    """Where a key of the sweep was written, whether its parts are joined with dots or nested."""
    for written, node in _until_ranges(mapping(section).get(kind), ()):
        if _spelt(written) == key:
            return node.origin
    return section.origin


def _wrong_lengths(rows: Mapping[str, list[Node]]) -> list[Problem]:
    """A problem for each list of `zip` that is longer or shorter than the first."""
    problems = []
    first = next(iter(rows), "")
    for key, values in rows.items():
        if len(values) != len(rows[first]):
            what = f"has {len(values)} values, and {first} has {len(rows[first])}"
            hint = "`zip` takes one value of each list for each run, so all lists have one length"
            problems.append(problem_at(values[0].origin, f"sweep.zip.{key}", what, hint))
    return problems


def _count(
    grid: Mapping[str, list[Node]], rows: Mapping[str, list[Node]], draws: list[Point]
) -> int:
    """The number of combinations."""
    count = max(len(next(iter(rows.values()), [])), 1) * max(len(draws), 1)
    for values in grid.values():
        count *= len(values)
    return count


def _points(
    grid: Mapping[str, list[Node]], rows: Mapping[str, list[Node]], draws: list[Point]
) -> Iterator[Point]:
    """The values of each combination, in order."""
    together = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    for values in product(*grid.values()):
        at = dict(zip(grid, values, strict=True))
        for row in together or [{}]:
            for drawn in draws or [{}]:
                yield {**at, **row, **drawn}


def _combinations(points: list[Point], names: list[str], section: Node) -> list[Combination]:
    """The combinations of the points. A node that several points share is made into a layer once."""
    swept: dict[int, Node] = {}
    values: dict[int, Any] = {}
    for node in (node for point in points for node in point.values()):
        if id(node) not in swept:
            swept[id(node)], values[id(node)] = _swept(node), plain(node)
    origin = msgspec.structs.replace(section.origin, layer="sweep")
    found = []
    for index, (point, name) in enumerate(zip(points, names, strict=True), 1):
        layer = Node({"name": Node(name, origin)}, Origin("sweep"))
        for key, node in point.items():
            layer = merge(layer, nest(key.split("."), swept[id(node)]))
        plain_values = {key: values[id(node)] for key, node in point.items()}
        found.append(Combination(index, name, plain_values, layer))
    return found


def _swept(node: Node) -> Node:
    """The node as a value of the layer `sweep`. It keeps its file and line."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _swept(child) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_swept(child) for child in value]
    return Node(value, msgspec.structs.replace(node.origin, layer="sweep"), node.plain)
