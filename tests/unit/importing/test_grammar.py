"""What the grammar is given: the same bytes' places, and nothing that its scanner reads beyond a table for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prl_submit.importing.bash import read_script
from prl_submit.importing.grammar import narrowed

#: Each ended the process in isalpha(), on most machines.
CRASHED = [
    "\x80\xb82\x08{\U000771a8\U000d5863Â\n",
    "swift rlhf \\\n\nï\U000741a2\U0001db52H\n\U0003078a\U000ef366\U00031acd²{\U0010d136\n$((1+\n🇺🇸\n",
]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_character_keeps_its_place(text: str) -> None:
    given_ = narrowed(text)
    assert all(ord(char) < 256 for char in given_)
    place = 0
    encoded = given_.encode()
    for char in text:
        size = len(char.encode())
        part = encoded[place : place + size].decode()  # whole characters
        assert part == char or (ord(char) > 255 and part[0] in "é§")
        place += size
    assert place == len(encoded)


@pytest.mark.parametrize("text", CRASHED)
def test_the_scanner_survives(text: str) -> None:
    """In a process of its own: it may end it."""
    script = "import sys; from prl_submit.importing.bash import read_script; data = sys.stdin.buffer.read()\n"
    script += "for _ in range(100): read_script(data, 'x')\n"
    environ = os.environ | {"MALLOC_PERTURB_": "165"}  # what malloc hands out is not zero
    argv = [sys.executable, "-c", script]
    assert subprocess.run(argv, check=False, env=environ, input=text.encode()).returncode == 0


@pytest.mark.parametrize("text", ["雨", "🌧", "ｅ", "，", "é", "a雨b", "雨/影.jsonl", "雨=1"])
def test_words_are_read_from_the_script_itself(text: str) -> None:
    (statement,), problems = read_script(f"swift {text} --x".encode(), "x.sh")
    assert problems == []
    assert statement.command is not None
    assert [word.text for word in statement.command.words] == ["swift", text, "--x"]


@pytest.mark.parametrize("text", ["cat <<A\nB\n", "cat <<雨\n夜\n雨\n", "cat <<'é'\né\n"])
def test_here_document_without_an_end(text: str) -> None:
    """The grammar takes an end of ASCII alone: better none than a wrong one."""
    _, problems = read_script(f"x\n{text}swift rlhf".encode(), "x.sh")
    assert [(problem.line, problem.message) for problem in problems] == [
        (2, "the here-document has no end")
    ]
