"""spec.yaml of many runs reads back as the spec.yaml of each alone."""

from __future__ import annotations

import pytest

from prl_submit.runs.plan_file import dump_spec
from prl_submit.runs.spec_texts import SpecTexts
from prl_submit.spec.nodes import Node
from prl_submit.spec.typed import plain
from prl_submit.spec.yaml import parse_document

SPECS = [
    "name: a\nextends: base.yaml\nswift: {}\nslurm: null\n",
    'name: a\nswift:\n  system: "a\\n  b: c\\n# d"\n  x: [1, [a, {b: c}]]\n  y: {z: {deep: 1e-6}}\n',
    "name: a\nswift:\n  long: " + "word " * 60 + '\n  quoted: "' + "日本 " * 60 + '"\n',
    "environment: {setup: ['if true; then', '  x', 'fi'], env: {A: '010', B: 'no', '1': '~'}}\n",
    'name: a\nswift: {text: "\\x85 \\u2028 \'\\""}\n',
]


def read(text: bytes) -> Node:
    return parse_document(text, "s.yaml", "spec")


@pytest.mark.parametrize("spec", SPECS)
def test_it_says_the_same_as_the_spec_of_one_run(spec: str) -> None:
    tree, texts = read(spec.encode()), SpecTexts()
    for _ in range(2):  # the second time from what is remembered
        assert plain(read(texts.of(tree))) == plain(read(dump_spec(tree)))


def test_a_value_that_differs_is_not_remembered() -> None:
    texts = SpecTexts()
    for number in range(50):
        tree = read(f"swift: {{seed: {number}, beta: 0.1}}".encode())
        assert texts.of(tree) == f"swift:\n  seed: {number}\n  beta: 0.1\n".encode()


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(
    "value",
    "0 7 12345678901 010 1.0 0.35 1e-6 1.5e-05 1e5 -3 e-1 run-12 no null 1_000 1:30 0x10 2026-11-22 "
    "Run-1 run-".split(" "),
)
def test_a_value_is_written_as_in_the_spec_of_one_run(value: str, quote: str) -> None:
    tree = read(f"name: {quote}{value}{quote}\nswift: {{seed: {quote}{value}{quote}}}\n".encode())
    assert SpecTexts().of(tree) == dump_spec(tree)
