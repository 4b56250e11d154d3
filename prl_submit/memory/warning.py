"""The forecast for a plan, and the warning that `check` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.memory.find import find_gpu, find_inputs
from prl_submit.memory.fitting import Inputs, Verdict, judge, proposals
from prl_submit.memory.older import name_in
from prl_submit.spec.nodes import lookup, near_origin, problem_at
from prl_submit.swift.table import load_table

if TYPE_CHECKING:
    from prl_submit.planning.plan import Planned
    from prl_submit.probe.node_facts import Damaged, Facts

UNCOUNTED = "the LoRA's targets or the deepspeed configuration are not understood"


class Found(Struct, frozen=True):
    """A forecast and its inputs. Its last field names the GPU that it is compared with, in words."""

    inputs: Inputs
    verdict: Verdict
    where: str


def find_forecast(
    planned: Planned, facts: Facts | Damaged | None, environ: Mapping[str, str]
) -> Found | str:
    """The forecast compared with the largest GPU that the job may get; or, in words, why there is none."""
    sizes = find_gpu(planned, facts)
    resources = planned.plan.resources
    if resources.accelerator != "gpu":
        return "the job uses no GPU"
    if not sizes:
        known = (
            f"gpu_type {resources.gpu_type} is none that is known"
            if resources.gpu_type
            else ("the GPU's memory is not known: set resources.gpu_type")
        )
        return f"{known}, or run `prl-submit probe`"
    if planned.plan.unstated:
        return (
            "the number of processes is not known: set resources.nodes and resources.nproc_per_node"
        )
    inputs = find_inputs(planned, environ)
    if isinstance(inputs, str):
        return inputs
    verdict = judge(inputs, sizes[-1])
    if verdict is None:
        return UNCOUNTED
    name = planned.plan.resources.gpu_type or "GPU"
    return Found(inputs, verdict, f"the largest {name}'s" if len(sizes) > 1 else f"each {name}'s")


def check_memory(
    planned: Planned, facts: Facts | Damaged | None, environ: Mapping[str, str]
) -> list[Problem]:
    """One warning at the argument that matters most, with changes that make the job fit."""
    found = find_forecast(planned, facts, environ)
    if isinstance(found, str) or found.verdict.fits:
        return []
    from prl_submit.memory.words import hint, keys_of, message

    verdict = found.verdict
    job = planned.job
    keys = [f"swift.{name_in(job, name)}" for name in keys_of(verdict.forecast.peak)]
    if verdict.forecast.peak.total <= verdict.gpu * 2**20:
        keys = ["swift.vllm_max_model_len", "swift.vllm_gpu_memory_utilization", *keys]
    key = next((key for key in keys if lookup(planned.tree, key)), "swift")
    changes = [
        {name_in(job, name): value for name, value in change.items()}
        for change in proposals(found.inputs, verdict.gpu)
    ]
    if job.swift_version is not None:
        table = load_table(
            job.swift_version
        )  # an older ms-swift does not have all of these arguments
        changes = [change for change in changes if change.keys() <= table.keys()]
    text = message(verdict, found.where)
    origin = near_origin(planned.tree, key)
    return [problem_at(origin, key, text, hint(changes), "warning")]
