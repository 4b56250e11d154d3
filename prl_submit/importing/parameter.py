"""`${NAME}` and what can be written behind the name."""

from __future__ import annotations

import re
from collections.abc import Callable

from prl_submit.importing.piece import Piece, joined_defaults
from prl_submit.importing.scope import (
    ALWAYS_SET,
    Default,
    Field,
    Gap,
    Given,
    Scope,
    Unknown,
    UnknownError,
    Variable,
)
from prl_submit.spec.scalars import is_digits

#: Reads a word inside braces: text, line, scope, whether in double quotes.
Read = Callable[[str, int, Scope, bool], list[Piece]]

_PARAMETER = re.compile(
    r"(?P<mark>[#!](?=[A-Za-z_@*0-9]))?(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])"
    r"(?:\[(?P<index>[^\]]*)\])?(?P<rest>.*)",
    re.DOTALL | re.ASCII,
)
_OPERATION = re.compile(r"(?P<operator>:?[-=?+]|##?|%%?|//?|\^\^?|,,?|:)(?P<word>.*)", re.DOTALL)
_HINT = "write the value"


def expand_parameter(inner: str, line: int, scope: Scope, quoted: bool, read: Read) -> list[Piece]:
    """The pieces of `$inner` or `${inner}`. Raises UnknownError where the value is not known."""
    match = _PARAMETER.fullmatch(inner)
    if match is not None and match["mark"] == "!" and inner[1:].isidentifier():
        inner = _pointed_at(inner[1:], line, scope)
        match = _PARAMETER.fullmatch(inner)
    if match is None or match["mark"] == "!":
        raise UnknownError(f"${{{inner}}} is not understood", _HINT)
    variable = _look_up(match["name"], match["index"], line, scope)
    if match["mark"] == "#":
        return [Piece(str(_length(inner, variable, scope)), quoted, expanded=True)]
    operation = _OPERATION.fullmatch(match["rest"])
    if match["rest"] and operation is None:
        raise UnknownError(f"${{{inner}}} is not understood", _HINT)
    if operation is None:
        found = _required(match["name"], inner, variable, scope)
        if quoted and "*" in (match["name"], match["index"]) and isinstance(found.value, list):
            return [Piece(joined_items(found.value, scope), quoted, expanded=True)]
        return _plain(found, quoted)
    operator, word = operation["operator"], operation["word"]
    if operator[-1] in "-=?+":
        if variable is not None and isinstance(variable.value, list):
            return _items_or(inner, operator, word, variable.value, line, scope, quoted, read)
        return _default(match["name"], operator, word, variable, line, scope, quoted, read)
    found = _required(match["name"], inner, variable, scope)
    if isinstance(found.value, list) and operator == ":":
        return [Piece("", quoted, items=_slice(match["name"], inner, word, found.value))]
    if not isinstance(found.value, str):
        raise UnknownError(f"${{{inner}}} changes a whole array", _HINT)
    text = _changed(found.value, operator, word, inner, line, scope, read)
    return [Piece(text, quoted, expanded=True, defaults=found.defaults)]


def _pointed_at(name: str, line: int, scope: Scope) -> str:
    """`${!NAME}` is the variable that NAME names. Raises UnknownError."""
    found = _required(name, name, scope.find(name, line), scope)
    if not isinstance(found.value, str) or not found.value.isidentifier():
        raise UnknownError(f"${{!{name}}} is not understood", _HINT)
    return found.value


def _slice(name: str, inner: str, word: str, items: list[Given]) -> list[Given]:
    """`${A[@]:1:2}`, `${@:2}`, which counts from 1. Raises UnknownError."""
    match = re.fullmatch(r"\s*([0-9]+)(?::\s*([0-9]+))?", word)
    start = int(match[1]) - (name in ("@", "*")) if match else -1
    if match is None or start < 0 or "*" in inner:
        raise UnknownError(f"${{{inner}}} is not understood", _HINT)
    return items[start : None if match[2] is None else start + int(match[2])]


def _look_up(name: str, index: str | None, line: int, scope: Scope) -> Variable | None:
    """The variable, or its element; None where it is unset."""
    if name in ("@", "*", "#") or (name.isdigit() and name != "0"):
        return _argument(name, line, scope)
    if name in ("?", "$", "!", "-"):
        raise UnknownError(f"${name} is known only when the script runs", _HINT)
    found = scope.find(name, line)
    if found is None or isinstance(found.value, Unknown):
        return found
    if index is None and isinstance(found.value, str):
        return found
    if index not in (None, "0") and found.is_perhaps_array:
        raise UnknownError(f"the items of {name} are not known", "write the array at once")
    items = _as_items(found)
    if index in ("@", "*"):
        return Variable(value=items, line=found.line)
    if index is not None and not is_digits(index):
        raise UnknownError(f"${{{name}[{index}]}} is not understood", "write the element")
    number = int(index or 0)  # an array without an index is its first element
    return _from_item(items[number]) if number < len(items) else None


def _as_items(variable: Variable) -> list[Given]:
    if isinstance(variable.value, list):
        return variable.value
    return [Field(str(variable.value), variable.line, variable.defaults)]


def joined_items(items: list[Given], scope: Scope) -> str:
    """As one text. Raises UnknownError where one of them is not known."""
    return scope.separator().join(_known_item(item).text for item in items)


def _known_item(item: Given) -> Field:
    if isinstance(item, Gap):
        raise UnknownError(item.unknown.why, item.unknown.hint, item.unknown.names)
    return item


def _from_item(given: Given) -> Variable:
    item = _known_item(given)
    return Variable(value=item.text, line=item.line, defaults=item.defaults)


def _argument(name: str, line: int, scope: Scope) -> Variable | None:
    if name == "#":
        scope.outside.setdefault("@", line)
        return Variable(value=str(len(scope.arguments)), line=line)
    if name in ("@", "*"):
        scope.outside.setdefault("@", line)
        return Variable(value=list(scope.arguments), line=line)
    number = int(name)
    if number <= len(scope.arguments):
        return _from_item(scope.arguments[number - 1])
    if scope.is_condition:  # whether one was given: none is
        return Variable(value="", line=line, defaults=(Default(name, line),))
    return None


def _required(name: str, inner: str, variable: Variable | None, scope: Scope) -> Variable:
    """The variable, known. Raises UnknownError."""
    if variable is None and name.isdigit():
        raise UnknownError(f"${name} is given when the script is started", _HINT, (name,))
    if variable is None and scope.is_unset(name):
        is_array = re.match(r"\w+\[[@*]\]", inner) is not None
        return Variable(value=[] if is_array else "", line=scope.skipped[name])
    if variable is None:
        hint = f"give it a default, ${{{name}:-VALUE}}, or write the value"
        raise UnknownError(f"${name} is not set in the script", hint, (name,))
    if isinstance(variable.value, Unknown):
        why = variable.value.why
        if not why.startswith(f"${name} ") and why.count(", line ") < 3:
            why = f"${name}, line {variable.line}: {why}"
        raise UnknownError(why, variable.value.hint, variable.value.names or (name,))
    return variable


def _plain(variable: Variable, quoted: bool) -> list[Piece]:
    if isinstance(variable.value, list):
        return [Piece("", quoted, items=variable.value)]
    text = variable.value if isinstance(variable.value, str) else ""
    return [Piece(text, quoted, expanded=True, defaults=variable.defaults)]


def _items_or(
    inner: str,
    operator: str,
    word: str,
    items: list[Given],
    line: int,
    scope: Scope,
    quoted: bool,
    read: Read,
) -> list[Piece]:
    """`"${A[@]:-word}"`: no items are unset, and one that is empty is empty."""
    star = re.match(r"\*|\w*\[\*", inner) is not None
    if operator[-1] in "=?" or (star and quoted):
        raise UnknownError(f"${{{inner}}} is not understood", _HINT)
    is_empty = not items or (
        operator[0] == ":" and len(items) == 1 and not _known_item(items[0]).text
    )
    if (operator[-1] == "+") == is_empty:
        return [Piece("", quoted, items=[] if operator[-1] == "+" else items)]
    return [_marked(piece, ()) for piece in read(word, line, scope, quoted)]


def _default(
    name: str,
    operator: str,
    word: str,
    variable: Variable | None,
    line: int,
    scope: Scope,
    quoted: bool,
    read: Read,
) -> list[Piece]:
    """`:-`, `:=`, `:?`, `:+` and their forms without the colon, for which empty is set."""
    if variable is not None and isinstance(variable.value, Unknown):
        _required(name, name, variable, scope)
    empty = variable is None or (operator[0] == ":" and variable.value in ("", []))
    if operator[-1] == "+":
        if variable is None and not scope.is_unset(name):
            raise UnknownError(f"${name} is not set in the script", "write the value", (name,))
        return [] if empty else [_marked(p, ()) for p in read(word, line, scope, quoted)]
    if not empty and variable is not None:
        return _plain(variable, quoted)
    if name in ALWAYS_SET:
        raise UnknownError(f"${name} is known only when the script runs", _HINT, (name,))
    if operator[-1] == "?":
        hint = f"give it a default, ${{{name}:-VALUE}}, or write the value"
        raise UnknownError(f"${name} is not set in the script", hint, (name,))
    pieces = read(word, line, scope, quoted)
    # A variable that the script itself sets to nothing cannot be overridden from outside.
    own = () if variable is not None else (Default(name, line),)
    text = "".join(
        piece.text if piece.items is None else joined_items(piece.items, scope) for piece in pieces
    )
    marked = [_marked(piece, own) for piece in pieces]
    if operator[-1] == "=":
        defaults = joined_defaults(marked)
        scope.set(name, Variable(value=text, line=line, defaults=defaults or own))
    # An empty default leaves its mark too: whoever takes it must know.
    return marked or [Piece("", quoted, expanded=True, defaults=own)]


def _marked(piece: Piece, own: tuple[Default, ...]) -> Piece:
    """A piece of a default: unquoted, it is split like any expansion."""
    return Piece(
        piece.text,
        piece.quoted,
        expanded=piece.expanded or not piece.quoted,
        items=piece.items,
        defaults=(*own, *piece.defaults),
    )


def _length(inner: str, variable: Variable | None, scope: Scope) -> int:
    found = _required(inner.lstrip("#").partition("[")[0], inner.lstrip("#"), variable, scope)
    return 0 if isinstance(found.value, Unknown) else len(found.value)


def _changed(
    text: str, operator: str, word: str, inner: str, line: int, scope: Scope, read: Read
) -> str:
    if operator in ("^", "^^", ",", ",,") and not word and text.isascii():
        change = str.upper if operator[0] == "^" else str.lower
        return change(text) if len(operator) == 2 else change(text[:1]) + text[1:]
    if operator == ":":
        match = re.fullmatch(r"([0-9]+)(?::([0-9]+))?", word)
        if match:
            end = None if match[2] is None else int(match[1]) + int(match[2])
            return text[int(match[1]) : end]
    elif operator in ("#", "##", "%", "%%"):
        return _trimmed(text, operator, _pattern(read(word, line, scope, False), inner))
    elif operator in ("/", "//"):
        pattern, _, replacement = _halves(word)
        what = _pattern(read(pattern, line, scope, False), inner)
        with_ = "".join(piece.text for piece in read(replacement, line, scope, False))
        if pattern[:1] not in ("#", "%", "") and "&" not in with_:
            return re.sub(what, lambda _: with_, text, count=1 if operator == "/" else 0)
    raise UnknownError(f"${{{inner}}} is not understood", _HINT)


def _halves(word: str) -> tuple[str, str, str]:
    r"""`pattern/replacement`, where `\\/` in the pattern is a slash."""
    match = re.match(r"(?:[^/\\]|\\.)*", word, re.DOTALL)
    end = match.end() if match else 0
    return word[:end], word[end : end + 1], word[end + 1 :]


def pattern_of(pieces: list[Piece], inner: str) -> str:
    """A regular expression for a pattern of `case` or `[[`. Raises UnknownError."""
    if any(piece.items is not None for piece in pieces):
        raise UnknownError(f"{inner} is a whole array", _HINT)
    return _pattern(pieces, inner)


def _pattern(pieces: list[Piece], inner: str) -> str:
    """A regular expression for a pattern of `*`, `?` and plain text. Raises UnknownError."""
    found = []
    for piece in pieces:
        if piece.quoted:
            found.append(re.escape(piece.text))
        elif match := re.fullmatch(
            r"\[([!^]?)((?:[A-Za-z0-9]-[A-Za-z0-9]|[\w,.:/ ])+)\]", piece.text, re.ASCII
        ):
            found.append(f"[{'^' if match[1] else ''}{match[2]}]")
        elif set(piece.text) & set("[]()!+@\\"):
            raise UnknownError(f"${{{inner}}} has a pattern that is not understood", _HINT)
        else:
            found += [{"*": ".*", "?": "."}.get(char, re.escape(char)) for char in piece.text]
    return "(?s:" + "".join(found) + ")"


def _trimmed(text: str, operator: str, pattern: str) -> str:
    """`#`: the shortest beginning that matches is taken away, `##` the longest; `%`: the end."""
    places = range(len(text) + 1)
    if operator[0] == "#":
        ends = places if operator == "#" else reversed(places)
        return next((text[end:] for end in ends if re.fullmatch(pattern, text[:end])), text)
    starts = reversed(places) if operator == "%" else places
    return next((text[:start] for start in starts if re.fullmatch(pattern, text[start:])), text)
