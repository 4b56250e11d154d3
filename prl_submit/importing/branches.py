"""The ways of `if`, `case`, `while` and `for`, read off the grammar's tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prl_submit.importing.statement import Branch, Statement, Word

if TYPE_CHECKING:
    from tree_sitter import Node

BRANCHING = frozenset(["if_statement", "case_statement", "while_statement", "for_statement"])
_KEYWORDS = frozenset(["if", "then", "elif", "else", "fi", "while", "until", "do", "done"])


class Reader(Protocol):
    """What reads the statements and words of a script."""

    def row(self, nodes: list[Node], start: int, stop: int) -> list[Statement]:
        """The statements of nodes in a row."""

    def word(self, node: Node) -> Word:
        """A node as a word."""


def subject_of(node: Node) -> Node | None:
    """The word that a `case` compares."""
    return node.child_by_field_name("value") if node.type == "case_statement" else None


def branches_of(node: Node, reader: Reader) -> list[Branch]:
    """The ways in their order."""
    if node.type == "case_statement":
        items = [child for child in node.children if child.type == "case_item"]
        return [_item(item, reader) for item in items]
    if node.type == "for_statement":
        return _for(node, reader)
    if node.type == "while_statement":
        condition = _segments(node, reader)[0]
        group = node.child_by_field_name("body")
        body = [] if group is None else _segments(group, reader)[0]
        return [Branch(conditions=condition, body=body)]
    return _if(node, reader)


def _if(node: Node, reader: Reader) -> list[Branch]:
    found: list[Branch] = []
    inner = [child for child in node.children if child.type not in ("elif_clause", "else_clause")]
    condition, body = _of(inner, node.end_byte, reader)[:2]
    found.append(Branch(conditions=condition, body=body))
    for child in node.children:
        if child.type == "elif_clause":
            condition, body = _segments(child, reader)[:2]
            found.append(Branch(conditions=condition, body=body))
        elif child.type == "else_clause":
            found.append(Branch(body=_segments(child, reader)[0]))
    return found


def _for(node: Node, reader: Reader) -> list[Branch]:
    """The words behind `in`; without it, those of the script itself."""
    has_words = any(child.type == "in" for child in node.children)
    words = [reader.word(child) for child in node.children_by_field_name("value")]
    group = node.child_by_field_name("body")
    if group is None or group.type != "do_group":
        return []
    patterns = words if has_words else [Word('"$@"', reader.word(node).line)]
    return [Branch(patterns=patterns, body=_segments(group, reader)[0])]


def _item(node: Node, reader: Reader) -> Branch:
    patterns = [reader.word(child) for child in node.children_by_field_name("value")]
    start = next(i for i, child in enumerate(node.children) if child.type == ")") + 1
    last = node.children[-1]
    is_closed = last.type in (";;", ";&", ";;&")
    body = node.children[start : -1 if is_closed else None]
    stop = last.start_byte if is_closed else node.end_byte
    return Branch(
        patterns=patterns,
        body=reader.row(body, node.children[start - 1].end_byte, stop),
        goes_on=last.type in (";&", ";;&"),
    )


def _segments(node: Node, reader: Reader) -> list[list[Statement]]:
    """The statements behind each keyword of a construct."""
    return _of(list(node.children), node.end_byte, reader)


def _of(children: list[Node], end: int, reader: Reader) -> list[list[Statement]]:
    found: list[list[Statement]] = []
    places = [i for i, child in enumerate(children) if not child.is_named and _is_keyword(child)]
    for place, following in zip(places, [*places[1:], len(children)], strict=True):
        inner = children[place + 1 : following]
        if inner and inner[-1].type == "do_group":
            inner = inner[:-1]
        stop = inner[-1].end_byte if inner else children[place].end_byte
        found.append(reader.row(inner, children[place].end_byte, stop))
    return [*found, [], []]


def _is_keyword(node: Node) -> bool:
    return node.type in _KEYWORDS
