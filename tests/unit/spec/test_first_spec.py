"""The spec that `prl-submit init` prints: it passes the rules of each ms-swift that has GRPO."""

from __future__ import annotations

import pytest

from prl_submit.errors import Problem
from prl_submit.spec.first_spec import PLACEHOLDER_IMAGE, FirstJob, first_spec
from prl_submit.spec.traits import BACKENDS
from prl_submit.swift.history import load_history
from prl_submit.swift.table import load_table
from tests.support.plans import planned

FIRST = FirstJob(name="first-job", model="org/model", data=("train.jsonl",), rewards=("format",))
#: GRPO is in ms-swift since 3.1.1.
RELEASES = [
    version for version, _ in load_history().versions if not version.startswith(("3.0", "3.1.0"))
]


def problems_of(text: str, version: str | None = None) -> list[Problem]:
    """What the rules have against a spec."""
    return planned(text, table=load_table(version)).problems


def errors_of(text: str, version: str | None = None) -> list[Problem]:
    return [found for found in problems_of(text, version) if found.severity == "error"]


@pytest.mark.parametrize("version", RELEASES)
def test_every_release_with_grpo_takes_it(version: str) -> None:
    assert errors_of(first_spec(FIRST), version) == []


@pytest.mark.parametrize("backend", [None, *BACKENDS])
@pytest.mark.parametrize("processes", [1, 3, 8])
def test_no_rule_has_a_word_against_it(backend: str | None, processes: int) -> None:
    """Neither an error nor a warning, whatever the backend and the number of GPUs; but for the placeholder."""
    job = FirstJob(
        name="first-job",
        model="org/model",
        data=("train.jsonl",),
        rewards=("accuracy", "format"),
        backend=backend,
        nproc_per_node=processes,
    )
    spec = first_spec(job)
    assert problems_of(spec.replace(PLACEHOLDER_IMAGE, "registry.example/mine:1")) == []
    warned = [(found.key, found.severity) for found in problems_of(spec)]
    assert warned == ([("kubernetes.image", "warning")] if backend == "kubernetes" else [])


@pytest.mark.parametrize("reward", ["accuracy", "cosine", "repetition", "soft_overlong"])
def test_what_a_reward_needs_is_there(reward: str) -> None:
    job = FirstJob(name="x", model="org/model", data=("a.jsonl",), rewards=(reward,))
    assert errors_of(first_spec(job)) == []


def test_the_columns_that_rewards_read_are_shown() -> None:
    job = FirstJob(
        name="x", model="m/m", data=("a.jsonl",), rewards=("r",), columns=("solution", "level")
    )
    example = '{"messages": [{"role": "user", "content": "…"}], "solution": "…", "level": "…"}'
    assert example in first_spec(job)


def test_a_dozen_lines_and_none_too_wide() -> None:
    text = first_spec(FIRST)
    keys = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert len(keys) == 13
    assert max(map(len, text.splitlines())) <= 110


def test_a_long_value_has_its_comment_above() -> None:
    job = FirstJob(name="x", model="org/" + "m" * 60, data=("a.jsonl",), rewards=("format",))
    above, model = first_spec(job).split("\n  model: ")
    assert above.endswith("\n  # a name on the model hub, or a folder")
    assert model.startswith("org/mmm")
