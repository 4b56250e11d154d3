"""A word as it is written -> the words the program gets: quotes, escapes, `$`, splitting.

The rules are bash's own (its manual, "Shell Expansions"); what depends on the machine (files that
match a pattern, output of programs, variables of the outside) raises UnknownError.
"""

from __future__ import annotations

import re

import msgspec

from prl_submit.importing.arithmetic import compute
from prl_submit.importing.lexical import (
    COVER,
    ansi,
    bare_source,
    end_of_ansi,
    end_of_braces,
    end_of_inner,
    end_of_parentheses,
    end_of_quotes,
    unfolded,
)
from prl_submit.importing.parameter import expand_parameter, joined_items
from prl_submit.importing.piece import Piece, joined_defaults
from prl_submit.importing.scope import Default, Field, Gap, Given, Scope, UnknownError
from prl_submit.importing.statement import Word

MAX_TEXT = 1_000_000
MAX_ITEMS = 10_000
#: Up to the next character with a meaning.
_PLAIN = re.compile(r"[^\\'\"$`~=]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)


def expand_fields(word: Word, scope: Scope) -> list[Given]:
    """The words a command gets for one written word; of an array, some may be unknown.

    Raises UnknownError where all of it is.
    """
    pieces = _pieces_of(word, scope, assignment=bool(_ASSIGNMENT.match(word.text)))
    if _has_braces(bare_source(word.text)):
        raise UnknownError(
            f"{_shown(word.text)} holds {{a,b}}, which bash makes several words of",
            "put quotes around it, or write the words out",
        )
    if any(p.text == "$" and not (p.quoted or p.expanded) for p in pieces) and any(
        p.expanded for p in pieces
    ):  # bash 5.2 then splits nothing in the word, which nobody means
        raise UnknownError(f"{_shown(word.text)} holds a $ that is no variable", r"write \$")
    fields: list[Given] = []
    current: list[Piece] | None = None
    for piece in pieces:
        for part, ends in _split(piece, scope):
            if part is not None:
                current = [] if current is None else current
                current.append(part)
            if len(fields) > MAX_ITEMS:
                raise UnknownError(f"more than {MAX_ITEMS:,} words", "write them to a file")
            if ends and current is not None:
                fields.append(_field(current, word, scope))
                current = None
    if current is not None:
        fields.append(_field(current, word, scope))
    return fields


def _has_braces(text: str) -> bool:
    """`{a,b}` or `{1..3}`; no regular expression, which would go over a long text many times."""
    inner = text[text.find("{") + 1 : text.rfind("}")] if "{" in text and "}" in text else ""
    return "," in inner or ".." in inner


def _is_pattern(text: str) -> bool:
    start = text.find("[")
    return "*" in text or "?" in text or (start >= 0 and text.find("]", start) > start)


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise UnknownError(f"a value of more than {MAX_TEXT:,} characters", "write it to a file")
    return text


def expand_value(word: Word, scope: Scope) -> tuple[str, tuple[Default, ...]]:
    """What an assignment stores: neither split nor matched against files. Raises UnknownError."""
    pieces = _pieces_of(word, scope, assignment=True)
    text = "".join(p.text if p.items is None else joined_items(p.items, scope) for p in pieces)
    return _bounded(text), joined_defaults(pieces)


def pieces_of(word: Word, scope: Scope) -> list[Piece]:
    """The pieces of a word that is neither split nor matched against files. Raises UnknownError."""
    pieces = _pieces_of(word, scope, assignment=False)
    return [
        piece
        if piece.items is None
        else Piece(joined_items(piece.items, scope), piece.quoted, expanded=True)
        for piece in pieces
    ]


def expand_marks(word: Word, scope: Scope) -> tuple[Default, ...]:
    """The defaults that a word is made of, empty ones too. Raises UnknownError."""
    return joined_defaults(_pieces_of(word, scope, assignment=False))


def value_of_arithmetic(text: str, line: int, scope: Scope) -> tuple[int, tuple[Default, ...]]:
    """The value of `(( text ))`, and the defaults that it comes from. Raises UnknownError."""
    lexer = _Lexer(unfolded(text), line, scope, quoted=True)
    pieces = lexer.read()
    plain = "".join(piece.text for piece in pieces)
    found = [scope.find(name, line) for name in _IDENTIFIER.findall(plain)]
    defaults = [default for piece in pieces for default in piece.defaults]
    defaults += [default for variable in found if variable for default in variable.defaults]
    return lexer.computed(plain), tuple(dict.fromkeys(defaults))


def _split(piece: Piece, scope: Scope) -> list[tuple[Piece | None, bool]]:
    """Parts of a piece, each with whether a word ends behind it."""
    if piece.items is not None:
        last = len(piece.items) - 1
        parts: list[tuple[Piece | None, bool]] = []
        for i, item in enumerate(piece.items):
            part = _item(item, piece)
            inner = [(part, False)] if piece.quoted else _split(part, scope)
            parts += inner
            if i != last:
                parts.append((None, True))
        return parts
    if piece.quoted or not piece.expanded:
        return [(piece, False)]
    scope.separator()
    parts = []
    for text in re.split(r"([ \t\n]+)", piece.text):
        if text and text[0] in " \t\n":
            parts.append((None, True))
        elif text:
            parts.append((msgspec.structs.replace(piece, text=text), False))
    return parts


def _item(item: Given, piece: Piece) -> Piece:
    if isinstance(item, Gap):
        return Piece(item.written, quoted=True, line=item.line, unknown=item.unknown)
    return Piece(item.text, piece.quoted, expanded=True, defaults=item.defaults, line=item.line)


def _field(pieces: list[Piece], word: Word, scope: Scope) -> Given:
    bare = "".join(COVER if piece.quoted else piece.text for piece in pieces)
    if scope.matches_files and _is_pattern(bare):
        raise UnknownError(
            f"{_shown(word.text)} is a pattern, for which bash looks for files",
            "put quotes around it, or write the names",
        )
    line = next((piece.line for piece in pieces if piece.line is not None), word.line)
    unknown = next((piece.unknown for piece in pieces if piece.unknown is not None), None)
    if unknown is not None:
        return Gap("".join(piece.text for piece in pieces), line, unknown)
    sign = next((i for i, p in enumerate(pieces) if p.text == "=" and not p.expanded), len(pieces))
    return Field(
        _bounded("".join(piece.text for piece in pieces)),
        line,
        joined_defaults(pieces),
        joined_defaults(pieces[sign + 1 :]),
    )


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def _pieces_of(word: Word, scope: Scope, *, assignment: bool) -> list[Piece]:
    if re.search(r"\s", bare_source(unfolded(word.text))):  # the grammar lost its way
        raise UnknownError(f"{_shown(word.text)} cannot be read for certain", "use quotes")
    tilde = "assignment" if assignment else "word"
    return _Lexer(unfolded(word.text), word.line, scope, tilde=tilde).read()


def _pieces_inside(text: str, line: int, scope: Scope, quoted: bool) -> list[Piece]:
    r"""The word in `${X:-word}`; in double quotes `\}` is a brace."""
    return _Lexer(text, line, scope, quoted=quoted, escapes='$`"\\}', tilde="word").read()


class _Lexer:
    """Reads the text of one word."""

    def __init__(
        self,
        text: str,
        line: int,
        scope: Scope,
        *,
        quoted: bool = False,
        escapes: str = '$`"\\',
        tilde: str = "",
    ) -> None:
        self._text = text
        self._line = line
        self._scope = scope
        self._quoted = quoted
        self._escapes = escapes
        self._tilde = "" if quoted else tilde
        self._at = 0
        self._found: list[Piece] = []

    def read(self) -> list[Piece]:
        """All pieces, in order."""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "\\":
                self._backslash()
            elif char == "'" and not self._quoted:
                self._literal(self._until("'", self._at + 1), quoted=True)
            elif char == '"':
                self._double_quoted()
            elif char == "$":
                self._dollar()
            elif char == "`":
                self._substitute(self._backticks())
            elif char == "~" and self._is_tilde():
                self._home()
            else:
                self._plain()
        return self._found

    def _plain(self) -> None:
        """Characters that mean themselves; an `=` stays alone, to be found again."""
        match = _PLAIN.match(self._text, self._at)
        text = self._text[self._at] if match is None else match[0]
        self._at += len(text)
        self._literal(text, quoted=self._quoted)

    def _literal(self, text: str, *, quoted: bool) -> None:
        self._found.append(Piece(text, quoted))

    def _until(self, end: str, start: int) -> str:
        """The text up to `end`, which is passed over."""
        place = self._closed(self._text.find(end, start))
        self._at = place + len(end)
        return self._text[start:place]

    def _closed(self, end: int) -> int:
        """Where quotes or braces end. Raises UnknownError where they do not: bash stops there."""
        if not 0 <= end < len(self._text):
            raise UnknownError(f"{_shown(self._text)} is not closed", "`bash -n` says more")
        return end

    def _backslash(self) -> None:
        after = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if after == "\n":  # a line that goes on
            return
        if self._quoted and after not in self._escapes:
            self._at -= 1
            after = "\\"
        self._literal(after or "\\", quoted=True)

    def _double_quoted(self) -> None:
        start = self._at + 1
        end = self._closed(end_of_quotes(self._text, start))
        self._at = end + 1
        inner = _Lexer(self._text[start:end], self._line, self._scope, quoted=True).read()
        if not inner or any(piece.items is None for piece in inner):
            self._literal("", quoted=True)  # "" is a word, "$@" may be none
        self._found += inner

    def _dollar(self) -> None:
        text, start = self._text, self._at
        after = text[start + 1 : start + 2]
        if after == "'" and self._quoted and "}" in self._escapes:
            raise UnknownError("$'…' in braces in double quotes", "write the text otherwise")
        if after == "'" and not self._quoted:
            end = self._closed(end_of_ansi(text, start + 2))
            self._at = end + 1
            self._literal(ansi(text[start + 2 : end]), quoted=True)
        elif after == '"' and not self._quoted:  # $"…" is looked up in translations
            self._at += 1
        elif after == "{":
            end = self._closed(end_of_braces(text, start + 2))
            self._at = end + 1
            self._parameter(text[start + 2 : end])
        elif text.startswith("$((", start) and text.startswith("))", end_of_inner(text, start)):
            end = end_of_inner(text, start)
            self._at = end + 2
            self._arithmetic(text[start + 3 : end])
        elif after == "(":
            end = self._closed(end_of_parentheses(text, start + 2))
            self._at = end + 1
            self._substitute(text[start + 2 : end])
        elif after == "[":
            raise UnknownError("$[…] is arithmetic that bash has given up", "write $((…))")
        elif match := _NAME.match(text, start + 1):
            self._at = match.end()
            self._parameter(match[0])
        else:
            self._at += 1
            self._literal("$", quoted=self._quoted)

    def _parameter(self, inner: str) -> None:
        self._found += expand_parameter(
            inner, self._line, self._scope, self._quoted, _pieces_inside
        )

    def _arithmetic(self, inner: str) -> None:
        word = _Lexer(inner, self._line, self._scope, quoted=True).read()
        value = self.computed("".join(piece.text for piece in word))
        self._found.append(Piece(str(value), self._quoted, expanded=True))

    def computed(self, text: str) -> int:
        """The value of an arithmetic expression whose `$` are resolved. Raises UnknownError."""
        return compute(_IDENTIFIER.sub(self._number, text))

    def _number(self, match: re.Match[str]) -> str:
        variable = self._scope.find(match[0], self._line)
        if variable is None or not isinstance(variable.value, str):
            names = () if variable is None else getattr(variable.value, "names", ())
            message = f"{match[0]} in arithmetic is not known"
            raise UnknownError(message, "write the number", names or (match[0],))
        if not re.fullmatch(r"-?[0-9]+", variable.value):
            raise UnknownError(f"{match[0]} is no number: {variable.value!r}", "write the number")
        return f"({variable.value})"

    def _substitute(self, inner: str) -> None:
        text = self._scope.substitute(inner, self._line).rstrip("\n")
        self._found.append(Piece(text, self._quoted, expanded=True))

    def _backticks(self) -> str:
        place = start = self._at + 1
        while place < len(self._text) and self._text[place] != "`":
            place += 2 if self._text[place] == "\\" else 1
        self._at = self._closed(place) + 1
        return re.sub(r"\\([$`\\])", r"\1", self._text[start:place])

    def _is_tilde(self) -> bool:
        before = self._text[: self._at]
        if self._tilde == "assignment":
            return not before or before[-1] == ":" or bool(_ASSIGNMENT.fullmatch(before))
        return bool(self._tilde) and not before

    def _home(self) -> None:
        ends = "/" if self._tilde == "word" else "/:"
        after = self._text[self._at + 1 : self._at + 2]
        if after and after not in ends:
            raise UnknownError(
                "~name is another user's home, ~+ and ~- are folders", "write it out"
            )
        self._at += 1
        home = self._scope.find("HOME", self._line)
        self._literal(str(home.value) if home else "~", quoted=True)
