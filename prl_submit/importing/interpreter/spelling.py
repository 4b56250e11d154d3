"""How a command is spelt: what is a builtin, and what only looks like another command."""

from __future__ import annotations

import posixpath

from prl_submit.importing.bash.effects import DECLARATIONS, set_by_words, unwrapped
from prl_submit.importing.bash.scope import Field, Given
from prl_submit.importing.interpreter.constructs import OWN_MEANING, SILENT


def bare_builtin(given: list[Given]) -> str | None:
    """A command that sets variables, spelt so that it is not read as one: `command export A=1`."""
    texts = texts_of(given)
    words = unwrapped(texts)
    is_wrapped = words != texts
    if not words:
        return None
    if words[0] in DECLARATIONS or (is_wrapped and words[0] in OWN_MEANING - SILENT):
        return words[0]
    return words[0] if is_wrapped and set_by_words(words) else None


def texts_of(given: list[Given]) -> tuple[str, ...]:
    """The words; of one that is not known, as it is written."""
    return tuple(word.text if isinstance(word, Field) else word.written for word in given)


def is_builtin_path(head: str) -> bool:
    """`./set` is no builtin; `/bin/echo` is as good as one."""
    return "/" in head and posixpath.basename(head) in OWN_MEANING - SILENT - {"conda"}
