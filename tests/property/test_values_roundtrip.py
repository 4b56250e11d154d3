"""Numbers and sizes are the same after they were written and read."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from prl_submit.launch.quote import bash, comment
from prl_submit.spec.scalars import (
    MAX_SECONDS,
    format_duration,
    format_number,
    parse_duration,
    parse_float,
    parse_memory,
    resolve,
)
from prl_submit.swift.values import word, words


@given(st.floats(allow_nan=False))
def test_floats_read_back_the_same(value: float) -> None:
    text = format_number(value)
    assert float(text) == value
    read = parse_float(text)
    assert read is not None
    assert float(read) == value
    assert "e+" not in text
    assert re.search(r"e-?0", text) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_float_is_a_number_in_a_spec(value: float) -> None:
    assert resolve(format_number(value)) == value


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_integers_read_back_the_same(value: int) -> None:
    assert parse_float(format_number(value)) == value
    assert resolve(format_number(value)) == value


@given(st.integers(min_value=1, max_value=MAX_SECONDS))
def test_durations_read_back_the_same(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(max_size=20))
def test_no_text_makes_the_parsers_raise(text: str) -> None:
    """What they accept is within their limits."""
    seconds = parse_duration(text)
    assert seconds is None or 0 < seconds <= MAX_SECONDS
    memory = parse_memory(text)
    assert memory is None or re.fullmatch(r"[1-9][0-9]*[KMGT]", memory)
    assert isinstance(resolve(text), (str, int, float))


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(_TEXT)
def test_bash_words_hold_no_bare_special_character(text: str) -> None:
    """Outside of single quotes there is no character that has a meaning for bash."""
    quoted = bash(text)
    assert re.fullmatch(r"(?:[A-Za-z0-9_@%+=:,./-]|'[^']*'|\\')+", quoted)
    undone = re.sub(r"'([^']*)'|\\(')", lambda match: match[1] or match[2] or "", quoted)
    assert undone == text


@given(_TEXT)
def test_comments_stay_on_their_line(text: str) -> None:
    assert len(comment(text).splitlines()) <= 1
    assert len(comment(text)) == len(text)


@given(st.one_of(st.booleans(), st.integers(), st.floats(), _TEXT))
def test_one_value_is_one_argument(value: object) -> None:
    """Argparse reads the name and the value, and never takes the value for an option."""
    group = words("beta", value)
    joined = "=".join(group)
    assert joined == f"--beta={word(value)}"
    assert len(group) == 1 or not group[1].startswith("-")
    assert not (isinstance(value, float) and math.isnan(value)) or group == ["--beta", "nan"]
