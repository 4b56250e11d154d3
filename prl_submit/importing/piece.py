"""The pieces of a word once its quotes and dollars are resolved."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from prl_submit.importing.scope import Default, Given, Unknown


class Piece(Struct, frozen=True):
    """Part of a word.

    `quoted`: bash neither splits it nor looks for files. `expanded`: comes from a `$`, so that,
    unquoted, it is split at blanks. `items`: of `"$@"` or `"${A[@]}"`, each a word of
    its own.
    """

    text: str
    quoted: bool
    expanded: bool = False
    items: list[Given] | None = None
    defaults: tuple[Default, ...] = ()
    #: Where it stands, if not where the word does.
    line: int | None = None
    #: Why an item is not known.
    unknown: Unknown | None = None


def joined_defaults(pieces: list[Piece]) -> tuple[Default, ...]:
    """The defaults in the pieces of one word; whole where no other text stands beside one."""
    found = dict.fromkeys(default for piece in pieces for default in piece.defaults)
    sources = {piece.defaults for piece in pieces if piece.text or piece.items}
    if len(sources) <= 1:
        return tuple(found)
    return tuple(msgspec.structs.replace(default, whole=False) for default in found)
