"""spec.yaml of many runs that differ in little: what they have in common is written once.

PyYAML takes a millisecond for a spec. Here each key has its own text, which is remembered: that of a scalar by
its value, any other with the node that it was made of. The runs of a sweep share nearly all.
"""

from __future__ import annotations

import re

from prl_submit.runs.plan_file import dump_spec
from prl_submit.spec.nodes import Node, mapping

_NAME = re.compile(r"[a-z]{1,20}-[0-9]{1,18}")
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?(e-[0-9]{1,3})?")


class SpecTexts:
    """Writes specs. Reading a text gives the same tree as reading that of `dump_spec`."""

    def __init__(self) -> None:
        self._scalars: dict[tuple[str, str | None, bool], bytes] = {}
        #: The node stands beside its text, or another node might get its id.
        self._others: dict[tuple[str, int], tuple[Node, bytes]] = {}

    def of(self, tree: Node) -> bytes:
        """The text of one spec."""
        return b"".join(
            self._section(key, node) for key, node in mapping(tree).items() if key != "extends"
        )

    def _section(self, key: str, node: Node) -> bytes:
        """The text of a key at the top level, and of what is below it."""
        if not mapping(node):
            return self._text(key, node)
        lines = b"".join(self._text(name, child) for name, child in mapping(node).items())
        if not lines:
            return self._text(key, Node({}, node.origin))
        indented = b"".join(b"  " + line for line in lines.splitlines(keepends=True))
        return f"{key}:\n".encode() + indented

    def _text(self, key: str, node: Node) -> bytes:
        """The text of a key and its value. Empty for what a platform's variables say."""
        if node.origin.is_told_by_node:
            return b""
        if node.value is None or isinstance(node.value, str):
            return self._scalar(key, node.value, node)
        known = self._others.get((key, id(node)))
        if known is None:
            known = node, dump_spec(Node({key: node}, node.origin))
            self._others[key, id(node)] = known
        return known[1]

    def _scalar(self, key: str, value: str | None, node: Node) -> bytes:
        """The text of a key with a single value."""
        if value is not None and _is_written_as_it_is(value, node.plain):
            none = self._scalar(key, None, Node(None, node.origin))
            return none.removesuffix(b"null\n") + value.encode("ascii") + b"\n"
        text = self._scalars.get((key, value, node.plain))
        if text is None:
            text = dump_spec(Node({key: node}, node.origin))
            self._scalars[key, value, node.plain] = text
        return text


def _is_written_as_it_is(value: str, plain: bool) -> bool:
    """True for the usual values that vary: a name such as `run-12`, and a number without quotes."""
    return bool(_NAME.fullmatch(value) or (plain and _NUMBER.fullmatch(value)))
