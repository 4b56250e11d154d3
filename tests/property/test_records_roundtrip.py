"""spec.yaml reads back, by our own reader, as the values it was made from."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from prl_submit.runs.plan_file import dump_spec
from prl_submit.spec.nodes import Node, Origin, scalar_node
from prl_submit.spec.scalars import resolve
from prl_submit.spec.typed import plain
from prl_submit.spec.yaml import parse_document

HERE = Origin("spec", "f", 1)

_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
_AWKWARD = st.sampled_from(
    ["no", "~", "null", "", "<<", "=", "010", "0o7", "1_000", "1e-6", "12:00:00", "2026-11-22",
     "- a", "a: b", "a #b", "#", "&a", "*a", "!t", "%", "@", "`", "{", "[", "'", '"', " a ", "a\n",
     "\n\na", "true", "yes", "? a", "---", "...", "\ufeff", "\x85", "\u2028", "\t", "0x1F", ".5",
     "a  b " * 40, "中 " * 80, "\U0001f600", "\x7f", "\x1b[31m"]
)  # fmt: skip
text = st.one_of(st.text(_CHARACTERS, max_size=30), _AWKWARD)
number = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False).map(repr),
    st.from_regex(r"[-+]?[0-9]{1,3}\.?[0-9]{0,3}([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["true", "False", ".inf", "-.inf", "~", "null", "1.", "+.5", "1e999"]),
).filter(lambda word: word in ("~", "null") or not isinstance(resolve(word), str))

leaf = st.one_of(
    text.map(lambda value: Node(value, HERE)),
    number.map(lambda value: scalar_node(value, HERE)),
)
tree = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: Node(list(items), HERE)),
        st.dictionaries(text, inner, max_size=4).map(lambda items: Node(dict(items), HERE)),
    ),
    max_leaves=12,
)


def typed(value: object) -> object:
    """A value together with its types, because 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: typed(child) for key, child in value.items()}
    if isinstance(value, list):
        return [typed(child) for child in value]
    return type(value), value


@given(st.dictionaries(text.filter(lambda key: key != "extends"), tree, max_size=5))
@example({"a": Node("1.5", HERE, plain=True), "b": Node("1e-6", HERE, plain=True)})
@example({"a": Node("no", HERE, plain=True), "b": Node("012", HERE, plain=True)})
def test_a_dumped_spec_reads_back_the_same(children: dict[str, Node]) -> None:
    node = Node(children, HERE)
    again = parse_document(dump_spec(node), "f", "spec")
    assert typed(plain(again)) == typed(plain(node))


@given(st.dictionaries(text.filter(lambda key: key != "extends"), tree, max_size=5))
def test_dumping_twice_changes_nothing(children: dict[str, Node]) -> None:
    once = dump_spec(Node(children, HERE))
    assert dump_spec(parse_document(once, "f", "spec")) == once
