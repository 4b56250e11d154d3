"""Rules on the models beside the trained one: the reference model, reward models and adapters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job

#: The rlhf types whose full trainings use a reference model (ms-swift 4.6.0 rlhf_args `__post_init__`).
REFERRING = ("dpo", "kto", "ppo", "grpo")


def unloaded(swift: dict[str, Any]) -> set[str]:
    """The arguments of models that ms-swift never loads with these values of `swift:`.

    grpo with beta 0 ignores ref_model (ms-swift >= 3.2 rlhf_args `__post_init__`). Only gkd and grpo have a
    teacher (ms-swift 4.6.0 pipelines/train/rlhf `_prepare_model_tokenizer`).
    """
    kind = swift.get("rlhf_type", "dpo")
    names = set()
    if kind == "grpo" and swift.get("beta") == 0:
        names.add("ref_model")
    if kind not in ("gkd", "grpo"):
        names.add("teacher_model")
    return names


def reference(job: Job) -> Iterator[Problem]:
    """ref_model is only for full trainings of some types. Source: ms-swift >= 3.0 rlhf_args `__post_init__`."""
    if job.get("ref_model", None) is None:
        return
    kind = job.rlhf_type
    if kind == "grpo" and job.get("beta", None) == 0:
        yield job.warn("ref_model", "does nothing with beta 0", "remove ref_model")
    elif kind not in REFERRING:
        yield job.refuse("ref_model", f"is refused with rlhf_type {kind}", "remove ref_model")
    elif job.tuner_type != "full":
        yield job.refuse(
            "ref_model",
            f"is refused with {job.tuner_argument} {job.tuner_type}, because the model without its adapter is the reference",
            f"remove ref_model, or set {job.tuner_argument}: full; ref_adapters names a reference adapter",
        )


def reference_adapters(job: Job) -> Iterator[Problem]:
    """ref_adapters takes one adapter, for dpo, kto and grpo.

    Source: ms-swift >= 3.8 pipelines/train/rlhf `prepare_model`.
    """
    names = job.many("ref_adapters")
    if not names or not job.since("3.8"):
        return
    if job.rlhf_type not in ("dpo", "kto", "grpo"):
        message = f"is for dpo, kto and grpo, found rlhf_type {job.rlhf_type}"
        yield job.refuse("ref_adapters", message, "remove ref_adapters")
    elif len(names) > 1:
        yield job.refuse("ref_adapters", f"takes one adapter, found {len(names)}", "keep one")


def rewarding(job: Job) -> Iterator[Problem]:
    """PPO needs one reward model, and GRPO may have several. Other types have none.

    With another type ms-swift loads the model and (since 3.5) passes it to a trainer that refuses it.
    Source: ms-swift 4.6.0 pipelines/train/rlhf.
    """
    found = job.many("reward_model")
    if job.rlhf_type == "ppo" and len(found) != 1:
        message = f"ppo takes one, found {len(found)}" if found else "ppo needs a reward_model"
        key = "swift.reward_model" if found else "swift.rlhf_type"
        hint = "reward_model names a sequence classifier, such as rlhf_type rm trains"
        yield job.problem(key, message, hint)
    elif found and job.rlhf_type not in ("ppo", "grpo") and job.since("3.5"):
        message = f"is for ppo and grpo, found rlhf_type {job.rlhf_type}"
        yield job.refuse("reward_model", message, "remove reward_model")


def one_each(job: Job) -> Iterator[Problem]:
    """Arguments that describe reward models need one value for each.

    Source: ms-swift >= 3.5 pipelines/train/rlhf `_prepare_model_tokenizer`.
    """
    count = len(job.many("reward_model"))
    if not count:
        return
    for name in ("reward_model_type", "reward_template", "reward_model_revision"):
        values = job.many(name)
        if values and len(values) != count:
            message = f"has {len(values)} for {count} reward_model"
            yield job.refuse(name, message, f"give one for each, in their order, or remove {name}")


def adapters(job: Job) -> Iterator[Problem]:
    """A training can continue from one adapter only.

    Source: ms-swift 4.6.0 pipelines/train/tuner `prepare_model`.
    """
    names = job.many("adapters")
    if len(names) > 1 and job.tuner_type != "full":
        message = f"a training can continue from one adapter, found {len(names)}"
        yield job.refuse("adapters", message, "keep one, or merge the adapters first")


RULES = (reference, reference_adapters, rewarding, one_each, adapters)
