"""The rule on `local.cuda_visible_devices`, for the backends whose user may choose the GPUs of a node."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job


def check_chosen_gpus(job: Job) -> Iterator[Problem]:
    """A node should give one GPU to each process.

    With more GPUs ms-swift spreads the model of each process over several of them, and then refuses
    deepspeed (>= 3.2.1), fsdp, vLLM and Liger. It always refuses a number of GPUs that the number of
    processes does not divide. Source: ms-swift 4.6.0 utils/env `is_mp`.
    """
    text = job.spec.local.cuda_visible_devices
    single = job.spec.environment.env.get("SWIFT_SINGLE_DEVICE_MODE") == "1"
    if not text or single or job.spec.resources.accelerator == "cpu":
        return
    count, processes = len(text.split(",")), job.nproc_per_node
    key, hint = "local.cuda_visible_devices", "give one per process"
    if count % processes:
        message = f"has {count} GPUs for {processes} processes (nproc_per_node)"
        yield job.problem(key, message, hint)
        return
    if count == processes:
        return
    used = [name for name in ("deepspeed", "fsdp", "use_liger_kernel") if job.get(name, None)]
    used += ["use_vllm"] if job.rlhf_type in ("grpo", "gkd") and job.get("use_vllm", False) else []
    message = f"has {count} GPUs for {processes} processes, so that each spreads the model over {count // processes}"
    if used:
        message += f", and that is refused with {' and '.join(used)}"
    yield job.problem(key, message, hint, "error" if used else "warning")
