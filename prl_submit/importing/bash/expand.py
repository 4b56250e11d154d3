"""A word as it is written -> the words the program gets: quotes, escapes, `$`, splitting.

The rules are those of bash (its manual, "Shell Expansions"). What depends on the machine (files
that match a pattern, the output of programs, variables of the environment) raises UnknownError.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from prl_submit.importing.bash import syntax
from prl_submit.importing.bash.arithmetic import evaluate, number
from prl_submit.importing.bash.parameters import expand_parameter
from prl_submit.importing.bash.pieces import (
    Piece,
    WordContext,
    is_one_expansion,
    joined_defaults,
    joined_items,
    joined_text,
)
from prl_submit.importing.bash.scope import (
    Default,
    Field,
    Gap,
    Given,
    Scope,
    Unknown,
    UnknownError,
    Variable,
)
from prl_submit.importing.bash.syntax import Part, Word

MAX_TEXT = 1_000_000
MAX_ITEMS = 10_000
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
#: Tokens of literal text: an escape; `=`, `~` or `$`, which may have a meaning; or all else.
_TOKEN = re.compile(r"\\.?|[=~$]|[^\\=~$]+", re.DOTALL)
#: Stands for what is quoted or expanded, where only bare characters count.
_COVER = "\0"
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ANSI = re.compile(
    r"\\(?:x(?P<hex>[0-9A-Fa-f]{1,2})|u(?P<u>[0-9A-Fa-f]{1,4})|U(?P<U>[0-9A-Fa-f]{1,8})"
    r"|(?P<octal>[0-7]{1,3})|(?P<letter>[ntrabfveE\\'\"?])|c(?P<control>.))|(?P<plain>[^\\]+|\\)",
    re.DOTALL,
)


# --- what is asked of a word ----------------------------------------------------------------------


def expand_fields(word: Word, scope: Scope) -> list[Given]:
    """The words that a command gets for one written word.

    The items of an array may be gaps. Raises UnknownError where the whole word is not known.
    """
    pieces = _pieces_of(word, scope, assignment=bool(_ASSIGNMENT.match(word.text)))
    _refuse_unclear(word, pieces)
    return _fields(pieces, word, scope)


def _fields(pieces: list[Piece], word: Word, scope: Scope) -> list[Given]:
    """The words that bash makes of the pieces. Raises UnknownError."""
    fields: list[Given] = []
    current: list[Piece] = []
    for piece in pieces:
        for part in _split(piece, scope):
            if len(fields) > MAX_ITEMS:
                raise UnknownError(f"more than {MAX_ITEMS:,} words", "write them to a file")
            if part is not None:
                current.append(part)
            elif current:
                fields.append(_field(current, word, scope))
                current = []
    return [*fields, _field(current, word, scope)] if current else fields


def expand_argument(word: Word, scope: Scope) -> list[Given]:
    """The words of a command's argument: as `expand_fields`, and also of a text of which only a part is known."""
    return list(_words_of_variable(word, scope)) or expand_fields(word, scope)


def _words_of_variable(word: Word, scope: Scope) -> tuple[Given, ...]:
    """The words of `$NAME`, if the value of NAME is text of which only a part is not known; else none."""
    part = word.parts[0] if len(word.parts) == 1 else None
    if not isinstance(part, syntax.ParamExp) or part.param is None:
        return ()
    if part.text.strip("${}") != part.param.value:
        return ()
    variable = scope.variables.get(part.param.value)
    return variable.value.words if variable and isinstance(variable.value, Unknown) else ()


def split_value(word: Word, scope: Scope) -> tuple[Given, ...]:
    """The words that bash will make of a value such as `"--nnodes $N --node_rank $R"`, in which a part is not known.

    None if the value is not written as one text in double quotes, or is the value of one variable.
    """
    text = word.parts[0] if len(word.parts) == 1 else None
    if not isinstance(text, syntax.DblQuoted) or len(text.parts) < 2:
        return ()
    pieces: list[Piece] = []
    for part in text.parts:
        pieces += _parts_of_value(part, scope)
    try:
        return tuple(_fields(pieces, word, scope))
    except UnknownError:
        return ()


def _parts_of_value(part: Part, scope: Scope) -> list[Piece]:
    """The pieces of a part of a value; what is not known is one word, as a platform's number or host is."""
    inner = _words_of_variable(Word(text=part.text, line=part.line, parts=[part]), scope)
    if inner:
        return [Piece("", quoted=True, items=list(inner))]
    try:
        found = expand([part], scope, WordContext(quoted=True))
    except UnknownError as error:
        gap: Given = Gap(part.text, part.line, error.unknown)
        return [Piece("", quoted=True, items=[gap])]
    return [msgspec.structs.replace(piece, quoted=False, expanded=True) for piece in found]


def _refuse_unclear(word: Word, pieces: list[Piece]) -> None:
    """Raise UnknownError for a word that bash splits in a way that nobody expects."""
    if _has_braces(word):
        raise UnknownError(
            f"{_shown(word.text)} holds {{a,b}}, which bash makes several words of",
            "put quotes around it, or write the words out",
        )
    if any(p.text == "$" and not (p.quoted or p.expanded) for p in pieces) and any(
        p.expanded for p in pieces
    ):  # bash 5.2 then splits nothing in the word
        raise UnknownError(f"{_shown(word.text)} holds a $ that is no variable", r"write \$")


def expand_value(word: Word, scope: Scope) -> tuple[str, tuple[Default, ...]]:
    """What an assignment stores: neither split nor matched against files. Raises UnknownError."""
    pieces = _pieces_of(word, scope, assignment=True)
    return _bounded(joined_text(pieces, scope)), joined_defaults(pieces)


def pieces_of(word: Word, scope: Scope) -> list[Piece]:
    """The pieces of a word that is neither split nor matched against files. Raises UnknownError."""
    return [
        piece
        if piece.items is None
        else Piece(joined_items(piece.items, scope), piece.quoted, expanded=True)
        for piece in _pieces_of(word, scope, assignment=False)
    ]


def expand_marks(word: Word, scope: Scope) -> tuple[Default, ...]:
    """The defaults that a word comes from, empty ones too. Raises UnknownError."""
    return joined_defaults(_pieces_of(word, scope, assignment=False))


def value_of_arithmetic(
    node: syntax.ArithmeticNode | None, scope: Scope
) -> tuple[int, tuple[Default, ...]]:
    """The value of an expression, and the defaults that it comes from. Raises UnknownError."""
    defaults: dict[Default, None] = {}

    def number_of(word: Word) -> int:
        if (name := word.literal) is not None and _IDENTIFIER.fullmatch(name):
            variable = scope.find(name, word.line)
            if variable is None or not isinstance(variable.value, str):
                raise _not_known_number(name, variable)
            defaults.update(dict.fromkeys(variable.defaults))
            return _whole(name, variable.value)
        pieces = expand(word.parts, scope, WordContext(quoted=True))
        defaults.update(dict.fromkeys(default for piece in pieces for default in piece.defaults))
        text = "".join(piece.text for piece in pieces)
        if all(piece.expanded for piece in pieces):
            return _whole(word.text, text)
        return number(text, node.text if node is not None else "")

    return evaluate(node, number_of), tuple(defaults)


def _not_known_number(name: str, variable: Variable | None) -> UnknownError:
    unknown = variable.value if variable is not None else None
    if not isinstance(unknown, Unknown):
        return UnknownError(f"{name} in arithmetic is not known", "write the number", (name,))
    why = unknown.why if unknown.same_as else f"{name} in arithmetic is not known"
    return UnknownError(why, "write the number", unknown.names or (name,), unknown.same_as)


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]+", text):
        raise UnknownError(f"{name} is no number: {text!r}", "write the number")
    return number(text.removeprefix("-"), text) * (-1 if text[0] == "-" else 1)


# --- pieces ---------------------------------------------------------------------------------------


def _pieces_of(word: Word, scope: Scope, *, assignment: bool) -> list[Piece]:
    tilde = "assignment" if assignment else "word"
    try:
        return expand(word.parts, scope, WordContext(tilde=tilde))
    except UnknownError as error:
        raise (error if is_one_expansion(word) else error.changed()) from None


def expand(parts: Sequence[Part], scope: Scope, context: WordContext) -> list[Piece]:
    """The pieces of a word's parts. Raises UnknownError."""
    found: list[Piece] = []
    for at, part in enumerate(parts):
        if isinstance(part, syntax.Lit):
            is_last = at == len(parts) - 1
            found += _literal(part, scope, context, is_first=at == 0, is_last=is_last)
        else:
            found += _expand_part(part, scope, context)
    return found


def _expand_part(part: Part, scope: Scope, context: WordContext) -> list[Piece]:
    if isinstance(part, syntax.SglQuoted):
        return [Piece(_single_quoted(part, context), quoted=True)]
    if isinstance(part, syntax.DblQuoted):
        inner = expand(part.parts, scope, WordContext(quoted=True))
        # `""` is a word; `"$@"` may be none.
        is_word = not inner or any(piece.items is None for piece in inner)
        return [*([Piece("", quoted=True)] if is_word else []), *inner]
    if isinstance(part, syntax.ParamExp):
        return expand_parameter(part, scope, context.quoted, expand)
    if isinstance(part, syntax.CmdSubst):
        text = scope.substitute(part).rstrip("\n")
        return [Piece(text, context.quoted, expanded=True)]
    if isinstance(part, syntax.ArithmExp):
        if part.bracket:
            raise UnknownError("$[…] is arithmetic that bash has given up", "write $((…))")
        value, _ = value_of_arithmetic(part.x, scope)
        return [Piece(str(value), context.quoted, expanded=True)]
    raise UnknownError(f"{_shown(part.text)} is known only when it runs", "write it out")


def _single_quoted(part: syntax.SglQuoted, context: WordContext) -> str:
    if not context.quoted:
        return ansi(part.value) if part.dollar else part.value
    # In the braces of "${A:-'x'}" the quotes are characters, and what they hold is expanded.
    if part.dollar:
        raise UnknownError("$'…' in braces in double quotes", "write the text otherwise")
    if set(part.value) & set("$`\\"):
        raise UnknownError("'…' in braces in double quotes", "write the text otherwise")
    return f"'{part.value}'"


def _literal(
    part: syntax.Lit, scope: Scope, context: WordContext, *, is_first: bool, is_last: bool
) -> list[Piece]:
    """The pieces of literal text. `=`, `~` and `$` become pieces of their own, to be found again."""
    found: list[Piece] = []
    value = part.value
    for match in _TOKEN.finditer(value):
        token = match[0]
        before = value[: match.start()] if is_first else f"\0{value[: match.start()]}"
        if token[0] == "\\":
            found.append(_escaped(token, context))
        elif token == "~" and _is_home(before, context):
            after = value[match.end() : match.end() + 1] or ("" if is_last else "\0")
            found.append(_home(scope, part.line, after, context))
        else:
            found.append(Piece(token, context.quoted))
    return found


def _escaped(token: str, context: WordContext) -> Piece:
    escapes = '$`"\\}' if context.in_braces else '$`"\\'
    if len(token) == 1 or (context.quoted and token[1] not in escapes):
        return Piece(token, quoted=True)
    return Piece(token[1], quoted=True)


def _is_home(before: str, context: WordContext) -> bool:
    if context.tilde == "assignment":
        return not before or before[-1] == ":" or bool(_ASSIGNMENT.fullmatch(before))
    return bool(context.tilde) and not before


def _home(scope: Scope, line: int, after: str, context: WordContext) -> Piece:
    if after not in ("", "/") and not (after == ":" and context.tilde == "assignment"):
        raise UnknownError("~name is another user's home, ~+ and ~- are folders", "write it out")
    home = scope.find("HOME", line)
    return Piece(str(home.value) if home else "~", quoted=True)


def ansi(text: str) -> str:  # noqa: C901  # one case for each escape
    r"""What `$'…'` stands for. Raises UnknownError for bytes that are not UTF-8."""
    found = bytearray()
    for match in _ANSI.finditer(text):
        if digits := match["hex"]:
            found.append(int(digits, 16))
        elif digits := match["octal"]:
            found.append(int(digits, 8) & 0xFF)
        elif digits := match["u"] or match["U"]:
            found += _character(int(digits, 16))
        elif match["control"]:
            raise UnknownError("holds a control character", "write it otherwise")
        elif letter := match["letter"]:
            found += {"e": "\x1b", "E": "\x1b"}.get(letter, _ESCAPED.get(letter, letter)).encode()
        else:
            found += match["plain"].encode("utf-8")
    try:
        plain = found.decode("utf-8")
    except UnicodeDecodeError:
        raise UnknownError("$'…' holds bytes that are not UTF-8", "write the text") from None
    return plain.partition("\0")[0]  # as bash does


def _character(point: int) -> bytes:
    try:
        return chr(point).encode("utf-8")
    except (ValueError, OverflowError, UnicodeEncodeError):
        raise UnknownError("$'…' holds what is no character", "write the text") from None


# --- pieces to words ------------------------------------------------------------------------------


def _split(piece: Piece, scope: Scope) -> list[Piece | None]:
    """The parts of a piece, with None where a word ends."""
    parts: list[Piece | None] = []
    if piece.items is not None:
        for at, item in enumerate(piece.items):
            if at:
                parts.append(None)
            part = _item(item, piece)
            parts += [part] if piece.quoted else _split(part, scope)
        return parts
    if piece.quoted or not piece.expanded:
        return [piece]
    scope.separator()
    for text in re.split(r"([ \t\n]+)", piece.text):
        if text:
            is_blank = text[0] in " \t\n"
            parts.append(None if is_blank else msgspec.structs.replace(piece, text=text))
    return parts


def _item(item: Given, piece: Piece) -> Piece:
    if isinstance(item, Gap):
        return Piece(item.written, quoted=True, line=item.line, unknown=item.unknown)
    return Piece(item.text, piece.quoted, expanded=True, defaults=item.defaults, line=item.line)


def _field(pieces: list[Piece], word: Word, scope: Scope) -> Given:
    bare = "".join(_COVER if piece.quoted else piece.text for piece in pieces)
    if scope.matches_files and _is_pattern(bare):
        raise UnknownError(
            f"{_shown(word.text)} is a pattern, for which bash looks for files",
            "put quotes around it, or write the names",
        )
    line = next((piece.line for piece in pieces if piece.line is not None), word.line)
    unknown = next((piece.unknown for piece in pieces if piece.unknown is not None), None)
    if unknown is not None:
        if not _is_whole_value(pieces):
            unknown = msgspec.structs.replace(unknown, same_as=None)
        return Gap("".join(piece.text for piece in pieces), line, unknown)
    sign = next((i for i, p in enumerate(pieces) if p.text == "=" and not p.expanded), len(pieces))
    return Field(
        _bounded("".join(piece.text for piece in pieces)),
        line,
        joined_defaults(pieces),
        joined_defaults(pieces[sign + 1 :]),
    )


def _is_whole_value(pieces: list[Piece]) -> bool:
    """True if a word is one value, or `--NAME=` and one value."""
    before = "".join(piece.text for piece in pieces[:-1])
    return pieces[-1].unknown is not None and (not before or before[-1] == "=")


def _has_braces(word: Word) -> bool:
    """True if a word holds `{a,b}` or `{1..3}`.

    A regular expression would take minutes for a long text of braces.
    """
    values = [part.value if isinstance(part, syntax.Lit) else _COVER for part in word.parts]
    text = re.sub(r"\\.", _COVER, "".join(values), flags=re.DOTALL)
    inner = text[text.find("{") + 1 : text.rfind("}")] if "{" in text and "}" in text else ""
    return "," in inner or ".." in inner


def _is_pattern(text: str) -> bool:
    start = text.find("[")
    return "*" in text or "?" in text or (start >= 0 and text.find("]", start) > start)


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise UnknownError(f"a value of more than {MAX_TEXT:,} characters", "write it to a file")
    return text


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
