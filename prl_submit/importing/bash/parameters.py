"""The value of `$NAME` and of `${NAME…}` with an operator."""

from __future__ import annotations

import re

from prl_submit.importing.bash.pieces import (
    Expand,
    Piece,
    WordContext,
    is_one_expansion,
    joined_defaults,
    joined_items,
    joined_text,
)
from prl_submit.importing.bash.scope import (
    ALWAYS_SET,
    Default,
    Field,
    Given,
    Scope,
    Unknown,
    UnknownError,
    Variable,
    known_item,
)
from prl_submit.importing.bash.syntax import ArithmeticNode, Expansion, ParamExp, Replace, Word

_HINT = "write the value"
#: `[a-z]`, `[!0-9]` in a pattern.
_RANGE = re.compile(r"\[([!^]?)((?:[A-Za-z0-9]-[A-Za-z0-9]|[\w,.:/ ])+)\]", re.ASCII)


def expand_parameter(node: ParamExp, scope: Scope, quoted: bool, expand: Expand) -> list[Piece]:
    """The pieces of `$NAME` or `${NAME…}`. Raises UnknownError where the value is not known.

    `expand` reads the words in its braces.
    """
    return _Parameter(node, scope, quoted, expand).pieces()


class _Parameter:
    """One expansion: a name, perhaps an index, and perhaps an operator."""

    def __init__(self, node: ParamExp, scope: Scope, quoted: bool, expand: Expand) -> None:
        self._node = node
        self._expand = expand
        self._scope = scope
        self._quoted = quoted
        self._line = node.line
        self._name = "" if node.param is None else node.param.value
        self._index = _index_of(node)
        #: As it is written between the braces.
        self._inner = node.text[1:] if node.short else node.text[2:-1]
        if node.excl:
            self._name = self._pointed_at()

    def pieces(self) -> list[Piece]:
        """What the expansion stands for. Raises UnknownError."""
        node = self._node
        variable = self._look_up()
        if node.length:
            return [self._expanded(str(self._length(variable)))]
        if node.exp is not None and node.exp.op[-1] in "-=?+":
            if variable is not None and isinstance(variable.value, list):
                return self._items_or(node.exp, variable.value)
            return self._default(node.exp, variable)
        found = self._required(variable)
        if node.exp is None and node.repl is None and node.slice is None:
            return self._plain(found)
        if isinstance(found.value, list):
            if node.slice is None:
                raise UnknownError(f"${{{self._inner}}} changes a whole array", _HINT)
            return [Piece("", self._quoted, items=self._slice(found.value))]
        text = self._changed(str(found.value))
        return [Piece(text, self._quoted, expanded=True, defaults=found.defaults)]

    def _expanded(self, text: str) -> Piece:
        return Piece(text, self._quoted, expanded=True)

    def _not_understood(self) -> UnknownError:
        return UnknownError(f"${{{self._inner}}} is not understood", _HINT)

    # --- the variable -------------------------------------------------------------------------

    def _pointed_at(self) -> str:
        """The name that `${!NAME}` stands for: the value of NAME. Raises UnknownError."""
        if self._inner[1:] != self._name or not self._name.isidentifier():
            raise self._not_understood()
        found = self._required(self._scope.find(self._name, self._line))
        if not isinstance(found.value, str) or not found.value.isidentifier():
            raise self._not_understood()
        return found.value

    def _look_up(self) -> Variable | None:  # noqa: C901  # one case for each form of `$NAME`
        """The variable, or its element; None where it is unset. Raises UnknownError."""
        name, index = self._name, self._index
        if name in ("@", "*", "#") or (name.isdigit() and name != "0"):
            return self._argument()
        if name in ("?", "$", "!", "-"):
            raise UnknownError(f"${name} is known only when the script runs", _HINT)
        found = self._scope.find(name, self._line)
        if found is None or isinstance(found.value, Unknown):
            return found
        if index is None and isinstance(found.value, str):
            return found
        if index not in (None, "0") and found.is_perhaps_array:
            raise UnknownError(f"the items of {name} are not known", "write the array at once")
        items = _as_items(found)
        if index in ("@", "*"):
            return Variable(value=items, line=found.line)
        if index is not None and not (index.isascii() and index.isdigit()):
            raise UnknownError(f"${{{name}[{index}]}} is not understood", "write the element")
        at = int(index or 0)  # an array without an index is its first element
        return _from_item(items[at]) if at < len(items) else None

    def _argument(self) -> Variable | None:
        scope, name = self._scope, self._name
        if name in ("#", "@", "*"):
            scope.outside.setdefault("@", self._line)
            count = str(len(scope.arguments))
            return Variable(value=count if name == "#" else list(scope.arguments), line=self._line)
        if int(name) <= len(scope.arguments):
            return _from_item(scope.arguments[int(name) - 1])
        if scope.is_condition:  # a condition asks whether the argument was given: it was not
            return Variable(value="", line=self._line, defaults=(Default(name, self._line),))
        return None

    def _required(self, variable: Variable | None) -> Variable:
        """The variable. Raises UnknownError where it is not set or not known."""
        name = self._name
        if variable is None and name.isdigit():
            raise UnknownError(f"${name} is given when the script is started", _HINT, (name,))
        if variable is None and self._scope.is_unset(name):
            value: str | list[Given] = [] if self._index in ("@", "*") else ""
            return Variable(value=value, line=self._scope.skipped[name])
        if variable is None:
            raise self._not_set(f"give it a default, ${{{name}:-VALUE}}, or write the value")
        if isinstance(variable.value, Unknown):
            why = variable.value.why
            if not why.startswith(f"${name} ") and why.count(", line ") < 3:
                why = f"${name}, line {variable.line}: {why}"
            same_as = variable.value.same_as if self._is_unchanged() else None
            names = variable.value.names or (name,)
            raise UnknownError(why, variable.value.hint, names, same_as)
        return variable

    def _is_unchanged(self) -> bool:
        """True if the expansion is the variable's own value, where the variable is set."""
        node = self._node
        changes = node.length or node.excl or node.index or node.repl or node.slice
        return not changes and (node.exp is None or node.exp.op[-1] in "-=?")

    def _not_set(self, hint: str) -> UnknownError:
        return UnknownError(f"${self._name} is not set in the script", hint, (self._name,))

    def _plain(self, variable: Variable) -> list[Piece]:
        if isinstance(variable.value, list):
            if self._quoted and "*" in (self._name, self._index):
                return [self._expanded(joined_items(variable.value, self._scope))]
            return [Piece("", self._quoted, items=variable.value)]
        text = variable.value if isinstance(variable.value, str) else ""
        return [Piece(text, self._quoted, expanded=True, defaults=variable.defaults)]

    def _length(self, variable: Variable | None) -> int:
        found = self._required(variable)
        return 0 if isinstance(found.value, Unknown) else len(found.value)

    # --- defaults -----------------------------------------------------------------------------

    def _word(self, word: Word | None) -> list[Piece]:
        r"""The word in `${X:-word}`; in double quotes `\}` is a brace."""
        if word is None:
            return []
        tilde = "" if self._quoted else "word"
        context = WordContext(self._quoted, self._quoted, tilde)
        try:
            return self._expand(word.parts, self._scope, context)
        except UnknownError as error:
            raise (error if is_one_expansion(word) else error.changed()) from None

    def _items_or(self, exp: Expansion, items: list[Given]) -> list[Piece]:
        """`"${A[@]:-word}"` of an array.

        An array without items counts as unset; one empty item counts as empty.
        """
        if exp.op[-1] in "=?" or ("*" in (self._name, self._index) and self._quoted):
            raise self._not_understood()
        is_empty = not items or (
            exp.op[0] == ":" and len(items) == 1 and not known_item(items[0]).text
        )
        if (exp.op[-1] == "+") == is_empty:
            return [Piece("", self._quoted, items=[] if exp.op[-1] == "+" else items)]
        return [_marked(piece, ()) for piece in self._word(exp.word)]

    def _default(self, exp: Expansion, variable: Variable | None) -> list[Piece]:  # noqa: C901  # the four operators share what they check
        """`:-`, `:=`, `:?` and `:+`. Without the colon, an empty variable counts as set."""
        if variable is not None and isinstance(variable.value, Unknown):
            self._required(variable)
        empty = variable is None or (exp.op[0] == ":" and variable.value in ("", []))
        if exp.op[-1] == "+":
            if variable is None and not self._scope.is_unset(self._name):
                raise self._not_set("write the value")
            return [] if empty else [_marked(piece, ()) for piece in self._word(exp.word)]
        if not empty and variable is not None:
            return self._plain(variable)
        name = self._name
        if name in ALWAYS_SET:
            raise UnknownError(f"${name} is known only when the script runs", _HINT, (name,))
        if exp.op[-1] == "?":
            raise self._not_set(f"give it a default, ${{{name}:-VALUE}}, or write the value")
        # A variable that the script itself sets to nothing cannot be overridden from outside.
        own = () if variable is not None else (Default(name, self._line),)
        pieces = self._word(exp.word)
        text = joined_text(pieces, self._scope)
        marked = [_marked(piece, own) for piece in pieces]
        if exp.op[-1] == "=":
            defaults = joined_defaults(marked) or own
            self._scope.set(name, Variable(value=text, line=self._line, defaults=defaults))
        # An empty default is marked, too: callers ask which defaults a value comes from.
        return marked or [Piece("", self._quoted, expanded=True, defaults=own)]

    # --- changes ------------------------------------------------------------------------------

    def _slice(self, items: list[Given]) -> list[Given]:
        """The items of `${A[@]:1:2}`, or of `${@:2}`, which counts from 1. Raises UnknownError."""
        start, length = self._bounds()
        start -= self._name in ("@", "*")
        if start < 0 or "*" in self._inner:
            raise self._not_understood()
        return items[start : None if length is None else start + length]

    def _bounds(self) -> tuple[int, int | None]:
        given = self._node.slice
        offset = None if given is None else _digits(given.offset)
        length = None if given is None else _digits(given.length)
        if given is None or offset is None or (given.length is not None and length is None):
            raise self._not_understood()
        return offset, length

    def _changed(self, text: str) -> str:
        node = self._node
        if node.repl is not None:
            return self._replaced(text, node.repl)
        if node.slice is not None:
            start, length = self._bounds()
            return text[start : None if length is None else start + length]
        operator = "" if node.exp is None else node.exp.op
        word = None if node.exp is None else node.exp.word
        if operator in ("^", "^^", ",", ",,") and word is None and text.isascii():
            change = str.upper if operator[0] == "^" else str.lower
            return change(text) if len(operator) == 2 else change(text[:1]) + text[1:]
        if operator in ("#", "##", "%", "%%"):
            return _trimmed(text, operator, self._pattern(word))
        raise self._not_understood()

    def _replaced(self, text: str, repl: Replace) -> str:
        pattern = self._pattern(repl.orig)
        written = "" if repl.orig is None else repl.orig.text
        instead = "".join(piece.text for piece in self._unquoted(repl.with_))
        if written[:1] in ("#", "%", "") or "&" in instead:
            raise self._not_understood()
        return re.sub(pattern, lambda _: instead, text, count=0 if repl.all else 1)

    def _unquoted(self, word: Word | None) -> list[Piece]:
        return (
            [] if word is None else self._expand(word.parts, self._scope, WordContext(tilde="word"))
        )

    def _pattern(self, word: Word | None) -> str:
        return pattern_of(self._unquoted(word), f"${{{self._inner}}}")


def _index_of(node: ParamExp) -> str | None:
    """The index as it is written."""
    if node.index is None:
        return None
    return node.index.literal or node.index.text if isinstance(node.index, Word) else "?"


def _digits(node: ArithmeticNode | None) -> int | None:
    text = node.literal if isinstance(node, Word) else None
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _as_items(variable: Variable) -> list[Given]:
    if isinstance(variable.value, list):
        return variable.value
    return [Field(str(variable.value), variable.line, variable.defaults)]


def _from_item(given: Given) -> Variable:
    item = known_item(given)
    return Variable(value=item.text, line=item.line, defaults=item.defaults)


def _marked(piece: Piece, own: tuple[Default, ...]) -> Piece:
    """A piece of a default, marked as such. bash splits it where it is not quoted."""
    return Piece(
        piece.text,
        piece.quoted,
        expanded=piece.expanded or not piece.quoted,
        items=piece.items,
        defaults=(*own, *piece.defaults),
    )


# --- patterns -------------------------------------------------------------------------------------


def pattern_of(pieces: list[Piece], written: str) -> str:
    """A regular expression for a pattern of `*`, `?` and plain text. Raises UnknownError."""
    found = []
    for piece in pieces:
        if piece.items is not None:
            raise UnknownError(f"{written} is a whole array", _HINT)
        if piece.quoted:
            found.append(re.escape(piece.text))
        elif match := _RANGE.fullmatch(piece.text):
            found.append(f"[{'^' if match[1] else ''}{match[2]}]")
        elif set(piece.text) & set("[]()!+@\\"):
            raise UnknownError(f"{written} has a pattern that is not understood", _HINT)
        else:
            found += [{"*": ".*", "?": "."}.get(char, re.escape(char)) for char in piece.text]
    return "(?s:" + "".join(found) + ")"


def _trimmed(text: str, operator: str, pattern: str) -> str:
    """The text without what matches: `#` the shortest beginning, `##` the longest; `%` the end."""
    places = range(len(text) + 1)
    if operator[0] == "#":
        ends = places if operator == "#" else reversed(places)
        return next((text[end:] for end in ends if re.fullmatch(pattern, text[:end])), text)
    starts = reversed(places) if operator == "%" else places
    return next((text[:start] for start in starts if re.fullmatch(pattern, text[start:])), text)
