"""Values and lines in all the forms in which ms-swift 3.1 to 4.6 writes them, and damaged ones."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prl_submit.results.logged_values import decode_line, number, printed_line, seconds, step_of


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (0.0269, 0.0269),
        (3, 3.0),
        ("1.8e-07", 1.8e-07),
        (" 0.5 ", 0.5),
        ("12.5%", 0.125),
        ("100.00%", 1.0),
        (10**400, math.inf),
        (-(10**400), -math.inf),
        ("inf", math.inf),
        (True, None),
        (None, None),
        ("", None),
        ("%", None),
        ("PeftModelForCausalLM", None),
        ("9" * 5000, None),
        ([1.0], None),
    ],
)
def test_numbers(value: object, found: float | None) -> None:
    assert number(value) == found


def test_not_a_number_stays_one() -> None:
    assert math.isnan(number("nan") or 0.0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0s", 0),
        ("54m 19s", 3259),
        ("1m 60s", 120),  # 3.12.5 to 4.0 round the seconds alone
        ("35d 10h 21m 39s", 3_061_299),
        (12.5, 12.5),
        ("", None),
        ("s", None),
        ("1x 2s", None),
        ("-5s", None),
        ("1d2s", None),
        (["1s"], None),
        ("9" * 50 + "s", None),
    ],
)
def test_times(text: object, found: float | None) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90/84620", (90, 84620)),
        ("0/0", (0, 0)),
        ("5", None),
        ("5/", None),
        ("-1/5", None),
        ("a/b", None),
        ("9" * 30 + "/1", None),
        (5, None),
        (None, None),
    ],
)
def test_steps(text: object, found: tuple[int, int] | None) -> None:
    assert step_of(text) == found


def test_lines_that_are_no_json_for_others() -> None:
    line = decode_line(b'{"loss": NaN, "kl": Infinity, "grad_norm": -Infinity}')
    assert line is not None
    assert [math.isnan(line["loss"]), line["kl"], line["grad_norm"]] == [True, math.inf, -math.inf]


def test_a_line_that_went_on_behind_a_cut_one() -> None:
    """The training was killed while it wrote, and the next attempt appends to the same line."""
    assert decode_line(b'{"loss": 0.1, "rewa{"loss": 0.2, "kl": NaN}') is not None
    assert decode_line(b'{"loss": 0.1, "rewa{"loss": 0.2}') == {"loss": 0.2}
    assert decode_line(b"\0" * 4096 + b'{"loss": 0.3}') == {"loss": 0.3}


@pytest.mark.parametrize(
    "line",
    [
        b'{"loss": 0.1, "rewa',
        b'{"log_history": [{"loss": 0.1}, {"loss": 0.2}], "mem',
        b"[1, 2]",
        b"12",
        b"null",
        b"\xff\xfe",
        b'{"loss": ' + b"9" * 10_000 + b"}x",
        b'{"x": ' + b"[" * 100_000,
        b'{"a": ' * 20_000,
    ],
)
def test_damaged_lines(line: bytes) -> None:
    assert decode_line(line) is None


@given(st.binary(max_size=200))
def test_any_bytes(line: bytes) -> None:
    for found in (decode_line(line), printed_line(line)):
        assert found is None or isinstance(found, dict)


PRINTED: list[tuple[bytes, Any]] = [
    (b"{'loss': '1.8e-07', 'memory(GiB)': 70.43}", {"loss": "1.8e-07", "memory(GiB)": 70.43}),
    (b"{'loss': nan, 'kl': -inf}\r", {"loss": "nan", "kl": "-inf"}),
    (b"{'loss': '1", None),
    (b"{'loss': __import__('os').getcwd()}", None),
    (b"{'" + b"(" * 3000, None),
    (b"{'a'}", None),
    (b"Train:   8%", None),
    (b"{'a': '" + b"x" * 100_000 + b"'}", None),
]


@pytest.mark.parametrize(("line", "found"), PRINTED)
def test_printed_lines(line: bytes, found: object) -> None:
    assert printed_line(line) == found
