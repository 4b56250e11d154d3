"""Rules on loss_type: which losses each rlhf type has, how many it takes, and their weights."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest

#: The losses of each rlhf type; the other types do not read loss_type. Source: ms-swift 4.6.0 dpo_trainer
#: `dpo_loss`, grpo_trainer `_compute_loss_and_metrics`; trl 0.29 cpo_trainer `cpo_loss`, kto_trainer
#: `kto_loss`.
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
#: Losses of dpo that trl had before 0.29.
_OLDER = ("aot_pair",)


def several(job: Job) -> Iterator[Problem]:
    """Only DPO takes several losses at once. Source: ms-swift >= 3.7 rlhf_args `_process_loss_type`."""
    kinds = job.many("loss_type")
    if len(kinds) > 1 and job.rlhf_type != "dpo":
        message = f"has {len(kinds)} values; only dpo mixes losses, found {job.rlhf_type}"
        yield job.refuse("loss_type", message, "give one")


def weights(job: Job) -> Iterator[Problem]:
    """loss_weights is for DPO and has one weight for each loss.

    Source: ms-swift >= 3.7 rlhf_args `_process_loss_type`, trl dpo_config.
    """
    numbers, kinds = job.many("loss_weights"), job.many("loss_type")
    if not numbers:
        return
    if job.rlhf_type == "dpo":
        if len(numbers) != max(len(kinds), 1):
            names = ", ".join(map(str, kinds)) or "sigmoid, the default"
            message = f"has {len(numbers)} for {max(len(kinds), 1)} losses ({names})"
            yield job.refuse("loss_weights", message, "give one weight per loss, in the same order")
    elif kinds:
        message = f"is only for dpo, found rlhf_type {job.rlhf_type}"
        yield job.refuse("loss_weights", message, "remove loss_weights")


def names(job: Job) -> Iterator[Problem]:
    """loss_type must be one of the type's losses. Otherwise the training fails at its first step.

    LOSSES has the source. ms-swift does not check the name before it has loaded the model.
    """
    known = LOSSES.get(job.rlhf_type, ())
    if not known or not job.has_known_names:
        return
    for kind in job.many("loss_type"):
        if kind not in known and kind not in _OLDER:
            near = closest(str(kind), known, 0.6)
            hint = f"did you mean {near}?" if near else f"these work: {', '.join(known)}"
            yield job.refuse("loss_type", f"{kind} is not a loss of {job.rlhf_type}", hint)


RULES = (several, weights, names)
