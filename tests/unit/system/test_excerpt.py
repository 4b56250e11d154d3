"""Somebody else's words: harmless, on one line, with their beginning and their end."""

from __future__ import annotations

import pytest

from prl_submit.system.untrusted_text import excerpt, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("  two\n lines\t", "two lines"),
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1bPq\x9b31m", "q"),
        ("50%\r51%\b\x00", "50% 51%"),
        ("a\u202eb\u200bc\u2066", "a b c"),
        ("中文 é “x”", "中文 é “x”"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    """A text becomes one line, without escape sequences and invisible characters."""
    assert one_line(text) == shown


@pytest.mark.parametrize("most", [10, 11, 300])
def test_no_longer_than_asked_for(most: int) -> None:
    assert excerpt("x" * most, most) == "x" * most
    cut = excerpt("a" * most + "z" * most, most)
    assert len(cut) == most
    assert (cut[0], cut[-1]) == ("a", "z")
    assert " … " in cut


def test_words_are_not_cut_with_blanks_around() -> None:
    assert excerpt("aaaa       bbbb      " * 9, 12) == "aaaa … bbbb"
