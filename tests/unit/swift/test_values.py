"""ms-swift's arguments: typed values, words of the command line, and the installed version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prl_submit.errors import Problem
from prl_submit.spec.nodes import mapping
from prl_submit.spec.sections import Conda, Environment
from prl_submit.spec.yaml import parse_document
from prl_submit.swift.installed import find_installed
from prl_submit.swift.table import load_table
from prl_submit.swift.values import (
    MAX_TOTAL_BYTES,
    MAX_WORD_BYTES,
    check_sizes,
    type_arguments,
    word,
    words,
)

TABLE = load_table()


def typed(text: str) -> tuple[dict[str, object], list[Problem]]:
    """The values and problems of a `swift:` section; `text` is the inside of `{...}`."""
    return type_arguments(mapping(parse_document(f"{{{text}}}".encode(), "f", "spec")), TABLE)


# ------------------------------------------------------------------ typed values
@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("num_generations: 4", "num_generations", 4),
        ("num_generations: '4'", "num_generations", 4),
        ("num_generations: 010", "num_generations", 10),
        ("learning_rate: 1e-6", "learning_rate", 1e-6),
        ("beta: 1", "beta", 1),
        ("use_vllm: no", "use_vllm", False),
        ("use_vllm: on", "use_vllm", True),
        ("eval_strategy: no", "eval_strategy", "no"),
        ("model: 010", "model", "010"),
        ("model: true", "model", "true"),
        ("dataset: one", "dataset", "one"),
        ("dataset: [a, b]", "dataset", ["a", "b"]),
        ("reward_weights: [1, 0.5]", "reward_weights", [1, 0.5]),
        ("reward_weights: [-1, 0.5]", "reward_weights", [-1, 0.5]),
        ("model_kwargs: {a: 1, b: no}", "model_kwargs", {"a": 1, "b": "no"}),
        ("model_kwargs: '{\"a\": 1}'", "model_kwargs", '{"a": 1}'),
        ("model_kwargs: kwargs/a.json", "model_kwargs", "kwargs/a.json"),
        ("system: 你好", "system", "你好"),
    ],
)
def test_values(text: str, name: str, value: object) -> None:
    """A value is typed as its argument wants it."""
    values, problems = typed(text)
    assert problems == []
    assert values == {name: value}
    assert type(values[name]) is type(value)


def test_null_is_not_passed() -> None:
    assert typed("beta: null, model: ~, dataset: ") == ({}, [])


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("num_generations: four", "expected a whole number, found 'four'", None),
        ("num_generations: 1.5", "expected a whole number, found '1.5'", None),
        (f"num_generations: {'9' * 70}", "9999…'", None),
        (
            "num_generations: [1, 2]",
            "expected a whole number, found a list; this argument takes one",
            None,
        ),
        ("num_generations: {a: 1}", "expected a whole number, found a mapping", None),
        ("reward_weights: [[1]]", "expected a number, found a list", None),
        ("beta: x", "expected a number, found 'x'", None),
        ("use_vllm: maybe", "expected true or false, found 'maybe'", None),
        ("rlhf_type: gpro", "found 'gpro'", "did you mean 'grpo'?"),
        ("dataset: []", "is an empty list; remove the key or write null", None),
        ("dataset: [a, null]", "is empty", None),
        ("dataset: [a, --x]", "list item '--x' begins with '-'", None),
        ("model: [a, b]", "found a list", None),
        ("num_generation: 4", "no such argument", "did you mean 'num_generations'?"),
        ("num-generations: 4", "no such argument", "did you mean 'num_generations'?"),
        ("zzzzzz: 4", "no such argument", "swift rlhf --help"),
        ("num_infer_workers: 4", "is gone since", "today: vllm_mode"),
        ("train_type: lora", "is tuner_type since ms-swift 4.0", "write tuner_type"),
        ("model_kwargs: abc", "expected a mapping, or a JSON file, found 'abc'", None),
        ("model_kwargs: '{\"a\": }'", "is not JSON: ", None),
        ("model_kwargs: ''", "expected a mapping, or a JSON file, found ''", None),
        ("liger_kernel_config: {a: true}", "cannot be set from the command line", None),
        ("output_dir: x", "is set by prl-submit", "`output:`"),
    ],
)
def test_wrong_values(text: str, message: str, hint: str | None) -> None:
    """A value of the wrong type gives a message with its line."""
    values, (problem,) = typed(text)
    assert values == {}
    assert message in problem.message
    assert problem.line == 1
    assert hint is None or hint in (problem.hint or "")


def test_null_is_allowed_for_an_argument_of_another_version() -> None:
    """So one spec can be used with several releases. A misspelt name is an error all the same."""
    assert typed("train_type: null, vllm_device: null, num_infer_workers: null") == ({}, [])
    _, (problem,) = typed("num_generation: null")
    assert "no such argument" in problem.message


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("learning_rate: [1e-6]", "learning_rate", 1e-6),
        ("model: [a]", "model", "a"),
        ("use_vllm: [yes]", "use_vllm", True),
        ("columns: [{a: query}]", "columns", {"a": "query"}),
        ("max_memory: '{0: \"20GB\"}'", "max_memory", '{0: "20GB"}'),
        ('max_memory: \'{"cpu": "20GB"}\'', "max_memory", '{"cpu": "20GB"}'),
        ("lr_scheduler_kwargs: \"{'min_lr': 1e-7}\"", "lr_scheduler_kwargs", "{'min_lr': 1e-7}"),
    ],
)
def test_other_ways_to_write_a_value(text: str, name: str, value: object) -> None:
    assert typed(text) == ({name: value}, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eval_dataset_args: x", "only eval_use_evalscope reads it"),
        ("extra_eval_args: '{\"a'", "only eval_use_evalscope reads it"),
        ("fsdp_config: foo", "only fsdp reads it"),
        ("fsdp: fsdp2, fsdp_config: foo", "takes its place"),
        ("vllm_limit_mm_per_prompt: '0.5'", "use_vllm is false"),
        ("bogus: 1, ignore_args_error: true", "with ignore_args_error ms-swift ignores it"),
    ],
)
def test_wrong_json_that_nothing_reads_is_a_warning(text: str, said: str) -> None:
    _, (problem,) = typed(text)
    assert problem.severity == "warning"
    assert said in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "eval_dataset_args: x, eval_use_evalscope: true",
        "fsdp_config: '{\"a'",
        "vllm_limit_mm_per_prompt: '0.5', use_vllm: true",
        "vllm_engine_kwargs: nonsense",
        "accelerator_config: \"{'split_batches': true}\"",
        "bogus: 1, ignore_args_error: false",
    ],
)
def test_wrong_json_that_is_read_is_an_error(text: str) -> None:
    _, (problem,) = typed(text)
    assert problem.severity == "error"


def test_devices_of_max_memory_are_numbers() -> None:
    """Keys in JSON are texts, but accelerate accepts only numbers as GPUs."""
    assert words("max_memory", {"0": "20GB", "cpu": "60GB"}) == [
        "--max_memory",
        "{0: '20GB', 'cpu': '60GB'}",
    ]


# ------------------------------------------------------------------ words
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (4, ["--x", "4"]),
        (-4, ["--x=-4"]),
        (1e-6, ["--x", "1e-6"]),
        (-1e-6, ["--x=-1e-6"]),
        (True, ["--x", "true"]),
        (False, ["--x", "false"]),
        ("", ["--x", ""]),
        ("a b", ["--x", "a b"]),
        ("-a b", ["--x=-a b"]),
        ("--y", ["--x=--y"]),
        (["a", 1, -1.5, True], ["--x", "a", "1", "-1.5", "true"]),
    ],
)
def test_words(value: object, expected: list[str]) -> None:
    """A value becomes the words of the command line."""
    assert words("x", value) == expected


def test_mappings_are_json() -> None:
    value = {"键": [1, 1e-6, True, None, "a'b"], "n": {"m": "\n"}}
    (_, text) = words("x", value)
    assert json.loads(text) == value
    assert "键" in text
    assert "\n" not in text
    assert word([1]) == "[1]"


def test_one_argument_is_limited_by_linux() -> None:
    """The limit is 128 KiB including the final NUL, in bytes and not in characters."""
    nodes = mapping(parse_document(b"\nsystem: x", "f", "spec"))
    assert check_sizes([["--system", "x" * MAX_WORD_BYTES]], nodes) == []
    (problem,) = check_sizes([["--system", "x" * (MAX_WORD_BYTES + 1)]], nodes)
    assert (problem.key, problem.line) == ("swift.system", 2)
    assert "is 131,072 bytes; Linux passes at most 131,071" in problem.message
    assert len(check_sizes([["--system", "中" * (MAX_WORD_BYTES // 3 + 1)]], nodes)) == 1
    assert len(check_sizes([["--system=-" + "x" * MAX_WORD_BYTES]], nodes)) == 1


def test_all_arguments_together_have_a_limit() -> None:
    group = ["--dataset", *(["x" * 100_000] * 14)]
    assert check_sizes([group], {}) == []
    (problem,) = check_sizes([[*group, "x" * 100_000]], {})
    assert problem.key == "swift"
    assert f"the limit is {MAX_TOTAL_BYTES:,}" in problem.message


# ------------------------------------------------------------------ the installed version
def install(prefix: Path, version: str) -> None:
    """Make the files of an installed ms-swift that are looked for."""
    site = prefix / "lib/python3.11/site-packages"
    (site / f"ms_swift-{version}.dist-info").mkdir(parents=True)
    (site / "swift/arguments").mkdir(parents=True)
    (site / "swift/arguments/rlhf_args.py").touch()


def version(environment: Environment, workdir: str, **environ: str) -> str | None:
    """The version of the ms-swift that is found."""
    found = find_installed(environment, workdir, environ)
    return None if found is None else found.version


def test_version_in_a_virtual_environment(tmp_path: Path) -> None:
    install(tmp_path / ".venv", "4.6.0")
    assert version(Environment(venv=".venv"), str(tmp_path)) == "4.6.0"
    assert version(Environment(venv="gone"), str(tmp_path)) is None
    assert version(Environment(venv="~/.venv"), "/", HOME=str(tmp_path)) == "4.6.0"


def test_version_in_conda(tmp_path: Path) -> None:
    install(tmp_path / "envs" / "prl", "4.5.0")
    install(tmp_path, "4.4.0")
    root = str(tmp_path)
    assert version(Environment(conda=Conda(name="prl", root=root)), "/") == "4.5.0"
    assert version(Environment(conda=Conda(name="base", root=root)), "/") == "4.4.0"
    assert version(Environment(conda="prl"), "/") is None
    executable = str(tmp_path / "bin" / "conda")
    assert version(Environment(conda="prl"), "/", CONDA_EXE=executable) == "4.5.0"


def test_version_beside_torchrun(tmp_path: Path) -> None:
    install(tmp_path, "4.6.0")
    launcher = tmp_path / "bin" / "torchrun"
    launcher.parent.mkdir()
    launcher.touch(mode=0o755)
    assert version(Environment(), "/", PATH=str(launcher.parent)) == "4.6.0"
    assert version(Environment(), "/", PATH=str(tmp_path)) is None
