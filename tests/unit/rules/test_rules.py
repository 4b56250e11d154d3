"""The rules on batches and on the spec: messages with formulas, and hints with values that work."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prl_submit.errors import Problem
from prl_submit.rules import looks_secret
from tests.support.plans import planned

GRPO = "name: x\nresources: {{nodes: {nodes}, nproc_per_node: {nproc}}}\nbackend: slurm\nswift:\n"


def found(swift: str, nodes: int = 1, nproc: int = 4, **more: Any) -> list[Problem]:
    """The errors of a GRPO job. `swift` is the inside of `{...}`."""
    head = GRPO.format(nodes=nodes, nproc=nproc)
    spec = f"{head}  {{rlhf_type: grpo, model: m, dataset: d, {swift}}}"
    return [p for p in planned(spec, **more).problems if p.severity == "error"]


# ------------------------------------------------------------------ the generation batch
@pytest.mark.parametrize(
    "swift",
    [
        "num_generations: 4",
        "num_generations: 2",
        "per_device_train_batch_size: 2",  # num_generations is 8
        "per_device_train_batch_size: 3, num_generations: 6",
        "gradient_accumulation_steps: 2",
        "steps_per_generation: 2",
        "steps_per_generation: 1, gradient_accumulation_steps: 8, num_generations: 4",
        "generation_batch_size: 8",
        "generation_batch_size: 8, steps_per_generation: 2",
    ],
)
def test_generation_batches_that_work(swift: str) -> None:
    assert found(swift) == []


@pytest.mark.parametrize(
    ("swift", "key", "message", "hint"),
    [
        (
            "num_generations: 3",
            "num_generations",
            "3 does not divide the generation batch 4 = per_device_train_batch_size 1 x "
            "nproc_per_node 4 x nodes 1 x steps_per_generation 1 (from gradient_accumulation_steps)",
            "these work: num_generations 2 or 4, or per_device_train_batch_size 3",
        ),
        (
            "per_device_train_batch_size: 5, steps_per_generation: 2, num_generations: 16",
            "num_generations",
            "16 does not divide the generation batch 40 = per_device_train_batch_size 5 x "
            "nproc_per_node 4 x nodes 1 x steps_per_generation 2",
            "these work: num_generations 2, 4, 5, 8, 10 or 20, or "
            "per_device_train_batch_size 4 or 6",
        ),
        (
            "generation_batch_size: 12, num_generations: 8",
            "num_generations",
            "x steps_per_generation 3 (from generation_batch_size)",
            "these work: num_generations 2, 3, 4, 6 or 12, or generation_batch_size 8 or 16",
        ),
        (
            "generation_batch_size: 13, num_generations: 8",
            "generation_batch_size",
            "13 is not a multiple of per_device_train_batch_size x nproc_per_node 4 x nodes 1 = 4",
            "these work: 8 or 16",
        ),
        ("generation_batch_size: 0", "generation_batch_size", "0 is not a multiple", "work: 8"),
        (
            "generation_batch_size: 8, steps_per_generation: 3",
            "generation_batch_size",
            "8 is not per_device_train_batch_size x nproc_per_node 4 x nodes 1 = 4 x "
            "steps_per_generation 3 = 12",
            "remove generation_batch_size or steps_per_generation",
        ),
        (
            "generation_batch_size: 8, steps_per_generation: 2, num_generations: 3",
            "num_generations",
            "3 does not divide the generation batch 8",
            "these work: num_generations 2, 4 or 8",
        ),
        ("num_generations: 1", "num_generations", "greater than 1 for GRPO, found 1", "2 or more"),
        ("num_generations: -4", "num_generations", "greater than 1 for GRPO, found -4", "2 or"),
        ("per_device_train_batch_size: 0", "per_device_train_batch_size", "at least 1", "1 or"),
        ("steps_per_generation: 0", "steps_per_generation", "at least 1, found 0", "1 or"),
        ("gradient_accumulation_steps: 0", "gradient_accumulation_steps", "at least 1", "1 or"),
    ],
)
def test_generation_batches_that_do_not_work(swift: str, key: str, message: str, hint: str) -> None:
    (problem,) = found(swift)
    assert problem.key == f"swift.{key}"
    assert message in problem.message
    assert hint in (problem.hint or "")
    assert problem.line == 5


def test_the_number_of_nodes_counts() -> None:
    assert found("num_generations: 16", nodes=2, nproc=8) == []
    (problem,) = found("num_generations: 16", nodes=1, nproc=8)
    assert "nproc_per_node 8 x nodes 1" in problem.message


def test_other_algorithms_have_no_groups() -> None:
    assert planned("name: x\nswift: {rlhf_type: dpo, model: m, dataset: d}").problems == []


def test_a_fixed_generation_batch_of_one_has_one_hint() -> None:
    swift = "num_generations: 2, generation_batch_size: 1, steps_per_generation: 1"
    (problem,) = found(swift, nproc=1)
    assert problem.hint == "remove generation_batch_size or steps_per_generation"


def test_a_batch_of_one_has_no_group_to_propose() -> None:
    (problem,) = found("num_generations: 2", nproc=1)
    assert problem.hint == "these work: per_device_train_batch_size 2"


def test_a_wrong_number_has_only_one_message() -> None:
    assert len(found("per_device_train_batch_size: x, num_generations: 3")) == 1
    assert len(found("num_generation: 4")) == 1  # misspelt: 8 would not divide 4
    assert len(found("num_generations: 3", sets=["resources.nodes=x"])) == 1
    assert len(found("num_generations: 3", sets=["resources=x"])) == 1


def proposals(problem: Problem, own: str) -> list[tuple[str, str]]:
    """(name, number) of every value in a hint. A number without a name is for the problem's own key."""
    text = (problem.hint or "").removeprefix("these work: ")
    pairs = []
    name = own
    for word in re.findall(r"[a-z_]{3,}|[0-9]+", text.replace("or eval_strategy no", "")):
        if word.isdigit():
            pairs.append((name, word))
        elif word != "or":
            name = word
    return pairs


sizes = st.integers(min_value=1, max_value=40)
maybe = st.none() | sizes


@settings(max_examples=80, deadline=None)
@given(nodes=st.integers(1, 4), nproc=st.integers(1, 9), group=st.integers(2, 40), device=sizes,
       steps=maybe, accumulate=maybe, total=st.none() | st.integers(1, 300))  # fmt: skip
def test_proposed_training_values_really_work(
    nodes: int,
    nproc: int,
    group: int,
    device: int,
    steps: int | None,
    accumulate: int | None,
    total: int | None,
) -> None:
    given_ = {
        "num_generations": group,
        "per_device_train_batch_size": device,
        "steps_per_generation": steps,
        "gradient_accumulation_steps": accumulate,
        "generation_batch_size": total,
    }
    swift = ", ".join(f"{k}: {v}" for k, v in given_.items() if v is not None)
    problems = found(swift, nodes, nproc)
    world = nodes * nproc
    if total is None:
        batch = device * world * (steps or accumulate or 1)
        assert bool(problems) == (batch % group != 0)
    for problem in problems:
        if "remove generation_batch_size or" in (problem.hint or ""):
            assert steps is not None
            continue
        named = proposals(problem, (problem.key or "").removeprefix("swift."))
        assert named
        for name, number in named:
            assert found(swift, nodes, nproc, sets=[f"swift.{name}={number}"]) == []


@settings(max_examples=50, deadline=None)
@given(nproc=st.integers(1, 9), group=st.integers(2, 20), device=sizes)
def test_proposed_evaluation_values_really_work(nproc: int, group: int, device: int) -> None:
    swift = (
        f"num_generations: {group}, per_device_train_batch_size: {group}, val_dataset: [v], "
        f"per_device_eval_batch_size: {device}"
    )
    problems = found(swift, 1, nproc)
    assert bool(problems) == (device * nproc % group != 0)
    for problem in problems:
        named = proposals(problem, "")
        assert {name for name, _ in named} == {"per_device_eval_batch_size", "num_generations_eval"}
        for name, number in named:
            assert found(swift, 1, nproc, sets=[f"swift.{name}={number}"]) == []
        assert found(swift, 1, nproc, sets=["swift.eval_strategy=no"]) == []


# ------------------------------------------------------------------ the evaluation batch
EVAL = "num_generations: 4, per_device_eval_batch_size: 1"


@pytest.mark.parametrize(
    ("swift", "nproc", "key"),
    [
        (EVAL, 2, None),  # nothing to evaluate on
        (f"{EVAL}, val_dataset: [v], eval_strategy: no", 2, None),
        (f"{EVAL}, val_dataset: [v], save_strategy: no", 2, None),
        (f"{EVAL}, val_dataset: [v]", 4, None),
        (f"{EVAL}, val_dataset: [v], num_generations_eval: 2", 2, None),
        (f"{EVAL}, val_dataset: [v], num_generations_eval: 1", 2, None),
        (f"{EVAL}, val_dataset: [v]", 2, "num_generations"),
        (f"{EVAL}, eval_dataset: [v], eval_use_evalscope: true", 2, "num_generations"),
        (f"{EVAL}, split_dataset_ratio: 0.1", 2, "num_generations"),
        (f"{EVAL}, val_dataset: [v], num_generations_eval: 3", 2, "num_generations_eval"),
    ],
)
def test_evaluation_batch(swift: str, nproc: int, key: str | None) -> None:
    """The evaluation batch must be divisible by num_generations."""
    problems = found(f"{swift}, per_device_train_batch_size: 4", nproc=nproc)
    assert [p.key for p in problems] == ([] if key is None else [f"swift.{key}"])
    for problem in problems:
        assert f"batch {nproc} = per_device_eval_batch_size 1 x nproc_per_node" in problem.message


# ------------------------------------------------------------------ the others
OK = "num_generations: 4"
SERVER = "use_vllm: true, vllm_mode: server, vllm_server_host: h"


@pytest.mark.parametrize(
    ("swift", "key", "message", "hint"),
    [
        ("use_vllm: true, vllm_tensor_parallel_size: 2", None, "", ""),
        (f"{SERVER}, vllm_tensor_parallel_size: 3", None, "", ""),
        ("use_vllm: true, vllm_mode: server, vllm_server_base_url: http://h", None, "", ""),
        (
            "use_vllm: true, vllm_mode: server",
            "vllm_mode",
            "needs the address of a vLLM server",
            "vllm_server_host or vllm_server_base_url",
        ),
        (f"{SERVER}, async_generate: true", None, "", ""),
        (
            "use_vllm: true, async_generate: true",
            "async_generate",
            "needs vllm_mode server",
            "remove",
        ),
        ("vllm_mode: colocate", "vllm_mode", "is set, but use_vllm is false", "null"),
        ("use_vllm: true, vllm_gpu_memory_utilization: 1", None, "", ""),
        ("truncation_strategy: left", None, "", ""),
        ("truncation_strategy: split", "truncation_strategy", "found split", "left is the default"),
        ("num_generations: 1, teacher_model: t", None, "", ""),
        ("reward_funcs: [a], use_gym_env: true, reward_weights: [1, 2]", None, "", ""),
        ("vllm_tensor_parallel_size: 3", None, "", ""),
        (
            "use_vllm: true, vllm_tensor_parallel_size: 3",
            "vllm_tensor_parallel_size",
            "3 does not divide the world 4 = nproc_per_node 4 x nodes 1",
            "these work: 1, 2 or 4",
        ),
        (
            f"{SERVER}, vllm_tensor_parallel_size: 0",
            "vllm_tensor_parallel_size",
            "0 does not divide",
            "1, 2 or 4",
        ),
        (
            "use_vllm: true, vllm_gpu_memory_utilization: 40",
            "vllm_gpu_memory_utilization",
            "between 0 and 1; found 40",
            "0.4",
        ),
        ("use_vllm: t, vllm_gpu_memory_utilization: 0", "vllm_gpu_memory_utilization", "0", "0.4"),
        ("reward_funcs: [a, b], reward_weights: [1, 2]", None, "", ""),
        ("reward_funcs: [a], reward_model: [m], reward_weights: [1, 2]", None, "", ""),
        ("reward_weights: [1, 2]", None, "", ""),
        (
            "reward_funcs: [a, b], reward_weights: 1",
            "reward_weights",
            "has 1 for 2 rewards (a, b)",
            "one weight per reward",
        ),
        ("hub_token: hf_x", "hub_token", "is a credential", "HF_TOKEN"),
        ("swanlab_token: hf_x", "swanlab_token", "is a credential", "SWANLAB_API_KEY"),
    ],
)
def test_swift_rules(swift: str, key: str | None, message: str, hint: str) -> None:
    """Each rule on ms-swift's arguments names its key, with a message and a hint."""
    problems = found(swift if OK[:15] in swift else f"{OK}, {swift}")
    assert [p.key for p in problems] == ([] if key is None else [f"swift.{key}"])
    for problem in problems:
        assert message in problem.message
        assert hint in (problem.hint or "")


CPU = "resources: {accelerator: cpu}"
JOB = "model: m, dataset: d"


@pytest.mark.parametrize(
    ("spec", "key", "message"),
    [
        (CPU, None, ""),
        (f"{CPU}\nswift: {{{JOB}, use_vllm: true}}", "swift.use_vllm", "needs a GPU"),
        (f"{CPU}\nswift: {{{JOB}, use_cpu: false}}", "swift.use_cpu", "alone"),
        (f"{CPU}\nswift: {{{JOB}, ddp_backend: nccl}}", "swift.ddp_backend", "nccl needs GPUs"),
        ("environment: {venv: .venv}", None, ""),
        ("environment: {conda: a, venv: b}", "environment.venv", "conda is set too"),
        ("environment: {env: {HF_TOKEN: x}}", "environment.env.HF_TOKEN", "a credential"),
        (
            "environment: {env: {HTTPS_PROXY: 'http://u:p@h/'}}",
            "environment.env.HTTPS_PROXY",
            "a credential",
        ),
        ("environment: {env: {A: x}, secrets: [B]}", None, ""),
        ("environment: {env: {A: x}, secrets: [A]}", "environment.env.A", "under secrets too"),
        (
            "environment: {env: {PRL_SUBMIT_TOKEN_: x}}",
            "environment.env.PRL_SUBMIT_TOKEN_",
            "a name that prl-submit sets",
        ),
        ("resources: {nodes: 2}", "resources.nodes", "the local backend has one node, found 2"),
        ("resources: {nodes: 2}\nbackend: slurm", None, ""),
    ],
)
def test_spec_rules(spec: str, key: str | None, message: str) -> None:
    """Each rule on the sections of a spec names its key, with a message and a hint."""
    problems = [p for p in planned(f"name: x\n{spec}").problems if p.severity == "error"]
    assert [p.key for p in problems] == ([] if key is None else [key])
    for problem in problems:
        assert message in problem.message
        assert problem.hint
        assert problem.line is not None


def test_lora_arguments_in_a_full_training_have_a_warning() -> None:
    swift = "swift: {model: m, dataset: d, lora_rank: 8, use_dora: true, tuner_type: "
    problems = planned(f"name: x\n{swift}full}}").problems
    assert [(p.key, p.severity) for p in problems] == [
        ("swift.lora_rank", "warning"),
        ("swift.use_dora", "warning"),
    ]
    assert planned(f"name: x\n{swift}lora}}").problems == []


def test_the_backend_of_the_command_line_counts() -> None:
    spec = "name: x\nresources: {nodes: 2}\nbackend: slurm"
    assert "resources.nodes" in [p.key for p in planned(spec, backend="local").problems]


def test_model_and_dataset_are_required() -> None:
    """A spec without any argument has one problem only; see tests/unit/inputs/test_local_files.py."""
    problems = planned("name: x\nswift: {rlhf_type: dpo}").problems
    assert [(p.key, p.severity) for p in problems] == [("swift", "error"), ("swift", "error")]
    assert planned("name: x\nswift: {model: m, cached_dataset: c}").problems == []
    resumed = "resume_only_model: true, resume_from_checkpoint: c, tuner_type: full, dataset: d"
    assert planned(f"name: x\nswift: {{{resumed}}}").problems == []
    assert planned("name: x\nswift: {load_args: true, adapters: a, dataset: d}").problems == []
    assert [p.message.partition(" ")[0] for p in problems] == ["model", "dataset"]


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("HF_TOKEN", "x", True),
        ("token", "x", True),
        ("api_key", "x", True),
        ("MY_PASSWORD", "x", True),
        ("AWS_CREDENTIALS", "x", True),
        ("URL", "https://user:pass@host/x", True),
        ("URL", "https://host/a:b@c", False),
        ("URL", "https://host:80/", False),
        ("URL", "user@host:path", False),
        ("TOKENIZERS_PARALLELISM", "false", False),
        ("MONKEY", "x", False),
    ],
)
def test_what_looks_secret(name: str, value: str, secret: bool) -> None:
    assert looks_secret(name, value) is secret
