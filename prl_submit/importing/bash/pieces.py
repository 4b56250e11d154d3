"""The pieces of a word once its quotes and dollars are resolved."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from prl_submit.importing.bash import syntax
from prl_submit.importing.bash.scope import Default, Given, Scope, Unknown, known_item
from prl_submit.importing.bash.syntax import Part, Word


class Piece(Struct, frozen=True):
    """Part of a word whose quotes and dollars are resolved.

    `quoted`: bash neither splits it nor looks for files. `expanded`: it comes from a `$`, so that
    bash splits it at blanks where it is not quoted. `items`: of `"$@"` or `"${A[@]}"`, each a word
    of its own.
    """

    text: str
    quoted: bool
    expanded: bool = False
    items: list[Given] | None = None
    defaults: tuple[Default, ...] = ()
    #: The line of the piece, if it is not that of the word.
    line: int | None = None
    #: Why an item is not known.
    unknown: Unknown | None = None


class WordContext(Struct, frozen=True):
    """Where the parts of a word stand, which decides how bash reads them.

    `tilde`: "word" where a `~` counts at the beginning alone, "assignment" where it counts behind
    `=` and `:` too, "" where it never does.
    """

    quoted: bool = False
    in_braces: bool = False
    tilde: str = ""


#: The pieces of the parts of a word. Raises UnknownError.
Expand = Callable[[Sequence[Part], Scope, WordContext], list[Piece]]


def joined_text(pieces: Sequence[Piece], scope: Scope) -> str:
    """Pieces as one text, arrays with blanks in between. Raises UnknownError."""
    return "".join(p.text if p.items is None else joined_items(p.items, scope) for p in pieces)


def joined_items(items: list[Given], scope: Scope) -> str:
    """Items as one text. Raises UnknownError where one of them is not known."""
    return scope.separator().join(known_item(item).text for item in items)


def joined_defaults(pieces: Sequence[Piece]) -> tuple[Default, ...]:
    """The defaults in the pieces of one word; `whole` where no other text stands beside them."""
    found = dict.fromkeys(default for piece in pieces for default in piece.defaults)
    sources = {piece.defaults for piece in pieces if piece.text or piece.items}
    if len(sources) <= 1:
        return tuple(found)
    return tuple(msgspec.structs.replace(default, whole=False) for default in found)


def is_one_expansion(word: Word) -> bool:
    """True if a word is the value of one variable and no more: `$A`, `"${A:-1}"`, `$((A))`, `--x=$A`."""
    parts = word.parts
    if len(parts) == 2 and isinstance(parts[0], syntax.Lit) and parts[0].value[-1:] == "=":
        parts = parts[1:]
    if len(parts) == 1 and isinstance(parts[0], syntax.DblQuoted):
        parts = parts[0].parts
    if len(parts) != 1:
        return False
    if isinstance(parts[0], syntax.ArithmExp):
        inner = parts[0].x
        return isinstance(inner, Word) and (inner.literal is not None or is_one_expansion(inner))
    return isinstance(parts[0], syntax.ParamExp)
