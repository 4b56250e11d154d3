"""Translate an older ms-swift's arguments to those of the newest, which the forecast reads. Pure.

Sources: ms-swift 3.0 to 4.0, swift/llm/argument and swift/trainers/arguments.py.
"""

from __future__ import annotations

from typing import Any

from prl_submit.rules.batch import accumulation
from prl_submit.rules.job import Job
from prl_submit.swift.renames import RENAMED


def in_todays_names(job: Job) -> dict[str, Any]:
    """The job's arguments, translated to those of the newest ms-swift. Raises DoubtfulError."""
    found = {RENAMED.get(name, name): value for name, value in job.swift.items()}
    found.setdefault("gradient_accumulation_steps", accumulation(job))
    if not job.since("3.4") and job.rlhf_type == "grpo":
        found["steps_per_generation"] = 1
    if not job.since("3.5") and "vllm_mode" not in found and found.get("use_vllm"):
        # If the workers are as many as the processes, both share the GPUs. Else the workers have their own GPUs.
        shared = found.get("num_infer_workers", 1) == job.spec.resources.nproc_per_node
        found["vllm_mode"] = "colocate" if shared else "server"
    return found


def name_in(job: Job, name: str) -> str:
    """The name that the job's ms-swift has for an argument of the newest one."""
    older = {"tuner_type": job.tuner_argument}
    if not job.since("3.5"):
        older["vllm_tensor_parallel_size"] = "tensor_parallel_size"
    return older.get(name, name)
