"""Near misses by meaning: `lr` is learning_rate, `gpus` is resources.nproc_per_node."""

from __future__ import annotations

import pytest

from prl_submit.cli import COMMANDS
from prl_submit.spec import meanings
from prl_submit.spec.nodes import Origin
from prl_submit.spec.sections import JobSpec
from prl_submit.spec.typed import read_spec
from prl_submit.spec.yaml import parse_document
from prl_submit.swift.history import load_history
from prl_submit.swift.table import load_table
from prl_submit.swift.unknown_names import unknown_name
from tests.support.plans import layered, planned


@pytest.mark.parametrize(
    ("name", "version", "hint"),
    [
        ("lr", None, "did you mean 'learning_rate'?"),
        ("LR", None, "did you mean 'learning_rate'?"),
        ("kl", None, "did you mean 'beta'?"),
        ("kl-coeff", None, "did you mean 'beta'?"),
        ("epochs", None, "did you mean 'num_train_epochs'?"),
        ("max_len", None, "did you mean 'max_completion_length' or 'max_length'?"),
        ("steps", None, "did you mean 'max_steps' or 'steps_per_generation'?"),
        ("group_size", None, "did you mean 'num_generations'?"),
        ("lora", "4.6.0", "did you mean 'tuner_type'?"),
        ("lora", "3.3.0", "did you mean 'train_type'?"),
        ("gpus", None, "write it outside of `swift:`, as resources.nproc_per_node"),
        ("nodes", None, "write it outside of `swift:`, as resources.nodes"),
        ("partition", None, "write it outside of `swift:`, as slurm.partition"),
        ("num_generation", None, "did you mean 'num_generations'?"),  # a misspelling
    ],
)
def test_an_argument_by_its_meaning(name: str, version: str | None, hint: str) -> None:
    problem = unknown_name(name, Origin("spec", "f", 3), load_table(version))
    assert (problem.hint or "").partition(";")[0] == hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("gpus: 4", "did you mean 'resources.nproc_per_node'?"),
        ("resources: {gpus: 4}", "did you mean 'nproc_per_node'?"),
        ("resources: {mem: 4G}", "did you mean 'memory'?"),
        ("slurm: {time: 1h}", "did you mean 'resources.time_limit'?"),
        ("slurm: {queue: gpu}", "did you mean 'partition'?"),
        ("queue: gpu", "did you mean 'slurm.partition' or 'kubernetes.queue'?"),
        ("partition: gpu", "did you mean 'slurm.partition'?"),
        ("conda: x", "did you mean 'environment.conda'?"),
        ("args: {}", "did you mean 'swift'?"),
        ("resource: {}", "did you mean 'resources'?"),
    ],
)
def test_a_key_by_its_meaning(text: str, hint: str) -> None:
    _, problems = read_spec(parse_document(f"name: x\n{text}\n".encode(), "f.yaml", "spec"))
    assert [(problem.message, problem.hint) for problem in problems] == [("unknown key", hint)]


@pytest.mark.parametrize("key", ["learning_rate", "lr"])
def test_an_argument_of_ms_swift_beside_the_sections(key: str) -> None:
    problems = planned(f"name: x\n{key}: 1\n").problems
    hint = "an argument of ms-swift stands under `swift:`, as swift.learning_rate"
    assert ("unknown key", hint) in [(problem.message, problem.hint) for problem in problems]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PRL_LR", "for an override write PRL_LEARNING_RATE"),
        ("PRL_GPUS", "for an override write PRL_NPROC_PER_NODE"),
        ("PRL_EPOCHS", "for an override write PRL_NUM_TRAIN_EPOCHS"),
        ("PRL_SCORER_URL", None),
    ],
)
def test_a_variable_by_its_meaning(name: str, hint: str | None) -> None:
    """A warning, because the variable may be meant for the job, which gets it in any case."""
    found = layered("name: x\n", environ={name: "1"})
    assert found.passed_on == {name: "1"}
    told = [(problem.severity, problem.label, problem.hint) for problem in found.problems]
    assert told == ([("warning", name, hint)] if hint else [])


def test_what_is_meant_exists() -> None:
    """Every suggested name is one that a user can write, and no word in the tables is itself such a name."""
    history = load_history()
    for word, names in meanings.ARGUMENTS.items():
        assert all(history.years(name) is not None for name in names), (word, names)
        assert word not in names
    sections = JobSpec.__annotations__
    for names in meanings.KEYS.values():
        for name in names:
            section, _, key = name.partition(".")
            assert section in sections
            if key:
                kinds = getattr(sections[section], "__args__", (sections[section],))
                assert any(key in getattr(kind, "__annotations__", {}) for kind in kinds), name
    for names in meanings.COMMANDS.values():
        assert set(names) <= set(COMMANDS)
    assert not set(meanings.COMMANDS) & set(COMMANDS)
