"""Jobs on which check and ms-swift once differed, compared with what ms-swift really says.

Each was run for real on the CPU with ms-swift 4.6.0 (those of 3.x through parser and `__post_init__`).
The environment is this one, with ms-swift and without deepspeed, Liger, vLLM and swanlab.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prl_submit.errors import Problem
from prl_submit.prepare import plan_spec
from tests.training.conftest import PROJECT

pytestmark = pytest.mark.training

BASE: dict[str, Any] = {
    "rlhf_type": "grpo",
    "model": "./models/tiny-qwen2",
    "model_type": "qwen2",
    "template": "qwen2_5",
    "dataset": ["data/mr_train.jsonl"],
    "reward_funcs": ["prl_format"],
    "external_plugins": ["plugins/prl_rewards.py"],
    "tuner_type": "full",
    "torch_dtype": "float32",
    "per_device_train_batch_size": 2,
    "num_generations": 2,
    "max_steps": 2,
    "report_to": ["none"],
    "dataloader_num_workers": 0,
}
OLD: dict[str, Any] = {"tuner_type": None, "train_type": "full", "per_device_eval_batch_size": 2}


class Case(NamedTuple):
    """Changes to BASE (None removes an argument), the message of check, and the release if it is another."""

    swift: dict[str, Any]
    said: str | None
    release: str | None = None
    processes: int = 1
    accelerator: str = "cpu"


#: Jobs that ms-swift refuses. check names the argument and the reason.
REFUSED = {
    "negative generation batch": Case(
        {"generation_batch_size": -4}, "swift.generation_batch_size: -4 is not a multiple"
    ),
    "attention unknown": Case({"attn_impl": "flash"}, "swift.attn_impl: flash is not known"),
    "number of rows in words": Case(
        {"dataset": ["data/mr_train.jsonl#x"]},
        "swift.dataset: data/mr_train.jsonl#x: the number of rows must follow #",
    ),
    "loss scale unknown": Case({"loss_scale": "nonsense"}, "swift.loss_scale: nonsense is not"),
    "labels of a language model": Case({"num_labels": 2}, "swift.num_labels: makes a classifier"),
    "columns renamed under a reward": Case(
        {"reward_funcs": ["prl_accuracy"], "columns": {"sentences": "texts"}},
        "the reward prl_accuracy needs sentences",
    ),
    "reward model of two types": Case(
        {"reward_model": ["./models/tiny-qwen2"]},
        "swift.reward_model: ./models/tiny-qwen2 is Qwen2",
    ),
    "teacher of two types": Case(
        {"teacher_model": "./models/tiny-qwen2"},
        "swift.teacher_model: ./models/tiny-qwen2 is Qwen2",
    ),
    "model of two types": Case(
        {"model_type": None, "template": None}, "swift.model: ./models/tiny-qwen2 is Qwen2"
    ),
    "model type of several templates": Case(
        {"template": None}, "swift.model_type: template is not"
    ),
    "model type unknown": Case({"model_type": "nope"}, "swift.model_type: nope is not known"),
    "template unknown": Case({"template": "qwen25"}, "swift.template: qwen25 is not known"),
    "agent template unknown": Case(
        {**OLD, "agent_template": "hermess"}, "did you mean hermes?", release="3.8.3"
    ),
    "schedule without its keyword": Case(
        {"lr_scheduler_type": "cosine_with_min_lr"}, "swift.lr_scheduler_type: cosine_with_min_lr"
    ),
    "schedule with another's keyword": Case(
        {"lr_scheduler_kwargs": {"min_lr": 1e-7}}, "swift.lr_scheduler_kwargs: cosine has no"
    ),
    "sequences over more processes than there are": Case(
        {"sequence_parallel_size": 2}, "swift.sequence_parallel_size: 2 does not divide the world"
    ),
    "server without vLLM": Case(
        {"vllm_server_host": ["127.0.0.1"]}, "swift.vllm_server_host: connecting"
    ),
    "modules that are not there": Case(
        {"tuner_type": "lora", "target_modules": ["nothere"]}, "swift.target_modules: nothere is no"
    ),
    "GPUs that do not go round": Case(
        {**OLD, "use_vllm": True, "torch_dtype": "bfloat16"},
        "swift.use_vllm: 2 GPUs are neither num_infer_workers 1",
        release="3.4.1",
        processes=2,
        accelerator="gpu",
    ),
    "fsdp's old options": Case(
        {**OLD, "fsdp": "default"}, "swift.fsdp: has no option default", "3.8.3", 2, "gpu"
    ),
    "accelerator's file": Case({"accelerator_config": "nofile.json"}, "nofile.json is not here"),
    "schedule's file": Case({"lr_scheduler_kwargs": "nofile.json"}, "nofile.json is not here"),
    "system's file": Case({"system": "sys.txt"}, "swift.system: prompt file sys.txt is not here"),
    "plugin that is no Python": Case(
        {"external_plugins": ["plugins/prl_rewards.py", "plugins/syntax.py"]},
        "plugins/syntax.py:1: invalid syntax",
    ),
    "parallelism": Case({"parallelism_config": {"dp": 2}}, "swift.parallelism_config: cannot be"),
    "no deepspeed": Case({"deepspeed": "zero2"}, "needs the package deepspeed"),
    "no Liger": Case({"use_liger_kernel": True}, "needs the package liger_kernel"),
    "no swanlab": Case({"report_to": ["swanlab"]}, "swanlab needs the package swanlab"),
    "no wandb": Case({"report_to": ["wandb"]}, "wandb needs the package wandb"),
    "no bitsandbytes": Case({"optim": "adamw_8bit"}, "adamw_8bit needs the package bitsandbytes"),
    "no jieba": Case({"eval_metric": "nlg"}, "needs the package jieba"),
    "no evalscope": Case({"eval_use_evalscope": True}, "needs the package evalscope"),
}
#: Jobs that ms-swift trains. check has no error, and the message is a warning.
TRAINED = {
    "streaming and lazy": Case(
        {**OLD, "streaming": True, "lazy_tokenize": True}, None, release="3.4.1"
    ),
    "Adam's numbers beside adafactor": Case({"optim": "adafactor", "adam_epsilon": -1}, None),
    "Adam's numbers beside sgd": Case({"optim": "sgd", "adam_beta1": 1.0}, None),
    "dashes": Case({"num_generations": None, "num-generations": 2}, None),
    "an argument that is passed over": Case(
        {"ignore_args_error": True, "bogus": 1}, "with ignore_args_error ms-swift ignores it"
    ),
    "JSON that nobody reads": Case(
        {"eval_dataset_args": "x", "fsdp_config": "foo", "vllm_limit_mm_per_prompt": "0.5"},
        "only eval_use_evalscope reads it",
    ),
    "a Python dictionary": Case({"max_memory": '{0: "20GB"}'}, None),
    "a list of one": Case({"learning_rate": [1e-6]}, None),
    "a reference that is not needed": Case({"beta": 0, "ref_model": "./models/nope"}, "beta 0"),
    "known names": Case(
        {"loss_scale": "last_round+react", "agent_template": "hermes", "attn_impl": "sdpa"}, None
    ),
    "an agent template that no row asks for": Case(
        {"agent_template": "hermess"}, "hermess is not known to ms-swift 4.6.0"
    ),
    "modules that are there": Case(
        {"tuner_type": "lora", "target_modules": ["q_proj", "o_proj"]}, None
    ),
}


@pytest.fixture(scope="module")
def work(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the model, the data and the plugins that the jobs name."""
    root = tmp_path_factory.mktemp("specs")
    shutil.copytree(folder / "tiny-qwen2", root / "models" / "tiny-qwen2")
    for name in ("data", "plugins"):
        shutil.copytree(PROJECT / "jobs" / name, root / name)
    (root / "plugins" / "syntax.py").write_text("def x(:\n")
    return root


def problems_of(case: Case, work: Path, monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    environment: dict[str, Any] = {"venv": sys.prefix}
    if case.release:
        environment = {"swift_version": case.release, "container": {"image": "site/img:1"}}
    swift = {name: value for name, value in (BASE | case.swift).items() if value is not None}
    spec = {
        "name": "case",
        "backend": "slurm" if case.release else "local",
        "environment": environment,
        "resources": {
            "nproc_per_node": case.processes,
            "accelerator": case.accelerator,
            "time_limit": "1h",
        },
        "swift": swift,
    }
    (work / "case.yaml").write_text(json.dumps(spec))
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", str(work / "cache"))
    planned = plan_spec("case.yaml", backend=None, sets=(), profile=None, output_root=None)
    return planned.problems


@pytest.mark.parametrize("name", REFUSED)
def test_what_ms_swift_refuses(name: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = REFUSED[name]
    errors = [p for p in problems_of(case, work, monkeypatch) if p.severity == "error"]
    lines = [f"{p.key}: {p.message} ({p.hint})" for p in errors]
    assert case.said is not None
    assert any(case.said in line for line in lines), lines
    assert len({p.key for p in errors}) == 1, lines  # one mistake is reported at one key


@pytest.mark.parametrize("name", TRAINED)
def test_what_ms_swift_trains(name: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = TRAINED[name]
    found = problems_of(case, work, monkeypatch)
    assert [p for p in found if p.severity == "error"] == []
    assert case.said is None or any(case.said in p.message for p in found)


def test_the_environment_lacks_what_the_cases_need() -> None:
    names = ("deepspeed", "liger_kernel", "swanlab", "wandb", "vllm", "bitsandbytes", "jieba")
    assert [name for name in names if find_spec(name)] == []
