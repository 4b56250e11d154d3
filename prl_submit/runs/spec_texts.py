"""spec.yaml of many runs that differ in little: what they have in common is written once.

PyYAML takes a millisecond for a spec. Here each key of each section has its own text, which is remembered with
the node that it was made of. The runs of a sweep share all nodes but those that vary.
"""

from __future__ import annotations

from prl_submit.runs.plan_file import dump_spec
from prl_submit.spec.nodes import Node, mapping


class SpecTexts:
    """Writes specs. Reading a text gives the same tree as reading that of `dump_spec`."""

    def __init__(self) -> None:
        #: The node stands beside its text, or another node might get its id.
        self._known: dict[tuple[str, int], tuple[Node, bytes]] = {}

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
        known = self._known.get((key, id(node)))
        if known is None:
            known = node, dump_spec(Node({key: node}, node.origin))
            self._known[key, id(node)] = known
        return known[1]
