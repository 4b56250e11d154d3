"""Suggestions for a misspelt word: the known word with the most similar spelling."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """The known word most similar to `word`, or None.

    `cutoff`: the least similarity, from 0 (nothing in common) to 1 (equal), as difflib measures it.
    """
    import difflib

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The hint `did you mean 'beta'?`, or None if no known word is similar."""
    near = closest(word, known)
    return None if near is None else f"did you mean {near!r}?"
