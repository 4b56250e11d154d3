"""Several GPUs: DeepSpeed, FSDP2, sequence parallelism, and which devices. Files: `inputs`."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.divisors import divisors, listed
from prl_submit.rules.job import Job

#: ms-swift 4.6.0 sft_args `_init_deepspeed`, `_init_fsdp`: what stands for a file of its own.
DEEPSPEED = ("zero0", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload")
FSDP = ("fsdp2",)


def one_way(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.12 sft_args `_init_fsdp`."""
    if job.get("fsdp", None) and job.get("deepspeed", None) and job.since("3.12"):
        yield job.refuse("fsdp", "does not go with deepspeed", "keep one of the two")


def fsdp_saving(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.12 sft_args `_check_fsdp2_compatibility`: shards are no model."""
    if job.get("fsdp", None) in FSDP and job.get("save_only_model", False) and job.since("3.12"):
        message = "does not go with fsdp fsdp2, which saves shards"
        hint = "set it false, or a fsdp_config with state_dict_type: FULL_STATE_DICT"
        yield job.refuse("save_only_model", message, hint)


#: Source: transformers 4.47-5.8 trainer_utils FSDPOption.
_FSDP_OPTIONS = (
    "full_shard", "shard_grad_op", "no_shard", "hybrid_shard", "hybrid_shard_zero2", "offload",
    "auto_wrap",
)  # fmt: skip


def fsdp_options(job: Job) -> Iterator[Problem]:
    """Source: transformers 4 TrainingArguments `__post_init__`: before ms-swift 3.12 fsdp is its words."""
    text = job.get("fsdp", None)
    if not text or job.since("3.12"):
        return
    words = str(text).split()
    for word in words:
        if word not in _FSDP_OPTIONS:
            hint = f"these work: {', '.join(_FSDP_OPTIONS)}"
            yield job.refuse("fsdp", f"has no option {word}", hint)
            return
    if words == ["offload"]:
        message = "offload goes with another one"
        yield job.refuse("fsdp", message, "such as fsdp: full_shard offload")
    elif {"full_shard", "shard_grad_op"} <= set(words):
        message = "full_shard and shard_grad_op exclude each other"
        yield job.refuse("fsdp", message, "keep one")


def without_deepspeed(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 sft_args `_init_deepspeed`: these change its configuration, if there is one."""
    if job.get("deepspeed", None):
        return
    for name in ("zero_hpz_partition_size", "deepspeed_autotp_size"):
        if job.get(name, None) is not None:
            hint = f"set deepspeed: {DEEPSPEED[2]}, or leave it out"
            yield job.warn(name, "does nothing without deepspeed", hint)


def sequence_parallel(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 rlhf_args `_check_sequence_parallel`, sequence_parallel `init_device_mesh`.

    3.2.2 to 3.4.0 refuse it for all types (rlhf_args `_check_rlhf`).
    """
    size = job.get("sequence_parallel_size", 1)
    if size <= 1:
        return
    if job.since("3.2.2") and not job.since("3.4.1"):
        message = f"{size}: this ms-swift has none in these trainings"
        yield job.refuse("sequence_parallel_size", message, "set it to 1")
    elif job.rlhf_type not in ("grpo", "dpo") and job.since("3.7"):
        message = f"{size} is for grpo and dpo, found rlhf_type {job.rlhf_type}"
        yield job.refuse("sequence_parallel_size", message, "set it to 1")
    elif job.world % size:
        message = f"{size} does not divide the world {job.world} = {job.world_words}"
        hint = f"these work: {listed(divisors(job.world))}"
        yield job.refuse("sequence_parallel_size", message, hint)


def processors(job: Job) -> Iterator[Problem]:
    """`accelerator: cpu`: vLLM needs a GPU; without use_cpu every rank trains alone (facts)."""
    if job.spec.resources.accelerator != "cpu":
        return
    if job.get("use_vllm", False):
        yield job.refuse("use_vllm", "vLLM needs a GPU; accelerator is cpu", "set it false")
    if not job.get("use_cpu", True):
        hint = "leave it out; prl-submit sets it"
        message = "false with accelerator cpu makes each rank train alone"
        yield job.refuse("use_cpu", message, hint)
    backend = job.get("ddp_backend", "gloo")
    if backend not in ("gloo", "mpi", "ccl"):
        message = f"{backend} needs GPUs; accelerator is cpu"  # accelerate PartialState
        yield job.refuse("ddp_backend", message, "leave it out; prl-submit sets gloo")


RULES = (one_way, fsdp_saving, fsdp_options, without_deepspeed, sequence_parallel, processors)
