"""YAML text -> node tree, with bounds and plain data only.

Built from libyaml's event stream, not from `yaml.load`: events keep the line and the quoting of
every scalar, need no recursion in C, and let the bounds act before anything is expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from prl_submit.errors import Problem, SpecError
from prl_submit.tree import Node, Origin, scalar_node

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 20_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR_TAG = "tag:yaml.org,2002:str"


class _FaultError(Exception):
    def __init__(self, line: int | None, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


def parse_document(data: bytes, file: str, layer: str) -> Node:
    """Parse one YAML mapping.

    `file` is the name to show in errors. Raises SpecError with one problem (YAML cannot be read on
    after a fault): not UTF-8, too large, a syntax error, a duplicate key, a tag, an alias bomb.
    """
    try:
        return _Builder(file, layer).build(_decode(data))
    except _FaultError as fault:
        problem = Problem(
            file=file, line=fault.line, key=None, message=fault.message, hint=fault.hint
        )
        raise SpecError([problem]) from None


def parse_value(text: str, origin: Origin) -> Node:
    """A value given on the command line: `[a, b]`, `{k: v}` and quoted text as YAML, else the text.

    Raises ValueError where a value that begins like YAML is not.
    """
    if text[:1] not in ("[", "{", '"', "'"):
        return scalar_node(text, origin)
    try:
        node = _Builder(origin.file or "", origin.layer, origin).build(text, mapping_only=False)
    except _FaultError as fault:
        raise ValueError(fault.message) from None
    return node


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _FaultError(None, f"is larger than {MAX_BYTES:,} bytes, which no job spec is")
    if b"\0" in data:
        raise _FaultError(None, "is not text: it holds NUL bytes", "give a YAML job spec in UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _FaultError(
            line, f"is not UTF-8: byte 0x{data[error.start]:02x}", "save the file as UTF-8"
        ) from None


class _Builder:
    """Turns events into nodes; one instance per document."""

    def __init__(self, file: str, layer: str, origin: Origin | None = None) -> None:
        self._file = file
        self._layer = layer
        self._fixed = origin
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def build(self, text: str, *, mapping_only: bool = True) -> Node:
        events = self._events(text)
        first = next(events)
        if mapping_only and not isinstance(first, yaml.MappingStartEvent):
            raise _FaultError(
                _line(first),
                f"a job spec is a mapping, found {_name(first)}",
                "write `key: value` lines",
            )
        node = self._node(first, events, 0)
        extra = next(events, None)
        if extra is not None:
            raise _FaultError(_line(extra), "holds more than one document; a job spec is one")
        return node

    def _events(self, text: str) -> Iterator[Any]:
        """Content events only; syntax errors become faults, an empty file too."""
        some = False
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                if isinstance(event, (yaml.NodeEvent, yaml.CollectionEndEvent)):
                    some = True
                    yield event
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = None if mark is None else mark.line + 1
            what = " ".join(p for p in (error.context, error.problem) if p)
            tab = "\\t" in what or "tab" in what or _tab_at(text, line)
            hint = "indent with spaces, not tabs" if tab else None
            raise _FaultError(line, f"is not YAML: {what}", hint) from None
        except yaml.YAMLError as error:
            raise _FaultError(None, f"is not YAML: {str(error).splitlines()[0]}") from None
        if not some:
            raise _FaultError(None, "is empty", "see `prl-submit schema` and the files in jobs/")

    def _origin(self, event: Any) -> Origin:
        return self._fixed or Origin(self._layer, self._file, _line(event))

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _FaultError(_line(event), f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._spend(1, event)
        before = self._count
        _refuse_tag(event)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, events, depth)
        else:
            node = self._mapping(event, events, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._count - before + 1)
        return node

    def _spend(self, nodes: int, event: Any) -> None:
        self._count += nodes
        if self._count > MAX_NODES:
            raise _FaultError(
                _line(event), f"holds more than {MAX_NODES:,} values with its aliases expanded"
            )

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise _FaultError(_line(event), f"alias *{event.anchor} has no anchor before it")
        node, size = self._anchors[event.anchor]
        self._spend(size, event)
        return node

    def _scalar(self, event: Any) -> Node:
        plain = not event.style and event.tag is None  # libyaml says '', PyYAML None
        if plain and not event.value:
            return Node(None, self._origin(event), plain)
        if any(0xD800 <= ord(char) <= 0xDFFF for char in event.value) or "\0" in event.value:
            raise _FaultError(
                _line(event), "holds a NUL or half a surrogate pair, which no argument can"
            )
        if plain:
            return scalar_node(event.value, self._origin(event))
        return Node(event.value, self._origin(event))

    def _sequence(self, start: Any, events: Iterator[Any], depth: int) -> Node:
        items = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events, depth + 1))
        return Node(items, self._origin(start))

    def _mapping(self, start: Any, events: Iterator[Any], depth: int) -> Node:
        found: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise _FaultError(_line(event), f"a key must be a word, found {_name(event)}")
            _refuse_tag(event)
            child = self._node(next(events), events, depth + 1)
            if event.value == "<<" and not event.style:
                _merge_key(child, merged, event)
                continue
            if event.value in found:
                raise _FaultError(
                    _line(event),
                    f"duplicate key {event.value!r}, first on line {found[event.value].origin.line}",
                    "keep one of the two",
                )
            # The key's line, not the value's: an editor should open where the name stands.
            found[event.value] = Node(child.value, self._origin(event), child.plain)
        return Node({**merged, **found}, self._origin(start))


def _merge_key(child: Node, merged: dict[str, Node], event: Any) -> None:
    """YAML 1.1's `<<`: a mapping or a list of mappings; earlier ones win."""
    sources = child.value if isinstance(child.value, list) else [child]
    for source in sources:
        if not isinstance(source.value, dict):
            raise _FaultError(_line(event), "`<<` takes a mapping or a list of mappings")
        for key, node in source.value.items():
            merged.setdefault(key, node)


def _refuse_tag(event: Any) -> None:
    if event.tag not in (None, "!", _STR_TAG):
        raise _FaultError(
            _line(event),
            f"tag {event.tag!r} is not allowed: only plain data is read",
            "remove the tag",
        )


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _name(event: Any) -> str:
    if isinstance(event, yaml.SequenceStartEvent):
        return "a list"
    if isinstance(event, yaml.MappingStartEvent):
        return "a mapping"
    return f"the text {event.value[:40]!r}" if isinstance(event, yaml.ScalarEvent) else "an alias"


def _tab_at(text: str, line: int | None) -> bool:
    lines = text.splitlines()
    if line is None or line > len(lines):
        return False
    # libyaml may report the line after the one that holds the tab.
    return any("\t" in near for near in lines[max(0, line - 2) : line])
