"""Tables that are wider than the terminal: headings in several lines, columns in several parts."""

from __future__ import annotations

import os

import pytest

from prl_submit.cli import console
from prl_submit.cli.views import wide_tables

NAMES = ["RUN", "MAX_COMPLETION_LENGTH", "REWARD AFTER 320 SAMPLES", "KL"]
ROWS = [["v1", "1024", "0.355", "-"], ["v12", "512", "0.31", "0.0012345678"]]


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """stdout is a terminal of so many columns."""
    for module in (console, wide_tables):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    monkeypatch.setattr(os, "get_terminal_size", lambda: os.terminal_size((request.param, 24)))
    monkeypatch.setenv("NO_COLOR", "1")


def test_in_a_pipe_there_is_one_table() -> None:
    lines = wide_tables.in_parts(NAMES, ROWS).splitlines()
    assert lines[0].split("  ") == NAMES
    assert lines[2].split() == ROWS[1]


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("width", [80], indirect=True)
def test_what_fits_is_one_table() -> None:
    assert wide_tables.in_parts(NAMES, ROWS).splitlines()[0].split("  ") == NAMES


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("width", [50], indirect=True)
def test_headings_are_broken() -> None:
    assert wide_tables.in_parts(NAMES, ROWS).splitlines() == [
        "     MAX_",
        "     COMPLETION_  REWARD AFTER",
        "RUN  LENGTH       320 SAMPLES   KL",
        "v1   1024         0.355         -",
        "v12  512          0.31          0.0012345678",
    ]


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("width", [28], indirect=True)
def test_each_part_begins_with_the_first_column() -> None:
    assert wide_tables.in_parts(NAMES, ROWS).splitlines() == [
        "     MAX_",
        "     COMPLETION_",
        "RUN  LENGTH",
        "v1   1024",
        "v12  512",
        "",
        "     REWARD AFTER",
        "RUN  320 SAMPLES",
        "v1   0.355",
        "v12  0.31",
        "",
        "RUN  KL",
        "v1   -",
        "v12  0.0012345678",
    ]


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("width", [16], indirect=True)
def test_a_cell_that_fits_nowhere_stands_below_its_row() -> None:
    rows = [["v1", "one two three four five"], ["v2", "six"]]
    lines = wide_tables.in_parts(["RUN", "NOTE"], rows).splitlines()
    assert lines == ["RUN  NOTE", "v1", "    one two", "    three four", "    five", "v2   six"]
