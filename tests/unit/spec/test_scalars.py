"""Text of scalars -> values: numbers, booleans, durations, memory."""

from __future__ import annotations

import math

import pytest

from prl_submit.spec.scalars import (
    ALL_MEMORY,
    duration_hint,
    format_duration,
    format_number,
    is_digits,
    mebibytes,
    parse_bool,
    parse_duration,
    parse_float,
    parse_int,
    parse_memory,
    parse_node_memory,
    resolve,
)
from prl_submit.spec.suggest import closest, did_you_mean

DAY = 86400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12:00:00", 12 * 3600),
        ("1:02:03", 3723),
        ("48:00:00", 2 * DAY),
        ("1-06:00:00", DAY + 6 * 3600),
        ("1-06:30", DAY + 6 * 3600 + 30 * 60),
        ("1-6", DAY + 6 * 3600),
        ("0-1", 3600),
        ("90m", 5400),
        ("1h30m", 5400),
        ("30s", 30),
        ("2d", 2 * DAY),
        ("1w", 7 * DAY),
        ("366d", 366 * DAY),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """Durations are read as clock time, as Slurm's days-hours, and with units."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "12:00",
        "43200",
        "0",
        "0s",
        "0:00:00",
        "-1h",
        "1.5h",
        "367d",
        "999999999w",
        "12:60:00",
        "12:00:60",
        "1 h",
        "1h\n",
        "",
        "soon",
        "1y",
        "1H",
        "１h",
        "1-2-3",
        "9999999999s",
    ],
)
def test_texts_that_are_not_durations(text: str) -> None:
    """Bare numbers and `12:00` are refused, because different people read them differently."""
    assert parse_duration(text) is None


def test_a_hint_for_an_ambiguous_duration() -> None:
    assert duration_hint("90") == "write the unit: 90s, 90m or 90h"
    assert duration_hint("12:30") == "12:30:00 is 12 hours, 12m30s is 12 minutes"
    assert duration_hint("soon") is None
    assert parse_duration("12:30:00")
    assert parse_duration("12m30s") == 750


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(30, "00:00:30"), (43200, "12:00:00"), (DAY + 3661, "1-01:01:01"), (9 * DAY, "9-00:00:00")],
)
def test_format_duration_as_slurm_reads_it(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("256G", "256G"),
        ("256g", "256G"),
        ("256GB", "256G"),
        ("256GiB", "256G"),
        ("256Gi", "256G"),
        ("256 GB", "256G"),
        ("1.5T", "1536G"),
        ("0.5K", None),
        ("0.0001K", None),
        ("0.5M", "512K"),
        ("512M", "512M"),
        ("0G", None),
        ("256", None),
        ("G", None),
        ("-1G", None),
        ("1e3G", None),
        ("12P", None),
        ("", None),
    ],
)
def test_memory(text: str, memory: str | None) -> None:
    """The result is a whole number of K, M, G or T (powers of 1024), as in Slurm; a number needs a unit."""
    assert parse_memory(text) == memory
    assert parse_node_memory(text) == memory


@pytest.mark.parametrize("text", ["0", "all", "ALL"])
def test_all_the_memory_of_a_node(text: str) -> None:
    assert parse_node_memory(text) == ALL_MEMORY
    assert parse_memory(text) is None
    assert mebibytes(ALL_MEMORY) == 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+5", 5),
        ("010", "010"),
        ("1.", 1.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("1e400", math.inf),
        ("9" * 300, int("9" * 300)),
        ("9" * 5000, math.inf),
        ("TRUE", True),
        ("tRUE", "tRUE"),
        ("e5", "e5"),
        (".", "."),
        ("-", "-"),
        ("1e", "1e"),
        ("١", "١"),
    ],
)
def test_resolve(text: str, value: object) -> None:
    """A plain word has the type that it looks like."""
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_resolve_nan() -> None:
    """`.nan` is a number."""
    assert math.isnan(float(resolve(".nan")))


@pytest.mark.parametrize("text", ["yes", "True", "t", "y", "1", "ON"])
def test_true_words(text: str) -> None:
    """All usual words for true are true."""
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["no", "False", "f", "N", "0", "off"])
def test_false_words(text: str) -> None:
    """All usual words for false are false."""
    assert parse_bool(text) is False


def test_other_words_are_not_booleans() -> None:
    assert parse_bool("maybe") is None
    assert parse_bool("") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-3", -3),
        (" 7 ", 7),
        ("1.0", None),
        ("1e3", None),
        ("9" * 19, None),
        ("", None),
    ],
)
def test_whole_numbers(text: str, value: int | None) -> None:
    """Decimal digits are a whole number, and leading zeros do not count; 1.0 and 1e3 are none."""
    assert parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("3", 3),
        ("1_0.5", None),
        ("x", None),
        (".inf", math.inf),
        ("inf", math.inf),
        ("", None),
    ],
)
def test_numbers(text: str, value: float | None) -> None:
    """Numbers are read as YAML writes them, without underscores."""
    assert parse_float(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-6, "1e-6"), (1e22, "1e22"), (0.1, "0.1"), (2.0, "2.0"), (7, "7"), (1.5e-10, "1.5e-10")],
)
def test_numbers_as_a_person_writes_them(value: float, text: str) -> None:
    assert format_number(value) == text


def test_did_you_mean() -> None:
    assert closest("beat", ["beta", "gamma"]) == "beta"
    assert closest("zzz", ["beta", "gamma"]) is None
    assert did_you_mean("gama", ["beta", "gamma"]) == "did you mean 'gamma'?"
    assert did_you_mean("zzz", ["beta"]) is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("0", True), ("007", True), ("", False), ("-1", False), ("²", False), ("٣", False), ("9" * 5000, False)],
)  # fmt: skip
def test_digits_that_int_takes(text: str, is_one: bool) -> None:
    assert is_digits(text) is is_one
