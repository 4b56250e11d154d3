"""For any bytes the reader returns a tree, or reports one problem with its line."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from prl_submit.errors import SpecError
from prl_submit.spec.nodes import Origin
from prl_submit.spec.typed import plain, read_spec
from prl_submit.spec.yaml import parse_document, parse_value

_PIECES = st.sampled_from(
    ["a", "name", "swift", ":", ": ", "\n", "\n  ", "- ", "[", "]", "{", "}", ",", "&x ", "*x", "'",
     '"', "|", ">", "!t ", "!!str ", "%", "#", "?", "<<: ", "~", "1e-6", "010", "---", "\t", "\\",
     "中", "\x07", "\ud800", "\x85", "\u2028", "resources", "nodes", "environment", "conda", "\0"]
)  # fmt: skip
soup = st.lists(_PIECES, max_size=25).map("".join)


def check(data: bytes) -> None:
    """One problem at most, and its line is in the file."""
    try:
        tree = parse_document(data, "f.yaml", "spec")
    except SpecError as error:
        (problem,) = error.problems
        assert problem.message
        lines = data.decode("utf-8", "replace").splitlines()
        assert problem.line is None or 1 <= problem.line <= max(1, len(lines))
    else:
        plain(tree)
        read_spec(tree)


@settings(max_examples=400)
@given(soup)
def test_pieces_of_yaml(text: str) -> None:
    check(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=60))
def test_bytes(data: bytes) -> None:
    """No bytes crash the reader."""
    check(data)


@settings(max_examples=200)
@given(soup)
def test_values_of_the_command_line(text: str) -> None:
    fault: ValueError | None = None
    try:
        parse_value(text, Origin("flag", label="--set"))
    except ValueError as error:
        fault = error
    assert fault is None or (str(fault) and not isinstance(fault, UnicodeError))
