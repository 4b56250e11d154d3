"""The models beside the trained one: reference, rewards, adapters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job

#: ms-swift 4.6.0 rlhf_args `__post_init__`: full trainings of these compare with a reference.
REFERRING = ("dpo", "kto", "ppo", "grpo")


def unloaded(swift: dict[str, Any]) -> set[str]:
    """Which of the models beside the trained one ms-swift never loads.

    ms-swift >= 3.2 rlhf_args `__post_init__`: grpo with beta 0 forgets its ref_model. ms-swift 4.6.0
    pipelines/train/rlhf `_prepare_model_tokenizer`: only gkd and grpo have a teacher.
    """
    kind = swift.get("rlhf_type", "dpo")
    names = set()
    if kind == "grpo" and swift.get("beta") == 0:
        names.add("ref_model")
    if kind not in ("gkd", "grpo"):
        names.add("teacher_model")
    return names


def reference(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.0 rlhf_args `__post_init__`: ref_model, for full trainings of some types."""
    if job.get("ref_model", None) is None:
        return
    kind = job.rlhf_type
    if kind == "grpo" and job.get("beta", None) == 0:
        yield job.warn("ref_model", "does nothing with beta 0", "leave it out")
    elif kind not in REFERRING:
        yield job.refuse("ref_model", f"is not used by {kind}, which refuses it", "leave it out")
    elif job.tuner_type != "full":
        yield job.refuse(
            "ref_model",
            f"is refused with {job.tuner_argument} {job.tuner_type}: the model without its adapter is the reference",
            f"leave it out, or set {job.tuner_argument}: full; ref_adapters names another adapter",
        )


def reference_adapters(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.8 pipelines/train/rlhf `prepare_model`: one, for dpo, kto and grpo."""
    names = job.many("ref_adapters")
    if not names or not job.since("3.8"):
        return
    if job.rlhf_type not in ("dpo", "kto", "grpo"):
        message = f"is for dpo, kto and grpo, found rlhf_type {job.rlhf_type}"
        yield job.refuse("ref_adapters", message, "leave it out")
    elif len(names) > 1:
        yield job.refuse("ref_adapters", f"takes one adapter, found {len(names)}", "keep one")


def rewarding(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 pipelines/train/rlhf: PPO has one reward model, GRPO may have several.

    The other types load it and (since 3.5) hand it to a trainer that does not take it.
    """
    found = job.many("reward_model")
    if job.rlhf_type == "ppo" and len(found) != 1:
        message = "ppo needs a reward_model" if not found else f"is one for ppo, found {len(found)}"
        key = "swift.reward_model" if found else "swift.rlhf_type"
        yield job.problem(key, message, "a sequence classifier, as rlhf_type rm trains one")
    elif found and job.rlhf_type not in ("ppo", "grpo") and job.since("3.5"):
        message = f"is for ppo and grpo, found rlhf_type {job.rlhf_type}"
        yield job.refuse("reward_model", message, "leave it out")


def one_each(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.5 pipelines/train/rlhf `_prepare_model_tokenizer`: as many as reward models."""
    count = len(job.many("reward_model"))
    if not count:
        return
    for name in ("reward_model_type", "reward_template", "reward_model_revision"):
        values = job.many(name)
        if values and len(values) != count:
            message = f"has {len(values)} for {count} reward_model"
            yield job.refuse(name, message, "give one for each, in their order, or leave it out")


def adapters(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 pipelines/train/tuner `prepare_model`: training goes on from one adapter."""
    names = job.many("adapters")
    if len(names) > 1 and job.tuner_type != "full":
        message = f"training goes on from one, found {len(names)}"
        yield job.refuse("adapters", message, "keep one, or merge them first")


RULES = (reference, reference_adapters, rewarding, one_each, adapters)
