"""What GRPO alone can do and cannot."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.builtin import SCHEDULERS
from prl_submit.rules.job import Job
from prl_submit.rules.numbers import completion_length


def truncation(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 rlhf_args `_init_grpo`; `split` is for pre-training (sft `_encode_dataset`).

    3.3 to 3.6 take left alone.
    """
    strategy = job.get("truncation_strategy", None)
    if job.rlhf_type == "grpo":
        works = (None, "left", "delete") if job.since("3.7") else (None, "left")
        if strategy not in works and job.since("3.3"):
            message = f"GRPO takes {' or '.join(filter(None, works))}, found {strategy}"
            hint = "leave it out: left is the default"
            yield job.refuse("truncation_strategy", message, hint)
    elif strategy == "split" and job.rlhf_type != "gkd" and job.since("4.2"):
        message = "split is for pre-training alone"
        yield job.refuse("truncation_strategy", message, "these work: delete, left or right")


def cached_dataset(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 rlhf_args `_init_grpo`."""
    for name in ("cached_dataset", "cached_val_dataset"):
        if job.rlhf_type == "grpo" and job.since("3.7") and job.get(name, None):
            hint = "give the data itself: dataset, val_dataset"
            yield job.refuse(name, "is not supported for GRPO", hint)


def soft_overlong(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.3 rlhf_args `_init_grpo`, rewards/orm SoftOverlong."""
    if job.rlhf_type != "grpo" or "soft_overlong" not in job.many("reward_funcs"):
        return
    cache = job.get("soft_cache_length", None)
    if cache is None:
        hint = "such as soft_cache_length: 128, less than max_completion_length"
        yield job.refuse("reward_funcs", "soft_overlong needs soft_cache_length", hint)
        return
    name = "soft_max_length" if job.get("soft_max_length", None) is not None else None
    longest = job.get(name, 0) if name else completion_length(job)
    if cache >= longest:
        yield job.refuse(
            "soft_cache_length",
            f"{cache} is not less than {name or 'max_completion_length'} {longest}",
            f"use less than {longest}",
        )


#: What GRPO's Liger loss cannot do: argument, its value where it does no harm, since when refused.
_NOT_WITH_LIGER = (
    ("delta", None, "3.5"),
    ("sequence_parallel_size", 1, "3.5.3"),
    ("padding_free", False, "3.6"),
    ("top_entropy_quantile", 1.0, "3.7"),
    ("log_entropy", False, "3.7"),
    ("off_policy_sequence_mask_delta", None, "4.0"),
    ("advantage_estimator", "grpo", "3.10"),
)


def liger(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 rlhf_args `_check_grpo`: what use_liger_kernel excludes."""
    if job.rlhf_type != "grpo" or not job.get("use_liger_kernel", False):
        return
    hint = "leave it out, or set use_liger_kernel: false"
    for name, harmless, version in _NOT_WITH_LIGER:
        value = job.get(name, harmless)
        if value != harmless and job.since(version) and not _in_range(name, value):
            yield job.refuse(name, f"{value} does not go with use_liger_kernel", hint)
    level = job.get("importance_sampling_level", "token")
    if level not in ("token", "sequence") and job.since("4.0"):
        message = f"{level} does not go with use_liger_kernel"
        yield job.refuse("importance_sampling_level", message, "these work: token or sequence")


def _in_range(name: str, value: object) -> bool:
    """ms-swift asks for `> 1` and `< 1.0`, not for another value."""
    if name == "sequence_parallel_size":
        return isinstance(value, int) and value <= 1
    return name == "top_entropy_quantile" and isinstance(value, (int, float)) and value >= 1


def rlsd(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.5 rlhf_args `_check_rlsd`: advantage_reweight rlsd."""
    if job.rlhf_type != "grpo" or job.get("advantage_reweight", None) != "rlsd":
        return
    share = job.get("rlsd_lambda", 0.5)
    if not 0 <= share <= 1:
        yield job.refuse("rlsd_lambda", f"lies between 0 and 1, found {share}", "0.5 is usual")
    clip = job.get("rlsd_reweight_clip_range", 0.2)
    if clip < 0:
        message = f"cannot be negative, found {clip}"
        yield job.refuse("rlsd_reweight_clip_range", message, "0.2 is usual")
    if not job.many("reward_funcs"):
        message = "rlsd needs reward_funcs: the sign of the advantage gives the direction"
        yield job.refuse("advantage_reweight", message, "name a reward function")
    yield from _excluded(job, "advantage_reweight", "rlsd", losses=("real", "fipo"))
    if job.get("off_policy_sequence_mask_delta", None) is not None:
        message = "does not go with advantage_reweight rlsd"
        yield job.refuse("off_policy_sequence_mask_delta", message, "leave it out")


def sdar(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.5 rlhf_args `_check_sdar`: sdar_loss_coef above 0."""
    if job.rlhf_type != "grpo" or job.get("sdar_loss_coef", 0) <= 0:
        return
    beta = job.get("sdar_gate_beta", 5.0)
    if beta <= 0:
        yield job.refuse("sdar_gate_beta", f"must be above 0, found {beta}", "5 is usual")
    yield from _excluded(job, "sdar_loss_coef", "above 0")
    if job.get("advantage_reweight", None) == "rlsd":
        message = "does not go with advantage_reweight rlsd"
        yield job.refuse("sdar_loss_coef", message, "pick one of the two")


def _excluded(job: Job, name: str, word: str, losses: tuple[str, ...] = ()) -> Iterator[Problem]:
    """What both kinds of self-distillation exclude."""
    if job.get("use_liger_kernel", False):
        hint = "set use_liger_kernel: false"
        yield job.refuse(name, f"{word} does not go with use_liger_kernel", hint)
    loss = next(iter(job.many("loss_type")), None)
    if loss in losses:
        yield job.refuse(name, f"{word} does not go with loss_type {loss}", "leave loss_type out")
    if job.get("teacher_model_server", None) is not None:
        hint = "teacher_model names a local teacher"
        yield job.refuse(name, f"{word} does not go with teacher_model_server", hint)


def scheduler(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.8 rollout_mixin `_prepare_scheduler`: known, or from a plugin (inputs)."""
    name = job.get("multi_turn_scheduler", None)
    if job.rlhf_type != "grpo" or name is None or name in SCHEDULERS or job.may_know_more:
        return
    if not job.has_known_names or not job.since("3.8"):
        return
    message = f"{name} is not known, and no plugin is given that could provide it"
    hint = f"known: {', '.join(SCHEDULERS)}; external_plugins provides others"
    yield job.refuse("multi_turn_scheduler", message, hint)


RULES = (truncation, cached_dataset, soft_overlong, liger, rlsd, sdar, scheduler)
