"""A job spec before it is typed: a tree of nodes that remember where each value was written.

A scalar stays text until its wanted type is known, because `no` can be the word or the boolean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from msgspec import Struct

from prl_submit.errors import Problem, Refusal


class Origin(Struct, frozen=True):
    """Where a value was written: its layer, its file and its line (counted from 1).

    The layers, of which a later one overrides an earlier one: `default`, `platform` (the variables by
    which a platform tells a node the size of its job), `profile` (prl-submit.toml),
    `base` (the specs named by `extends`), `spec`, `sweep` (a value of the spec's section `sweep`), `env` (PRL_*
    variables), `flag` (`--set` and the like).
    A value without a file has a label instead, such as the name of a variable.
    """

    layer: str
    file: str | None = None
    line: int | None = None
    label: str | None = None

    @property
    def is_told_by_node(self) -> bool:
        """True for a value that nobody wrote, and that the variables of a platform's node tell."""
        return self.layer == "platform"

    def describe(self) -> str:
        """The origin in words: `jobs/mr.yaml:12`, or `PRL_BETA`, or the layer's name."""
        if self.file is None:
            return self.label or self.layer
        return self.file if self.line is None else f"{self.file}:{self.line}"


Value = Union[str, None, list["Node"], dict[str, "Node"]]


class Node(Struct, frozen=True):
    """A value with its origin.

    `plain` is true for a scalar without quotes; such a scalar can mean a number or a boolean.
    """

    value: Value
    origin: Origin
    plain: bool = False


_NULLS = frozenset({"~", "null", "Null", "NULL"})


def scalar_node(text: str, origin: Origin) -> Node:
    """The node of a scalar without quotes. YAML's words for null become None."""
    return Node(None if text in _NULLS else text, origin, plain=True)


def mapping(node: Node | None) -> dict[str, Node]:
    """The children of a mapping node. Empty for any other node and for None."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def merge(below: Node, above: Node) -> Node:
    """`below` with the values of `above`: mappings merge key by key; scalars, lists and nulls replace."""
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    merged = dict(below.value)
    for key, child in above.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    # `--set a.b=1` makes the mapping `a` too, but the user wrote only `b`. So `a` keeps the origin that
    # it has in a file.
    return Node(merged, above.origin if above.origin.file else below.origin)


def lookup(root: Node, path: str) -> Node | None:
    """The node at a dotted path. None if there is no such node or its value is null."""
    node: Node | None = root
    for part in path.split("."):
        node = mapping(node).get(part)
    return None if node is None or node.value is None else node


def near_origin(tree: Node, key: str) -> Origin:
    """The origin of a dotted key. If the key was not written: the origin of the nearest section around it."""
    while key and lookup(tree, key) is None:
        key = key.rpartition(".")[0]
    node = lookup(tree, key) if key else None
    return tree.origin if node is None or node.origin.layer == "default" else node.origin


def as_problem(refusal: Refusal, tree: Node) -> Problem:
    """A backend's refusal as a problem at the line of the spec that the refusal is about."""
    origin = near_origin(tree, refusal.key or "")
    return problem_at(origin, refusal.key, refusal.message, refusal.hint)


def nest(path: list[str], leaf: Node) -> Node:
    """A tree that holds one value, `leaf`, at `path`."""
    for part in reversed(path):
        leaf = Node({part: leaf}, leaf.origin)
    return leaf


def leaves(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Node]]:
    """The dotted key and node of every value that is not a mapping, in order. A list is one value."""
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
    """A problem at the file and line of `origin`, or with its label if there is no file."""
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
