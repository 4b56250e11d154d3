"""Rules on training with several processes: DeepSpeed, FSDP, sequence parallelism, and CPUs without GPUs.

`prl_submit.inputs.parallel_configs` checks the configuration files of DeepSpeed and FSDP.
"""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.divisors import divisors, listed
from prl_submit.rules.job import Job

#: Presets: names that ms-swift accepts in place of a configuration file (ms-swift 4.6.0 sft_args
#: `_init_deepspeed`, `_init_fsdp`).
DEEPSPEED = ("zero0", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload")
FSDP = ("fsdp2",)


def one_way(job: Job) -> Iterator[Problem]:
    """A job uses DeepSpeed or FSDP, not both. Source: ms-swift >= 3.12 sft_args `_init_fsdp`."""
    if job.get("fsdp", None) and job.get("deepspeed", None) and job.since("3.12"):
        yield job.refuse("fsdp", "cannot be combined with deepspeed", "keep one of the two")


def fsdp_saving(job: Job) -> Iterator[Problem]:
    """save_only_model needs whole weights, and the preset fsdp2 saves shards.

    Source: ms-swift >= 3.12 sft_args `_check_fsdp2_compatibility`.
    """
    if job.get("fsdp", None) in FSDP and job.get("save_only_model", False) and job.since("3.12"):
        message = "cannot be combined with fsdp fsdp2, which saves shards"
        hint = "set save_only_model: false, or write an FSDP configuration with state_dict_type: FULL_STATE_DICT"
        yield job.refuse("save_only_model", message, hint)


#: The words that fsdp may hold before ms-swift 3.12 (transformers 4.47-5.8 trainer_utils FSDPOption).
_FSDP_OPTIONS = (
    "full_shard", "shard_grad_op", "no_shard", "hybrid_shard", "hybrid_shard_zero2", "offload",
    "auto_wrap",
)  # fmt: skip


def fsdp_options(job: Job) -> Iterator[Problem]:
    """Before ms-swift 3.12 fsdp is a list of transformers' own words, and some need or exclude others.

    Source: transformers 4 TrainingArguments `__post_init__`.
    """
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
        message = "offload needs another option beside it"
        yield job.refuse("fsdp", message, "such as fsdp: full_shard offload")
    elif {"full_shard", "shard_grad_op"} <= set(words):
        message = "full_shard and shard_grad_op exclude each other"
        yield job.refuse("fsdp", message, "keep one of the two")


def without_deepspeed(job: Job) -> Iterator[Problem]:
    """Two arguments that change DeepSpeed's configuration do nothing without DeepSpeed.

    Source: ms-swift >= 3.7 sft_args `_init_deepspeed`.
    """
    if job.get("deepspeed", None):
        return
    for name in ("zero_hpz_partition_size", "deepspeed_autotp_size"):
        if job.get(name, None) is not None:
            hint = f"set deepspeed: {DEEPSPEED[2]}, or remove {name}"
            yield job.warn(name, "does nothing without deepspeed", hint)


def sequence_parallel(job: Job) -> Iterator[Problem]:
    """sequence_parallel_size is for grpo and dpo, and must divide the number of processes.

    Source: ms-swift >= 3.7 rlhf_args `_check_sequence_parallel`, sequence_parallel `init_device_mesh`.
    Releases 3.2.2 to 3.4.0 refuse it for all types (rlhf_args `_check_rlhf`).
    """
    size = job.get("sequence_parallel_size", 1)
    if size <= 1:
        return
    if job.since("3.2.2") and not job.since("3.4.1"):
        message = f"{size}: this ms-swift has no sequence parallelism for rlhf types"
        yield job.refuse("sequence_parallel_size", message, "set sequence_parallel_size: 1")
    elif job.rlhf_type not in ("grpo", "dpo") and job.since("3.7"):
        message = f"{size} is for grpo and dpo, found rlhf_type {job.rlhf_type}"
        yield job.refuse("sequence_parallel_size", message, "set sequence_parallel_size: 1")
    elif job.world % size:
        message = f"{size} does not divide the world {job.world} = {job.world_words}"
        hint = f"these work: {listed(divisors(job.world))}"
        yield job.refuse("sequence_parallel_size", message, hint)


def processors(job: Job) -> Iterator[Problem]:
    """With `accelerator: cpu` a job can use no argument that needs a GPU.

    use_cpu must stay true: without it the ranks do not form a process group, and each rank trains alone
    (measured with ms-swift 4.6.0). prl-submit sets use_cpu and ddp_backend itself.
    """
    if job.spec.resources.accelerator != "cpu":
        return
    if job.get("use_vllm", False):
        yield job.refuse("use_vllm", "vLLM needs a GPU; accelerator is cpu", "set use_vllm: false")
    if not job.get("use_cpu", True):
        hint = "remove use_cpu; prl-submit sets it"
        message = "false with accelerator cpu makes each rank train alone"
        yield job.refuse("use_cpu", message, hint)
    backend = job.get("ddp_backend", "gloo")
    if backend not in ("gloo", "mpi", "ccl"):
        message = f"{backend} needs GPUs; accelerator is cpu"  # source: accelerate PartialState
        yield job.refuse("ddp_backend", message, "remove ddp_backend; prl-submit sets gloo")


RULES = (one_way, fsdp_saving, fsdp_options, without_deepspeed, sequence_parallel, processors)
