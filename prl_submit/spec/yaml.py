"""From YAML text to a node tree. Only plain data is read, and size and depth have limits.

The tree is built from libyaml's events, not with `yaml.load`, for three reasons: events keep the line
and the quotes of every scalar, they need no recursion in C, and the limits act before an alias is
expanded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem, SpecError
from prl_submit.spec.nodes import Node, Origin, scalar_node
from prl_submit.spec.pyyaml import yaml

MAX_BYTES = 1_000_000
#: Levels of mappings and lists inside one another.
MAX_DEPTH = 40
_TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels"
#: Values of one document; an alias counts as many as it stands for.
MAX_NODES = 20_000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR_TAG = "tag:yaml.org,2002:str"
# YAML 1.1 takes these for line ends, but editors do not show them so. libyaml would turn them to spaces.
_SEPARATORS = "\x85\u2028\u2029"
# Any character that is not one of YAML 1.1's printable characters, or is one of _SEPARATORS. The same
# set as in `_is_text`; compiled when it is first used.
_NO_TEXT = "[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
#: A part of libyaml's message -> our hint.
_HINTS = {
    "cannot start any token": "put quotes around a value that begins with @, ` or %",
    "mapping values are not allowed": "put quotes around a value that holds ': '; check the indent",
    "expected ',' or": "close the bracket, or put quotes around the value",
}


class _FaultError(Exception):
    """A document that cannot be read; `line` counts from 1."""

    def __init__(self, line: int | None, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


def parse_document(data: bytes, file: str, layer: str) -> Node:
    """Parse one YAML mapping into a node tree.

    `file` is the name to show in errors. Raises SpecError with one problem, because YAML cannot be read
    any further after a mistake: not UTF-8, too large, a syntax error, a duplicate key, a tag, or aliases
    that expand to too many values.
    """
    try:
        return _Builder(file, layer).build(_decode(data))
    except _FaultError as fault:
        problem = Problem(
            file=file, line=fault.line, key=None, message=fault.message, hint=fault.hint
        )
        raise SpecError([problem]) from None


def parse_value(text: str, origin: Origin) -> Node:
    """A value given on the command line as a node.

    `[a, b]`, `{k: v}` and quoted text are read as YAML. Any other text is taken as it is. Raises
    ValueError if a value begins like YAML but is not, or if it is not UTF-8.
    """
    if any(map(_is_surrogate, text)):  # Python turns bytes that are not UTF-8 into surrogates
        raise ValueError("is not UTF-8")
    if text[:1] not in ("[", "{", '"', "'"):
        return scalar_node(text, origin)
    try:
        node = _Builder(origin.file or "", origin.layer, origin).build(text, mapping_only=False)
    except _FaultError as fault:
        raise ValueError(fault.message) from None
    return node


def _decode(data: bytes) -> str:
    """The text of a file. Raises _FaultError if it is too large, not UTF-8, or has control characters."""
    if len(data) > MAX_BYTES:
        raise _FaultError(None, f"is larger than {MAX_BYTES:,} bytes, which no job spec is")
    if b"\0" in data:
        raise _FaultError(None, "is not text: it holds NUL bytes", "give a YAML job spec in UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((data[: error.start] + b".").splitlines())
        raise _FaultError(
            line, f"is not UTF-8: byte 0x{data[error.start]:02x}", "save the file as UTF-8"
        ) from None
    if all(map(_is_text, set(text))):  # faster than compiling the regular expression below
        return text
    if found := re.search(_NO_TEXT, text):
        line = len((text[: found.start()] + ".").splitlines())
        kind = "line separator" if found[0] in _SEPARATORS else "control character"
        escape = ascii(found[0])[1:-1]
        raise _FaultError(
            line,
            f"holds the {kind} {escape}",
            f'remove it, or write "{escape}" in double quotes',
        )
    return text


def _is_text(char: str) -> bool:
    """True for YAML 1.1's printable characters except _SEPARATORS."""
    return (
        " " <= char <= "~"
        or char in "\t\n\r"
        or (
            char >= "\xa0"
            and char not in _SEPARATORS
            and not "\ud800" <= char <= "\udfff"
            and char not in "\ufffe\uffff"
        )
    )


class _Builder:
    """Builds nodes from libyaml's events. Each document has its own instance."""

    def __init__(self, file: str, layer: str, origin: Origin | None = None) -> None:
        """`origin`: the origin of all nodes. Without it, each node's origin is its line in `file`."""
        self._file = file
        self._layer = layer
        self._fixed = origin
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def build(self, text: str, *, mapping_only: bool = True) -> Node:
        """The node of a whole document. Raises _FaultError."""
        events = self._events(text)
        first = next(events)
        if isinstance(first, yaml.ScalarEvent) and not first.value and not first.style:
            raise _empty()
        if mapping_only and not isinstance(first, yaml.MappingStartEvent):
            raise _FaultError(
                _line(first),
                f"a job spec is a mapping, found {_name(first)}",
                "write `key: value` lines",
            )
        node = self._node(first, events, 0)
        extra = next(events, None)
        if extra is not None:
            # libyaml says of an empty document that it is on the line after the last one.
            line = min(_line(extra), len(text.splitlines()))
            raise _FaultError(line, "holds more than one document; a job spec is one")
        return node

    def _events(self, text: str) -> Iterator[Any]:
        """The events of scalars, aliases, lists and mappings.

        Raises _FaultError for a syntax error and for an empty file.
        """
        some = False
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                if isinstance(event, (yaml.NodeEvent, yaml.CollectionEndEvent)):
                    some = True
                    yield event
        except yaml.MarkedYAMLError as error:
            raise _syntax_fault(error, text) from None
        except yaml.YAMLError as error:
            raise _FaultError(None, f"is not YAML: {str(error).splitlines()[0]}") from None
        if not some:
            raise _empty()

    def _origin(self, event: Any) -> Origin:
        return self._fixed or Origin(self._layer, self._file, _line(event))

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _FaultError(_line(event), _TOO_DEEP)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._spend(1, event)
        count_before = self._count
        _refuse_tag(event)
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, events, depth)
        else:
            node = self._mapping(event, events, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._count - count_before + 1)
        return node

    def _spend(self, nodes: int, event: Any) -> None:
        """Count values against MAX_NODES."""
        self._count += nodes
        if self._count > MAX_NODES:
            raise _FaultError(
                _line(event), f"holds more than {MAX_NODES:,} values with its aliases expanded"
            )

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise _FaultError(
                _line(event),
                f"alias *{event.anchor} has no anchor &{event.anchor} before it",
                "put quotes around a value that begins with *",
            )
        node, size = self._anchors[event.anchor]
        self._spend(size, event)
        return node

    def _scalar(self, event: Any) -> Node:
        plain = not event.style and event.tag is None  # no style: '' from libyaml, None from PyYAML
        if plain and not event.value:
            return Node(None, self._origin(event), plain)
        _refuse_unusable(event)
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
        lines: dict[str, int] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise _FaultError(_line(event), f"a key must be a word, found {_name(event)}")
            _refuse_tag(event)
            _refuse_unusable(event)
            child = self._node(next(events), events, depth + 1)
            if event.value in lines:
                raise _FaultError(
                    _line(event),
                    f"duplicate key {event.value!r}, first on line {lines[event.value]}",
                    "keep one of the two",
                )
            lines[event.value] = _line(event)
            if event.value == "<<" and not event.style:
                _merge_key(child, merged, event)
                continue
            # The origin is the key's line, not the value's: an editor should open the line with the key.
            found[event.value] = Node(child.value, self._origin(event), child.plain)
        return Node({**merged, **found}, self._origin(start))


def _empty() -> _FaultError:
    return _FaultError(None, "is empty", "`prl-submit init` prints a first one, which you can edit")


def _merge_key(child: Node, merged: dict[str, Node], event: Any) -> None:
    """Add the values of YAML 1.1's `<<` to `merged`. If several mappings have a key, the first one wins."""
    sources = child.value if isinstance(child.value, list) else [child]
    for source in sources:
        if not isinstance(source.value, dict):
            raise _FaultError(_line(event), "`<<` takes a mapping or a list of mappings")
        for key, node in source.value.items():
            merged.setdefault(key, node)


def _refuse_tag(event: Any) -> None:
    """Raises _FaultError for a tag such as `!!python/object`."""
    if event.tag not in (None, "!", _STR_TAG):
        raise _FaultError(
            _line(event),
            f"tag {event.tag!r} is not allowed: only plain data is read",
            "remove the tag",
        )


def _refuse_unusable(event: Any) -> None:
    if "\0" in event.value or any(map(_is_surrogate, event.value)):
        raise _FaultError(
            _line(event), "holds a NUL or half a surrogate pair, which no argument can hold"
        )


def _is_surrogate(char: str) -> bool:
    return 0xD800 <= ord(char) <= 0xDFFF


def _syntax_fault(error: yaml.MarkedYAMLError, text: str) -> _FaultError:
    """The parser's error as our own, with a hint where we know one."""
    mark = error.problem_mark or error.context_mark
    # For an error at the end of the file libyaml gives the line after the last one.
    line = None if mark is None else min(mark.line + 1, max(1, len(text.splitlines())))
    what = " ".join(p for p in (error.context, error.problem) if p)
    if "nesting depth" in what:  # libyaml 0.2.6 reads ahead and has a limit of its own
        return _FaultError(line, _TOO_DEEP)
    begun = error.context_mark and error.context_mark.line + 1
    if line is not None and begun and begun < line:
        what += f" (begun on line {begun})"
    hint = next((hint for words, hint in _HINTS.items() if words in what), None)
    if "\\t" in what or "tab" in what or _tab_at(text, line):
        hint = "indent with spaces, not tabs"
    return _FaultError(line, f"is not YAML: {what}", hint)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _name(event: Any) -> str:
    if isinstance(event, yaml.SequenceStartEvent):
        return "a list"
    if isinstance(event, yaml.MappingStartEvent):
        return "a mapping"
    return f"the text {event.value[:40]!r}" if isinstance(event, yaml.ScalarEvent) else "an alias"


def _tab_at(text: str, line: int | None) -> bool:
    """True if the line, or the one before it, holds a tab."""
    lines = text.splitlines()
    if line is None or line > len(lines):
        return False
    # libyaml may report the line after the one with the tab.
    return any("\t" in near for near in lines[max(0, line - 2) : line])
