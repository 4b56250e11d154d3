"""Did you mean."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """The known word nearest to `word` (ratio of difflib, 0 to 1, at least `cutoff`), or None."""
    import difflib  # 8 ms, paid only where something is wrong

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """`did you mean 'beta'?`, or None where nothing is near."""
    near = closest(word, known)
    return None if near is None else f"did you mean {near!r}?"
