"""What a terminal would obey, in words of others."""

from __future__ import annotations

import json

import pytest

from prl_submit.system.untrusted_text import Filter, in_json, words

#: What it is, and the sequence.
SEQUENCES = {
    "clear the screen": "\x1b[2J",
    "move up": "\x1b[A",
    "a private mode": "\x1b[?1049h",
    "the title": "\x1b]0;title\x07",
    "the title, other end": "\x1b]0;title\x1b\\",
    "the clipboard": "\x1b]52;c;cm0gLXJmCg==\x07",
    "a link": "\x1b]8;;http://x\x1b\\",
    "a device string": "\x1bP+q544e\x1b\\",
    "reset": "\x1bc",
    "a character set": "\x1b(0",
    "CSI of eight bits": "\x9b2J",
    "OSC of eight bits": "\x9d0;title\x9c",
    "backspace": "\b",
    "bell": "\x07",
    "another direction": "\u202e",
}


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
def test_nothing_of_it_is_left(sequence: str) -> None:
    """Control sequences are taken out whole."""
    assert words(f"a{sequence}b") == "a?b"
    assert Filter()(f"a{sequence}b\n".encode()) == b"ab\n"


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
def test_nor_where_it_comes_in_pieces(sequence: str) -> None:
    """A control sequence that comes in several pieces is taken out too."""
    see = Filter()
    seen = b"".join(see(bytes([byte])) for byte in f"a{sequence}b\n".encode())
    assert b"\x1b" not in seen
    assert not any(char in seen.decode() for char in "\b\x07\x9b\x9d\u202e")


def test_an_end_that_never_comes() -> None:
    """The beginning of a sequence reaches no terminal, however long its end does not come."""
    assert b"\x1b" not in Filter()(b"\x1b]0;" + b"x" * 10_000)
    assert b"\x1b" not in Filter()(b"\x1b[" + b"0" * 10_000)


def test_colours_and_lines_stay_in_logs() -> None:
    text = "\x1b[1;31mred\x1b[0m\t50%\r60%\n\u4e2d\U0001f600"
    see = Filter()
    assert b"".join(see(bytes([byte])) for byte in text.encode()) == text.encode()
    assert words(text) == "?red?\t50%?60%\n\u4e2d\U0001f600"


def test_what_is_no_utf_8() -> None:
    assert Filter()(b"a\xff\x9bb\n") == "a\ufffd\ufffdb\n".encode()
    assert words("a\udc9bb") == "a?b"


def test_json_means_the_same() -> None:
    value = {"reason": "a\x9b2J\u202e\x7f \\u009b"}
    text = in_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == value
    assert not any(char in text for char in "\x9b\u202e\x7f")
