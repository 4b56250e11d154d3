"""The memory forecast of jobs for older releases of ms-swift, in their own names."""

from __future__ import annotations

import pytest

from prl_submit.memory.find import find_inputs
from prl_submit.memory.fitting import Inputs
from prl_submit.memory.warning import check_memory
from prl_submit.planning.plan import Planned
from prl_submit.swift.table import load_table
from tests.support.plans import planned

SPEC = """
name: x
resources: {nproc_per_node: 4, gpu_type: h100}
swift: {rlhf_type: grpo, model: Qwen/Qwen2.5-7B-Instruct, dataset: [d], reward_funcs: [format],
  eval_strategy: 'no', %s}
"""


def job_of(version: str, swift: str = "") -> Planned:
    """A job under that release, as its table has it."""
    return planned(SPEC % swift, table=load_table(version))


def inputs(version: str, swift: str = "") -> Inputs:
    found = find_inputs(job_of(version, swift), {})
    assert isinstance(found, Inputs)
    return found


def test_todays_names_stand_for_the_older_ones() -> None:
    """The forecast reads tuner_type and vllm_tensor_parallel_size alone."""
    older = "train_type: full, use_vllm: true, tensor_parallel_size: 2, num_infer_workers: 4"
    values = inputs("3.2.2", older).values
    assert values["tuner_type"] == "full"
    assert values["vllm_tensor_parallel_size"] == 2
    same = "tuner_type: full, use_vllm: true, vllm_tensor_parallel_size: 2"
    today = inputs("4.6.0", same).values
    names = ("tuner_type", "vllm_mode", "vllm_tensor_parallel_size", "vllm_gpu_memory_utilization")
    assert {name: values[name] for name in names} == {name: today[name] for name in names}


@pytest.mark.parametrize(
    ("version", "workers", "mode"),
    [
        ("3.3.0", "", "server"),  # one worker, ms-swift's default, has a GPU of its own
        ("3.3.0", "num_infer_workers: 4", "colocate"),
        ("3.3.0", "num_infer_workers: 2", "server"),  # GPUs of their own
        ("3.5.3", "num_infer_workers: 2", "colocate"),  # passed over
        ("4.6.0", "vllm_mode: server, vllm_server_host: [h]", "server"),
    ],
)
def test_inference_workers_share_the_gpus_or_have_their_own(
    version: str, workers: str, mode: str
) -> None:
    assert inputs(version, f"use_vllm: true, {workers}").values["vllm_mode"] == mode


def test_steps_as_each_release_counts_them() -> None:
    """Before 3.7 the default makes about 16 rows a step; before 3.4 one generation serves one step."""
    rows = "per_device_train_batch_size: 1, num_generations: 2"
    names = ("gradient_accumulation_steps", "steps_per_generation")
    for version, steps in [("3.3.0", (4, 1)), ("3.5.3", (4, None)), ("4.6.0", (1, None))]:
        values = inputs(version, rows).values
        assert tuple(values.get(name) for name in names) == steps, version


@pytest.mark.parametrize(
    ("version", "argument"), [("3.3.0", "train_type"), ("4.6.0", "tuner_type")]
)
def test_the_warning_points_at_names_of_that_release(version: str, argument: str) -> None:
    """And what it proposes can be said to it."""
    job = job_of(version, f"{argument}: full")
    (problem,) = check_memory(job, None, {})
    assert problem.key == f"swift.{argument}"
    assert "deepspeed zero2" in (problem.hint or "")


def test_what_cannot_be_counted() -> None:
    assert find_inputs(job_of("3.3.0", "train_type: ia3"), {}) == (
        "train_type ia3 is not among what it can count: full, lora"
    )
    lmdeploy = find_inputs(job_of("3.3.0", "use_lmdeploy: true"), {})
    assert lmdeploy == "LMDeploy is not among what it can count"
    wrong = find_inputs(job_of("3.3.0", "per_device_train_batch_size: x"), {})
    assert wrong == "swift.per_device_train_batch_size is wrong"
