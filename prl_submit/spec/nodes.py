"""A job spec before it is typed: nested nodes that remember where each value came from.

Scalars stay text until the wanted type is known, so `no` can be the word or the boolean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from msgspec import Struct

from prl_submit.errors import Problem, Refusal

#: Layers in their order of precedence, lowest first (contract, section 2).
LAYERS = ("default", "profile", "base", "spec", "env", "flag")


class Origin(Struct, frozen=True):
    """Where a value was written: its layer, and file and 1-based line, or a label without a file."""

    layer: str
    file: str | None = None
    line: int | None = None
    label: str | None = None

    def describe(self) -> str:
        """`jobs/mr.yaml:12`, `PRL_BETA`, or the layer's name."""
        if self.file is None:
            return self.label or self.layer
        return self.file if self.line is None else f"{self.file}:{self.line}"


Value = Union[str, None, list["Node"], dict[str, "Node"]]


class Node(Struct, frozen=True):
    """A value with its origin. `plain` is true for an unquoted scalar, whose look decides its type."""

    value: Value
    origin: Origin
    plain: bool = False


_NULLS = frozenset({"~", "null", "Null", "NULL"})


def scalar_node(text: str, origin: Origin) -> Node:
    """An unquoted scalar; the words for null are None."""
    return Node(None if text in _NULLS else text, origin, plain=True)


def mapping(node: Node | None) -> dict[str, Node]:
    """The children of a mapping node; empty for anything else."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def merge(below: Node, above: Node) -> Node:
    """`above` laid over `below`: maps merge key by key; scalars, lists and nulls replace."""
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    merged = dict(below.value)
    for key, child in above.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    # An override without a file names its own values, not the mappings around them.
    return Node(merged, above.origin if above.origin.file else below.origin)


def lookup(root: Node, path: str) -> Node | None:
    """The node at a dotted path, or None where there is none or it is null."""
    node: Node | None = root
    for part in path.split("."):
        node = mapping(node).get(part)
    return None if node is None or node.value is None else node


def near_origin(tree: Node, key: str) -> Origin:
    """Where `key` was written, or the nearest key around it that was."""
    while key and lookup(tree, key) is None:
        key = key.rpartition(".")[0]
    node = lookup(tree, key) if key else None
    return tree.origin if node is None or node.origin.layer == "default" else node.origin


def as_problem(refusal: Refusal, tree: Node) -> Problem:
    """A backend's refusal, at the line of the spec that it is about."""
    origin = near_origin(tree, refusal.key or "")
    return problem_at(origin, refusal.key, refusal.message, refusal.hint)


def nest(path: list[str], leaf: Node) -> Node:
    """A tree that holds `leaf` alone, at `path`."""
    for part in reversed(path):
        leaf = Node({part: leaf}, leaf.origin)
    return leaf


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Node]]:
    """Every value that is not a mapping, with its dotted key, in order. Lists count as one value."""
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield from leaves(child, (*path, key))
    elif path:
        yield ".".join(path), node


def problem_at(
    origin: Origin,
    key: str | None,
    message: str,
    hint: str | None = None,
    severity: str = "error",
) -> Problem:
    """A problem placed at `origin`."""
    label = None if origin.file else origin.label
    return Problem(
        file=origin.file,
        line=origin.line,
        key=key,
        message=message,
        hint=hint,
        severity=severity,
        label=label,
    )
