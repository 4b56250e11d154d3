"""From the section `sweep` to all combinations: order, names, layers, and all that can be wrong with it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from prl_submit.spec.nodes import leaves, lookup, mapping
from prl_submit.spec.typed import plain, read_spec
from prl_submit.spec.yaml import parse_document
from prl_submit.sweeps.combinations import ExpandedSweep, expand


def expanded(
    text: str, name: str = "lr", overridden: dict[str, str] | None = None
) -> ExpandedSweep:
    """The expansion of a section `sweep`; its first line is line 3 of the spec."""
    lines = "\n".join(f"  {line}" for line in text.splitlines())
    tree = parse_document(f"name: {name}\nsweep:\n{lines}\n".encode(), "s.yaml", "spec")
    spec, problems = read_spec(tree)
    assert problems == []
    assert spec.sweep is not None
    return expand(spec.name, mapping(tree)["sweep"], spec.sweep, overridden or {})


def values(text: str, **more: Any) -> list[tuple[Any, ...]]:
    found = expanded(text, **more)
    assert found.problems == [], found.problems
    return [tuple(item.values.values()) for item in found.combinations]


def told(text: str, **more: Any) -> list[tuple[int | None, str | None, str]]:
    """Line, key and message of each problem."""
    problems = expanded(text, **more).problems
    assert {problem.file for problem in problems} == {"s.yaml"}
    return [(problem.line, problem.key, problem.message) for problem in problems]


def test_grid_zip_and_random_multiply_and_the_last_varies_fastest() -> None:
    text = """\
grid:
  swift.beta: [0.1, 0.2]
  swift.seed: [1, 2]
zip:
  resources.nproc_per_node: [1, 2]
  swift.per_device_train_batch_size: [8, 4]
random:
  swift.lr_scheduler_type: [linear]
samples: 1
"""
    found = values(text)
    assert [row[:4] for row in found[:3]] == [(0.1, 1, 1, 8), (0.1, 1, 2, 4), (0.1, 2, 1, 8)]
    assert len(found) == 8
    assert found[-1] == (0.2, 2, 2, 4, "linear")


def test_values_mean_what_they_look_like_and_keep_their_lines() -> None:
    found = expanded(
        'grid:\n  swift.x:\n    - 1e-6\n    - 010\n    - "2"\n    - null\n    - no\n    - [a, 1]'
    )
    assert [item.values["swift.x"] for item in found.combinations] == [
        1e-6,
        "010",
        "2",
        None,
        "no",
        ["a", 1],
    ]
    node = mapping(mapping(found.combinations[1].layer)["swift"])["x"]
    assert (node.origin.layer, node.origin.file, node.origin.line) == ("sweep", "s.yaml", 6)
    name = lookup(found.combinations[1].layer, "name")
    assert name is not None
    assert (name.value, name.origin.layer) == ("lr-2", "sweep")


def test_keys_may_be_nested_and_have_dashes() -> None:
    found = expanded("grid:\n  swift: {learning-rate: [1, 2]}\n  restarts.max: [0]")
    assert found.keys == ["swift.learning_rate", "restarts.max"]
    layer = dict(leaves(found.combinations[1].layer))
    assert {key: plain(node) for key, node in layer.items()} == {
        "name": "lr-2",
        "swift.learning_rate": 2,
        "restarts.max": 0,
    }


def test_a_mapping_as_a_value() -> None:
    found = expanded("grid:\n  swift.args: [{a: 1}, {a: 2, b: 3}]")
    layers = [dict(leaves(item.layer)) for item in found.combinations]
    assert [sorted(layer) for layer in layers] == [
        ["name", "swift.args.a"],
        ["name", "swift.args.a", "swift.args.b"],
    ]


def test_names() -> None:
    text = 'grid:\n  swift.model: [Qwen/Qwen2.5-7B, tiny]\n  swift.lr: [1e-6]\nname: "M_{swift.model}/{index} {swift.lr}"'
    names = [item.name for item in expanded(text).combinations]
    assert names == ["m-qwen-qwen2-5-7b-1-1e-6", "m-tiny-2-1e-6"]
    assert [item.name for item in expanded("grid:\n  a.b: [1, 2]").combinations] == ["lr-1", "lr-2"]
    assert (
        expanded('grid:\n  a.b: [[x, y], null]\nname: "{name}-{a.b}"').combinations[0].name
        == "lr-x-y"
    )


RANDOM = """\
random:
  swift.learning_rate: {min: 1e-6, max: 1e-4, log: true}
  swift.beta: {min: 0, max: 0.5}
  swift.num_generations: {min: 2, max: 8}
  swift.scale_rewards: [group, batch]
samples: 400
seed: %d
"""


def test_random_values_are_the_same_for_the_same_seed_and_within_their_limits() -> None:
    rows = values(RANDOM % 7)
    assert rows == values(RANDOM % 7)
    assert rows != values(RANDOM % 8)
    assert len(set(rows)) == len(rows) == 400
    rates, betas, groups, words = zip(*rows, strict=True)
    assert all(1e-6 <= rate <= 1e-4 for rate in rates)
    assert (
        0.4 < sum(rate < 1e-5 for rate in rates) / 400 < 0.6
    )  # log: half of them below the middle
    assert all(0 <= beta <= 0.5 for beta in betas)
    assert set(groups) == set(range(2, 9))
    assert all(isinstance(group, int) for group in groups)
    assert set(words) == {"group", "batch"}


def test_the_values_of_a_seed_never_change() -> None:
    """A spec that somebody wrote down must give the same runs with each later version and each Python."""
    assert (
        values(
            "random:\n  a.b: {min: 1e-6, max: 1e-4, log: true}\n  a.c: {min: 1, max: 100}\nsamples: 3"
        )
        == EXPECTED
    )


EXPECTED = [(1.106e-05, 61), (9.319e-05, 35), (5.398e-05, 71)]


def test_one_more_key_does_not_change_the_others() -> None:
    one = values("random:\n  a.b: {min: 0.0, max: 1.0}\nsamples: 5")
    two = values("random:\n  a.b: {min: 0.0, max: 1.0}\n  a.c: {min: 0.0, max: 1.0}\nsamples: 5")
    assert [row[0] for row in two] == [row[0] for row in one]


@pytest.mark.parametrize("limits", ["{min: 1, max: 100, log: true}", "{min: 1, max: 3}"])
def test_whole_numbers_reach_both_ends(limits: str) -> None:
    low, high = (1, 100) if "log" in limits else (1, 3)
    found = expanded(f"random:\n  a.b: {limits}\n  a.c: {{min: 0.0, max: 1.0}}\nsamples: 3000")
    numbers = [item.values["a.b"] for item in found.combinations]
    assert (min(numbers), max(numbers)) == (low, high)


def test_a_value_that_rounding_would_take_out_of_its_range() -> None:
    for (number,) in values("random:\n  a.b: {min: 0.123449, max: 0.123451}\nsamples: 1"):
        assert 0.123449 <= number <= 0.123451
        assert not math.isnan(number)


WRONG = {
    "nothing": ("max_parallel: 2", [(2, "sweep", "says nothing that varies, so there is one run")]),
    "no list": ("grid:\n  a.b: 3", [(4, "sweep.grid.a.b", "expected a list of values")]),
    "empty": ("grid:\n  a.b: []", [(4, "sweep.grid.a.b", "is an empty list")]),
    "twice": ("grid:\n  a.b: [1, 2, 1]", [(4, "sweep.grid.a.b", "1 is there twice")]),
    "two spellings": (
        "grid:\n  swift.a_b: [1]\n  swift.a-b: [2]\n  swift: {c: [1]}\n  swift.c: [2]",
        [
            (5, "sweep.grid.swift.a-b", "is there twice"),
            (7, "sweep.grid.swift.c", "is there twice"),
        ],
    ),
    "two spellings of a range": (
        "random:\n  swift.a_b: {min: 1, max: 2}\n  swift.a-b: [2]\nsamples: 1",
        [(5, "sweep.random.swift.a-b", "is there twice")],
    ),
    "fixed": (
        "grid:\n  name: [a]\n  output: [b]\n  extends: [c]",
        [
            (4, "sweep.grid.name", "name cannot vary: the runs' names come from `sweep.name`"),
            (5, "sweep.grid.output", "output cannot vary: a sweep has one output root"),
            (6, "sweep.grid.extends", "extends cannot vary: the bases are read before the sweep"),
        ],
    ),
    "a section": (
        "grid:\n  resources: [1]",
        [(4, "sweep.grid.resources", "resources is a whole section")],
    ),
    "two kinds": (
        "grid:\n  a.b: [1]\nzip:\n  a.b: [2]",
        [(6, "sweep.zip.a.b", "varies twice: it is in sweep.grid.a.b too")],
    ),
    "lengths": (
        "zip:\n  a.b: [1, 2]\n  a.c: [1]",
        [(5, "sweep.zip.a.c", "has 1 values, and a.b has 2")],
    ),
    "no samples": ("random:\n  a.b: [1, 2]", [(2, "sweep.samples", "`random` needs it")]),
    "samples alone": (
        "grid:\n  a.b: [1]\nsamples: 3",
        [
            (
                5,
                "sweep.samples",
                "says how many values of `random` are drawn, and there is no `random`",
            )
        ],
    ),
    "too few": (
        "random:\n  a.b: [1, 2]\nsamples: 3",
        [(2, "sweep.samples", "`random` has only 2 different combinations, and samples is 3")],
    ),
    "limits": (
        "random:\n  a.b: {min: 2, max: 1}\n  a.c: {min: 0, max: 1, log: true}\n  a.d: {min: x, maximum: 2}\nsamples: 1",
        [
            (4, "sweep.random.a.b", "min 2 is not below max 1"),
            (5, "sweep.random.a.c", "min is 0, and log is true"),
            (6, "sweep.random.a.d.min", "expected a number"),
            (6, "sweep.random.a.d.maximum", "unknown key"),
            (6, "sweep.random.a.d", "max is missing"),
        ],
    ),
    "no key": (
        'grid:\n  swift.lr: [1, 2]\nname: "{lr}"',
        [(5, "sweep.name", "{lr} is no key that varies")],
    ),
    "same names": (
        'grid:\n  a.b: [x.y, x-y]\nname: "{a.b}"',
        [(5, "sweep.name", "is the same for several runs: x-y (2 runs)")],
    ),
    "long names": (
        f"grid:\n  a.b: [{'x' * 41}]\nname: '{{a.b}}'",
        [(5, "sweep.name", f"at most 40 characters, and {'x' * 41} has more")],
    ),
    "empty names": (
        "grid:\n  a.b: ['_']\nname: '{a.b}'",
        [(5, "sweep.name", "makes an empty name")],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_all_that_is_wrong_is_told_with_its_line(case: str) -> None:
    text, expected = WRONG[case]
    assert told(text) == expected


def test_too_many() -> None:
    lists = "\n".join(f"  a.k{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for n in range(5))
    assert told(f"grid:\n{lists}") == [
        (2, "sweep", "makes 100000 combinations; at most 10000 can be submitted together")
    ]


def test_keys_that_an_option_or_a_variable_sets() -> None:
    overridden = {"swift.lr": "--set swift.lr", "a.b.c": "PRL_X"}
    assert told("grid:\n  swift.lr: [1, 2]\n  a.b: [3]", overridden=overridden) == [
        (4, "sweep.grid.swift.lr", "--set swift.lr sets swift.lr, which the sweep varies"),
        (5, "sweep.grid.a.b", "PRL_X sets a.b.c, which the sweep varies"),
    ]


def test_with_wrong_names_the_combinations_are_still_checked() -> None:
    found = expanded('grid:\n  a.b: [1, 2]\nname: "x"')
    assert len(found.problems) == 1
    assert [item.name for item in found.combinations] == ["lr-1", "lr-2"]
