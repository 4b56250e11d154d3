"""How errors and problems read."""

from __future__ import annotations

import pytest

from prl_submit.errors import (
    BackendRefusedError,
    BackendUnreachableError,
    NoSuchRunError,
    PrlSubmitError,
    Problem,
    SpecError,
    format_error,
    format_problem,
)
from prl_submit.spec.nodes import (
    Node,
    Origin,
    leaves,
    lookup,
    mapping,
    merge,
    nest,
    problem_at,
    scalar_node,
)

SPEC = Origin("spec", "a.yaml", 3)


@pytest.mark.parametrize(
    ("origin", "key", "hint", "text"),
    [
        (SPEC, "a.b", None, "error: a.yaml:3: a.b: is wrong"),
        (SPEC, None, "do x", "error: a.yaml:3: is wrong\nhint: do x"),
        (Origin("profile", "p.toml"), "a", None, "error: p.toml: a: is wrong"),
        (Origin("env", label="PRL_X"), "a", None, "error: PRL_X: a: is wrong"),
        (Origin("default"), "a", None, "error: a: is wrong"),
        (SPEC, "a\n\x1b[31mb", None, "error: a.yaml:3: a??[31mb: is wrong"),
    ],
)
def test_a_problem_on_one_line(
    origin: Origin, key: str | None, hint: str | None, text: str
) -> None:
    """Place, key, what is wrong; a key from a file cannot write to the terminal."""
    assert format_problem(problem_at(origin, key, "is wrong", hint)) == text


def test_a_spec_error_holds_all_its_problems() -> None:
    problems = [
        problem_at(SPEC, "a", "one", "h"),
        problem_at(SPEC, "b", "two", severity="warning"),
    ]
    error = SpecError(problems)
    assert format_error(error) == ("error: a.yaml:3: a: one\nhint: h\nwarning: a.yaml:3: b: two")
    assert error.problems == problems
    assert isinstance(error.problems[0], Problem)


def test_an_error_with_and_without_a_hint() -> None:
    assert format_error(PrlSubmitError("x")) == "error: x"
    assert format_error(PrlSubmitError("x", "y")) == "error: x\nhint: y"


def test_exit_codes() -> None:
    """Each kind of error has its exit code."""
    kinds = (BackendRefusedError, PrlSubmitError, NoSuchRunError, BackendUnreachableError)
    assert [kind("x").exit_code for kind in kinds] == [1, 2, 3, 4]
    assert SpecError([]).exit_code == 2


# ------------------------------------------------------------------ the tree
def node(text: str, layer: str = "spec") -> Node:
    """A scalar of a layer."""
    return scalar_node(text, Origin(layer))


def test_origins_describe_themselves() -> None:
    assert SPEC.describe() == "a.yaml:3"
    assert Origin("profile", "p").describe() == "p"
    assert Origin("flag", label="--set").describe() == "--set"
    assert Origin("default").describe() == "default"


def test_merge_keeps_the_order_and_the_place() -> None:
    below = Node({"a": node("1"), "b": Node({"c": node("2")}, SPEC)}, SPEC)
    above = Node({"b": Node({"d": node("3")}, Origin("env")), "e": node("4")}, Origin("env"))
    merged = merge(below, above)
    assert [key for key, _ in leaves(merged)] == ["a", "b.c", "b.d", "e"]
    assert merged.origin == SPEC
    assert mapping(merged)["b"].origin == SPEC
    other = Origin("spec", "b.yaml", 1)
    assert merge(below, Node({}, other)).origin == other


def test_anything_but_two_maps_replaces() -> None:
    map_, list_ = Node({"a": node("1")}, SPEC), Node([node("1")], SPEC)
    for above in (node("x"), node("null"), list_):
        assert merge(map_, above) is above
        assert merge(above, map_) is map_


def test_lookup_and_leaves() -> None:
    tree = nest(["a", "b"], node("1"))
    assert lookup(tree, "a.b") == node("1")
    assert lookup(tree, "a.c") is None
    assert lookup(tree, "a.b.c") is None
    assert lookup(nest(["a"], node("~")), "a") is None
    assert list(leaves(node("1"))) == []
    assert mapping(None) == {}
    assert mapping(node("1")) == {}
