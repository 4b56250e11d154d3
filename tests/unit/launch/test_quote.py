"""Words of bash, and comments that no text can leave."""

from __future__ import annotations

import pytest

from prl_submit.launch import quote


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("plain-1.5_/@%+=:,", "plain-1.5_/@%+=:,"),
        ("", "''"),
        ("a b", "'a b'"),
        ('$HOME `x` \\ "', "'$HOME `x` \\ \"'"),
        ("it's", "'it'\\''s'"),
        ("a\nb", "'a\nb'"),
        ("=ls", "'=ls'"),
        ("~", "'~'"),
        ("*", "'*'"),
        ("中", "'中'"),
        ("{a,b}", "'{a,b}'"),
    ],
)
def test_bash_words(text: str, word: str) -> None:
    """A text becomes one word of bash, quoted only if it must be."""
    assert quote.bash(text) == word


def test_bash_has_no_word_with_a_nul() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote.bash("a\0b")


def test_comments_cannot_be_left() -> None:
    assert quote.comment("a\nrm -rf /\r\x1b[31m\u2028中") == "a rm -rf /  [31m 中"
