"""Which keys `resume --set` takes."""

from __future__ import annotations

import pytest

from prl_submit.rules.on_resume import is_taken, refused_keys, taken_keys, why_refused
from prl_submit.spec.sections import Environment, JobSpec, Kubernetes, Resources, Restarts
from prl_submit.swift.history import load_history

SECTIONS = {
    "environment": Environment,
    "resources": Resources,
    "restarts": Restarts,
    "kubernetes": Kubernetes,
}


@pytest.mark.parametrize("key", [*taken_keys(), *refused_keys()])
def test_each_key_exists(key: str) -> None:
    section, _, name = key.partition(".")
    if section == "swift":
        assert load_history().years(name) is not None
    elif name:
        assert name in SECTIONS[section].__struct_fields__
    else:
        assert section in JobSpec.__struct_fields__


def test_no_key_stands_twice() -> None:
    keys = [*taken_keys(), *refused_keys()]
    assert sorted(set(keys)) == sorted(keys)


@pytest.mark.parametrize(
    ("key", "taken"),
    [
        ("swift.max_steps", True),
        ("slurm.partition", True),
        ("slurm.extra.comment", True),
        ("kubernetes.image", True),
        ("environment.env.NCCL_DEBUG", True),
        ("kubernetes.volumes", False),
        ("environment.conda.name", False),
        ("environment", False),
        ("resources", False),
        ("swift", False),
        ("swift.beta", False),
        ("swift.no_such_argument", False),
        ("max_steps", False),
    ],
)
def test_keys(key: str, taken: bool) -> None:
    assert is_taken(key) is taken


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("swift.learning_rate", "would be ignored"),
        ("swift.save_steps", "would be ignored"),
        ("swift.seed", "trained twice or not at all"),
        ("swift.lora_rank", "the optimizer's state"),
        ("resources.nproc_per_node", "number of processes"),
        ("environment.conda.name", "another ms-swift"),
        ("swift.temperature", "not be one training"),
    ],
)
def test_reasons(key: str, said: str) -> None:
    assert said in why_refused(key)
