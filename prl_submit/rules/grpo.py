"""Rules on arguments that only GRPO has, and on arguments that GRPO refuses."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.builtin import TURN_SCHEDULERS
from prl_submit.rules.job import Job
from prl_submit.rules.numbers import completion_length


def truncation(job: Job) -> Iterator[Problem]:
    """GRPO accepts two truncation strategies, and `split` is only for pre-training.

    Source: ms-swift >= 3.7 rlhf_args `_init_grpo`; for `split`, sft `_encode_dataset`. Releases 3.3 to 3.6
    accept only `left`.
    """
    strategy = job.get("truncation_strategy", None)
    if job.rlhf_type == "grpo":
        works = (None, "left", "delete") if job.since("3.7") else (None, "left")
        if strategy not in works and job.since("3.3"):
            message = f"GRPO takes {' or '.join(filter(None, works))}, found {strategy}"
            hint = "remove truncation_strategy; left is the default"
            yield job.refuse("truncation_strategy", message, hint)
    elif strategy == "split" and job.rlhf_type != "gkd" and job.since("4.2"):
        message = "split is only for pre-training"
        yield job.refuse("truncation_strategy", message, "these work: delete, left or right")


def cached_dataset(job: Job) -> Iterator[Problem]:
    """GRPO cannot use cached data. Source: ms-swift >= 3.7 rlhf_args `_init_grpo`."""
    for name in ("cached_dataset", "cached_val_dataset"):
        if job.rlhf_type == "grpo" and job.since("3.7") and job.get(name, None):
            hint = "give the data itself: dataset, val_dataset"
            yield job.refuse(name, "is not supported for GRPO", hint)


def soft_overlong(job: Job) -> Iterator[Problem]:
    """The reward soft_overlong needs soft_cache_length, which must be less than the longest completion.

    Source: ms-swift >= 3.3 rlhf_args `_init_grpo`, rewards/orm SoftOverlong.
    """
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


#: Arguments that GRPO's Liger loss refuses: the argument, the value that it accepts, the first release that
#: refuses other values.
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
    """use_liger_kernel excludes several arguments of GRPO. Source: ms-swift 4.6.0 rlhf_args `_check_grpo`."""
    if job.rlhf_type != "grpo" or not job.get("use_liger_kernel", False):
        return
    for name, harmless, version in _NOT_WITH_LIGER:
        value = job.get(name, harmless)
        if value != harmless and job.since(version) and not _in_range(name, value):
            hint = f"remove {name}, or set use_liger_kernel: false"
            yield job.refuse(name, f"{value} cannot be combined with use_liger_kernel", hint)
    level = job.get("importance_sampling_level", "token")
    if level not in ("token", "sequence") and job.since("4.0"):
        message = f"{level} cannot be combined with use_liger_kernel"
        yield job.refuse("importance_sampling_level", message, "these work: token or sequence")


def _in_range(name: str, value: object) -> bool:
    """True for values that ms-swift's comparison accepts: it refuses `> 1` and `< 1.0`, not every other value."""
    if name == "sequence_parallel_size":
        return isinstance(value, int) and value <= 1
    return name == "top_entropy_quantile" and isinstance(value, (int, float)) and value >= 1


def rlsd(job: Job) -> Iterator[Problem]:
    """advantage_reweight rlsd needs rewards, limits two numbers, and excludes several arguments.

    Source: ms-swift >= 4.5 rlhf_args `_check_rlsd`.
    """
    if job.rlhf_type != "grpo" or job.get("advantage_reweight", None) != "rlsd":
        return
    share = job.get("rlsd_lambda", 0.5)
    if not 0 <= share <= 1:
        yield job.refuse("rlsd_lambda", f"must be between 0 and 1, found {share}", "0.5 is usual")
    clip = job.get("rlsd_reweight_clip_range", 0.2)
    if clip < 0:
        message = f"cannot be negative, found {clip}"
        yield job.refuse("rlsd_reweight_clip_range", message, "0.2 is usual")
    if not job.many("reward_funcs"):
        message = "rlsd needs reward_funcs, because the sign of the advantage gives the direction"
        yield job.refuse("advantage_reweight", message, "name a reward function")
    yield from _excluded(job, "advantage_reweight", "rlsd", losses=("real", "fipo"))
    if job.get("off_policy_sequence_mask_delta", None) is not None:
        message = "cannot be combined with advantage_reweight rlsd"
        yield job.refuse(
            "off_policy_sequence_mask_delta", message, "remove off_policy_sequence_mask_delta"
        )


def sdar(job: Job) -> Iterator[Problem]:
    """sdar_loss_coef above 0 limits sdar_gate_beta and excludes several arguments.

    Source: ms-swift >= 4.5 rlhf_args `_check_sdar`.
    """
    if job.rlhf_type != "grpo" or job.get("sdar_loss_coef", 0) <= 0:
        return
    beta = job.get("sdar_gate_beta", 5.0)
    if beta <= 0:
        yield job.refuse("sdar_gate_beta", f"must be above 0, found {beta}", "5 is usual")
    yield from _excluded(job, "sdar_loss_coef", "above 0")
    if job.get("advantage_reweight", None) == "rlsd":
        message = "cannot be combined with advantage_reweight rlsd"
        yield job.refuse("sdar_loss_coef", message, "keep one of the two")


def _excluded(job: Job, name: str, word: str, losses: tuple[str, ...] = ()) -> Iterator[Problem]:
    """The arguments that both kinds of self-distillation exclude.

    `name` and `word`: the argument that switches the self-distillation on, and its value, for messages.
    """
    if job.get("use_liger_kernel", False):
        hint = "set use_liger_kernel: false"
        yield job.refuse(name, f"{word} cannot be combined with use_liger_kernel", hint)
    loss = next(iter(job.many("loss_type")), None)
    if loss in losses:
        yield job.refuse(
            name, f"{word} cannot be combined with loss_type {loss}", "remove loss_type"
        )
    if job.get("teacher_model_server", None) is not None:
        hint = "teacher_model names a local teacher"
        yield job.refuse(name, f"{word} cannot be combined with teacher_model_server", hint)


def scheduler(job: Job) -> Iterator[Problem]:
    """multi_turn_scheduler must be one of ms-swift's own. `prl_submit.inputs.plugins` checks those of plugins.

    Source: ms-swift >= 3.8 rollout_mixin `_prepare_scheduler`.
    """
    name = job.get("multi_turn_scheduler", None)
    if job.rlhf_type != "grpo" or name is None or name in TURN_SCHEDULERS or job.may_know_more:
        return
    if not job.has_known_names or not job.since("3.8"):
        return
    message = f"{name} is not known, and the job has no plugin that could provide it"
    hint = f"known: {', '.join(TURN_SCHEDULERS)}; a plugin in external_plugins can provide others"
    yield job.refuse("multi_turn_scheduler", message, hint)


RULES = (truncation, cached_dataset, soft_overlong, liger, rlsd, sdar, scheduler)
