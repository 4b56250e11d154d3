"""The JSON Schema for editors, and the job files that name it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from prl_submit.planning.schema import job_schema, schema_text
from prl_submit.swift.table import load_table

jsonschema: Any = importlib.import_module("jsonschema")  # has no types of its own
JOBS = Path(__file__).resolve().parents[3] / "jobs"
SCHEMA = JOBS / "prl-submit.schema.json"
FILES = sorted([*JOBS.glob("*.yaml"), *JOBS.glob("base/*.yaml")])
CHECKER = jsonschema.Draft202012Validator(job_schema(load_table()))


def validate(data: Any) -> list[str]:
    """What an editor would underline."""
    return [str(error.json_path) for error in CHECKER.iter_errors(data)]


def swift(**arguments: object) -> list[str]:
    """What an editor would underline of arguments."""
    return validate({"name": "x", "swift": arguments})


@pytest.mark.parametrize("version", [None, "3.0.0", "3.8.0"])
def test_the_schema_is_one(version: str | None) -> None:
    """The schema is valid JSON Schema."""
    jsonschema.Draft202012Validator.check_schema(job_schema(load_table(version)))


# ------------------------------------------------------------------ the job files
def test_the_bundled_file_is_what_the_command_prints() -> None:
    """After a change: `prl-submit schema > jobs/prl-submit.schema.json`."""
    assert SCHEMA.read_text("utf-8") == schema_text(job_schema(load_table())) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_the_first_line_names_it(path: Path) -> None:
    """yaml-language-server finds it relative to the file."""
    first, _, name = path.read_text("utf-8").partition("\n")[0].partition("$schema=")
    assert first == "# yaml-language-server: "
    assert (path.parent / name).resolve() == SCHEMA


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_the_schema_takes_our_jobs(path: Path) -> None:
    assert validate(yaml.safe_load(path.read_text("utf-8"))) == []


# ------------------------------------------------------------------ what it says
@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"name": "x", "zzz": 1}, "$"),
        ({"name": "X"}, "$.name"),
        ({"name": "x", "resources": {"nodes": 0}}, "$.resources.nodes"),
        ({"name": "x", "resources": {"time_limit": 90}}, "$.resources.time_limit"),
        ({"name": "x", "environment": {"swift_version": "newest"}}, "$.environment.swift_version"),
    ],
)
def test_it_underlines_what_is_wrong(data: object, place: str) -> None:
    """Each mistake is found at its own place."""
    assert validate(data) == [place]


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_generation": 4},
        {"num_generations": "four"},
        {"num_generations": 1.5},
        {"num_generations": [1]},
        {"rlhf_type": "gpro"},
        {"use_vllm": "maybe"},
        {"dataset": []},
        {"reward_weights": ["a"]},
        {"output_dir": "x"},
        {"liger_kernel_config": {"a": True}},
        {"vllm_engine_kwargs": 3},
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    """The JSON Schema refuses a wrong argument."""
    assert len(swift(**arguments)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"num_generations": 4, "beta": 1, "learning_rate": 1e-6, "model": None},
        {"use_vllm": True, "packing": "yes", "padding_free": "off"},  # YAML 1.2: these are text
        {"dataset": ["a", "b"], "val_dataset": "c", "reward_weights": [1, 0.5]},
        {"rlhf_type": "grpo", "quant_bits": 4, "eval_strategy": "no"},
        {"vllm_engine_kwargs": {"a": 1}, "model_kwargs": "kwargs.json", "deepspeed": "zero2"},
        {"model": 7},
    ],
    ids=str,
)
def test_right_arguments(arguments: dict[str, object]) -> None:
    """The JSON Schema accepts a right argument."""
    assert swift(**arguments) == []


def test_the_rest_of_the_spec_as_it_is_read() -> None:
    data = {
        "name": "x",
        "resources": {"time_limit": "12:00:00", "memory": "1.5T"},
        "restarts": {"grace": "90s"},
        "environment": {"env": {"OMP_NUM_THREADS": 1, "A": None}},
    }
    assert validate(data) == []


def arguments_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The `swift:` properties."""
    found: dict[str, Any] = schema["$defs"]["JobSpec"]["properties"]["swift"]["properties"]
    return found


def test_it_knows_every_argument_that_can_be_given() -> None:
    table = load_table()
    left_out = set(table) - set(arguments_of(job_schema(table)))
    assert left_out == {
        "output_dir",
        "add_version",
        "liger_kernel_config",
        "parallelism_config",
    }


def test_it_is_of_one_version() -> None:
    """The schema has the arguments of one release of ms-swift."""
    schema = job_schema(load_table("3.4.1"))
    assert schema["title"] == "prl-submit job spec, ms-swift 3.4.1"
    assert "num_infer_workers" in arguments_of(schema)
    assert "vllm_mode" not in arguments_of(schema)


def test_it_has_types_choices_and_defaults() -> None:
    found = arguments_of(job_schema(load_table()))
    assert found["num_generations"] == {"type": ["integer", "null"], "default": 8}
    assert found["importance_sampling_level"]["enum"][-1] is None
    assert found["learning_rate"] == {"type": ["number", "null"]}


def test_a_version_that_is_not_bundled_forbids_no_names() -> None:
    """Its own arguments are not known here."""
    schema = job_schema(load_table("99.0.0"))
    checker = jsonschema.Draft202012Validator(schema)
    assert list(checker.iter_errors({"name": "x", "swift": {"brand_new": 1}})) == []


def test_the_text_is_the_schema() -> None:
    schema = job_schema(load_table())
    text = schema_text(schema)
    assert json.loads(text) == schema
    assert max(map(len, text.splitlines())) <= 140
    assert '"num_generations": {"type": ["integer", "null"], "default": 8}' in text
