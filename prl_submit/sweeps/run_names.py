"""The names of a sweep's runs: the pattern `sweep.name`, such as `lr-{swift.learning_rate}`."""

from __future__ import annotations

import re
from collections import defaultdict

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, lookup, problem_at
from prl_submit.spec.suggest import closest

#: The most characters of a name, as of a spec's `name`.
LONGEST = 40
_DEFAULT = "{name}-{index}"
_FIELD = re.compile(r"\{([^{}]*)\}")
#: A problem names so many runs, and then says how many more there are.
_SHOWN = 3


def name_runs(
    name: str, section: Node, points: list[dict[str, Node]]
) -> tuple[list[str], list[Problem]]:
    """A name for each point, and what is wrong with the names. With a problem the names are NAME-INDEX.

    `name`: the spec's name. `section`: the section `sweep`.
    """
    written = lookup(section, "name")
    pattern = _DEFAULT if written is None else str(written.value)
    origin = section.origin if written is None else written.origin
    known = ["name", "index", *points[0]]
    wrong = [
        problem_at(origin, "sweep.name", f"{{{field}}} is no key that varies", _hint(field, known))
        for field in _FIELD.findall(pattern)
        if field not in known
    ]
    if not wrong:
        names = [_named(pattern, name, index, point) for index, point in enumerate(points, 1)]
        wrong = [
            problem_at(origin, "sweep.name", *fault)
            for fault in [
                *_unusable(names, is_default=written is None),
                *_not_unique(names, pattern),
            ]
        ]
        if not wrong:
            return names, []
    return [f"{name}-{index}" for index in range(1, len(points) + 1)], wrong


def _named(pattern: str, name: str, index: int, point: dict[str, Node]) -> str:
    """The name of one run. A character that a name cannot have becomes `-`."""
    words = {"name": name, "index": str(index)}

    def text(match: re.Match[str]) -> str:
        return words[match[1]] if match[1] in words else _text(point[match[1]])

    return re.sub("[^a-z0-9]+", "-", _FIELD.sub(text, pattern).lower()).strip("-")


def _text(node: Node) -> str:
    """A value as the user wrote it: `1e-6`; the items of a list with `-` between them."""
    if isinstance(node.value, list):
        return "-".join(map(_text, node.value))
    if isinstance(node.value, dict):
        return "-".join(f"{key}-{_text(child)}" for key, child in node.value.items())
    return "null" if node.value is None else node.value


def _hint(field: str, known: list[str]) -> str:
    """The key that was meant: one of a similar spelling, or with that last part; else all."""
    ends = [key for key in known if key.rpartition(".")[2] == field]
    near = ends[0] if len(ends) == 1 else closest(field, known)
    if near is not None:
        return f"did you mean {{{near}}}?"
    return "there are: " + ", ".join(f"{{{key}}}" for key in known)


def _unusable(names: list[str], *, is_default: bool) -> list[tuple[str, str]]:
    """Why some names are no names of runs, and a hint."""
    found = []
    if "" in names:
        found.append(("makes an empty name", "a name has lower-case letters, digits and '-'"))
    long = [name for name in names if len(name) > LONGEST]
    if long:
        what = f"at most {LONGEST} characters, and {_listed(long)} {'has' if len(long) == 1 else 'have'} more"
        hint = (
            "write a shorter `name`, or a pattern `sweep.name`"
            if is_default
            else "use fewer keys, or {index}"
        )
        found.append((what, hint))
    return found


def _not_unique(names: list[str], pattern: str) -> list[tuple[str, str]]:
    """Why names that several runs have cannot be used, and a hint."""
    runs: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(names, 1):
        runs[name].append(index)
    twice = [f"{name} ({len(same)} runs)" for name, same in runs.items() if len(same) > 1]
    if not twice:
        return []
    return [(f"is the same for several runs: {_listed(twice)}", f"such as {pattern}-{{index}}")]


def _listed(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
