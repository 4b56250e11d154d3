"""Tables: columns, and what becomes of a line that is longer than the terminal is wide."""

from __future__ import annotations

import os

import pytest

from prl_submit.cli import console

HEADER = ["RUN", "STATE", "REASON"]
REASON = "the node n1 failed and the job could not be started again"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """stdout is a terminal of 30 columns without colour."""
    monkeypatch.setattr(console, "is_terminal", lambda: True)
    monkeypatch.setattr(os, "get_terminal_size", lambda: os.terminal_size((30, 24)))
    monkeypatch.setenv("NO_COLOR", "1")


def test_lines_have_any_length_in_a_pipe() -> None:
    table = console.table(HEADER, [["v1", "FAILED", REASON], ["v12", "LOST", ""]], wrap=True)
    assert table.splitlines() == [
        "RUN  STATE   REASON",
        f"v1   FAILED  {REASON}",
        "v12  LOST",
    ]


@pytest.mark.usefixtures("terminal")
def test_a_long_line_is_cut_on_a_terminal() -> None:
    table = console.table(HEADER, [["v1", "FAILED", REASON]])
    assert table.splitlines() == ["RUN  STATE   REASON", "v1   FAILED  the node n1 fail…"]


@pytest.mark.usefixtures("terminal")
def test_a_long_last_cell_goes_on_below_its_row() -> None:
    """Every word of it is there; short rows stay one line."""
    table = console.table(HEADER, [["v1", "FAILED", REASON], ["v2", "LOST", "ok"]], wrap=True)
    assert table.splitlines() == [
        "RUN  STATE   REASON",
        "v1   FAILED",
        "    the node n1 failed and the",
        "    job could not be started",
        "    again",
        "v2   LOST    ok",
    ]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("text", ["x" * 60, "模型" * 20])
def test_a_word_that_fits_no_line_is_broken(text: str) -> None:
    lines = console.table(HEADER, [["v1", "FAILED", text]], wrap=True).splitlines()[2:]
    assert "".join(line.strip() for line in lines) == text
    assert len(lines) > 1
