"""loss_type: which there are, how many, and their weights."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest

#: By type. ms-swift 4.6.0 dpo_trainer `dpo_loss`, grpo_trainer `_compute_loss_and_metrics`;
#: trl 0.29 cpo_trainer `cpo_loss`, kto_trainer `kto_loss`. The others never look at loss_type.
LOSSES = {
    "dpo": (
        "sigmoid", "robust", "exo_pair", "hinge", "ipo", "bco_pair", "sppo_hard", "nca_pair",
        "aot_unpaired", "aot", "apo_zero", "apo_down", "discopop", "sft",
    ),
    "grpo": ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "real", "fipo"),
    "cpo": ("sigmoid", "hinge", "ipo", "simpo", "alphapo"),
    "simpo": ("sigmoid", "hinge", "ipo", "simpo", "alphapo"),
    "kto": ("kto", "apo_zero_unpaired"),
}  # fmt: skip
#: Older names of dpo's losses, which trl before 0.29 still had.
_OLDER = ("aot_pair",)


def several(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 rlhf_args `_process_loss_type`: several losses at once are for DPO."""
    kinds = job.many("loss_type")
    if len(kinds) > 1 and job.rlhf_type != "dpo":
        message = f"has {len(kinds)} values; only dpo mixes losses, found {job.rlhf_type}"
        yield job.refuse("loss_type", message, "give one")


def weights(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 rlhf_args `_process_loss_type`, trl dpo_config: one weight per loss, dpo's."""
    numbers, kinds = job.many("loss_weights"), job.many("loss_type")
    if not numbers:
        return
    if job.rlhf_type == "dpo":
        if len(numbers) != max(len(kinds), 1):
            names = ", ".join(map(str, kinds)) or "sigmoid, the default"
            message = f"has {len(numbers)} for {max(len(kinds), 1)} losses ({names})"
            yield job.refuse("loss_weights", message, "give one weight per loss, in their order")
    elif kinds:
        message = f"is for dpo alone, found rlhf_type {job.rlhf_type}"
        yield job.refuse("loss_weights", message, "leave it out")


def names(job: Job) -> Iterator[Problem]:
    """The first step fails on a loss that is not known; sources at LOSSES.

    None of this is checked before the model is loaded.
    """
    known = LOSSES.get(job.rlhf_type, ()) if job.has_known_names else ()
    for kind in job.many("loss_type") if known else ():
        if kind not in known and kind not in _OLDER:
            near = closest(str(kind), known, 0.6)
            hint = f"did you mean {near}?" if near else f"these work: {', '.join(known)}"
            yield job.refuse("loss_type", f"{kind} is no loss of {job.rlhf_type}", hint)


RULES = (several, weights, names)
