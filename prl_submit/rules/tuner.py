"""Rules on what is trained (all weights or an adapter), and on packing, which needs a flash attention."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.builtin import TUNERS
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest

#: Values of attn_impl that allow packing and padding_free (ms-swift 4.6.0 sft_args `_check_padding_free`).
_FLASH = ("flash_attn", "flash_attention_2", "flash_attention_3", "flash_attention_4")
#: Arguments that describe a LoRA and do nothing in a full training (ms-swift 4.6.0 pipelines/train/tuner).
_LORA = (
    "lora_rank", "lora_alpha", "lora_dropout", "target_modules", "use_dora", "use_rslora",
    "lora_bias", "lora_dtype", "target_regex", "target_parameters", "modules_to_save",
    "init_weights",
)  # fmt: skip
#: Values of init_weights: those of peft 0.20 LoraConfig `init_lora_weights`, and ms-swift's words for true,
#: false and LoRA-GA.
_INITS = (
    "true", "false", "gaussian", "eva", "olora", "pissa", "corda", "loftq", "orthogonal", "lora-ga",
    "lora_ga",
)  # fmt: skip


def lora(job: Job) -> Iterator[Problem]:
    """ms-swift silently ignores LoRA's arguments in a full training."""
    if job.tuner_type != "full":
        return
    for name in _LORA:
        if job.get(name, None) is not None:
            hint = f"remove {name}, or set {job.tuner_argument}: lora"
            yield job.warn(name, f"does nothing with {job.tuner_argument} full", hint)


def known(job: Job) -> Iterator[Problem]:
    """The tuner must be a known one. `prl_submit.inputs.plugins` checks those of plugins.

    Source: ms-swift 4.6.0 pipelines/train/tuner `prepare_adapter`.
    """
    chosen = job.tuner_type
    if chosen in TUNERS or job.may_know_more or not job.has_known_names:
        return
    near = closest(chosen, TUNERS, 0.6)
    hint = f"did you mean {near}?" if near else f"these work: {', '.join(TUNERS)}"
    yield job.refuse(job.tuner_argument, f"{chosen} is not known", hint)


def lora_numbers(job: Job) -> Iterator[Problem]:
    """A LoRA needs a rank of at least 1, a dropout up to 1, and a known initialisation.

    Source: peft 0.20 LoraLayer `update_layer`, `reset_lora_parameters`; torch's Dropout.
    """
    if job.tuner_type not in ("lora", "longlora") or job.many("adapters"):
        return
    rank = job.get("lora_rank", 8)
    if rank < 1:
        yield job.refuse("lora_rank", f"must be at least 1, found {rank}", "8 is usual")
    dropout = job.get("lora_dropout", 0.05)
    if dropout > 1:
        message = f"must be a share between 0 and 1, found {dropout}"
        yield job.refuse("lora_dropout", message, "0.05 is usual")
    init = str(job.get("init_weights", "true"))
    if init.lower() not in _INITS and not init.startswith("pissa_niter_"):
        yield job.refuse("init_weights", f"{init} is not known", f"such as {', '.join(_INITS[:6])}")


def lisa(job: Job) -> Iterator[Problem]:
    """LISA works only in a full training, whose layers it switches on and off.

    Source: ms-swift >= 3.0 callbacks/lisa.
    """
    if job.get("lisa_activated_layers", 0) > 0 and job.tuner_type != "full":
        message = f"is only for {job.tuner_argument} full, found {job.tuner_type}"
        hint = f"remove lisa_activated_layers, or set {job.tuner_argument}: full"
        yield job.refuse("lisa_activated_layers", message, hint)


def padding_free(job: Job) -> Iterator[Problem]:
    """`packing` and `padding_free` need a flash attention, and only some rlhf types have them.

    Source: ms-swift >= 3.7 sft_args, >= 3.8 rlhf_args `_check_padding_free`. Releases 3.4 to 3.6
    (train_args `__post_init__`) accept only flash_attn.
    """
    used = [name for name in ("packing", "padding_free") if job.get(name, False)]
    if not used:
        return
    name = used[0]
    attention = job.get("attn_impl", None)
    works = _FLASH if job.since("3.7") else _FLASH[:1]
    if attention not in works and job.since("3.4"):
        found = attention or "none set"
        message = f"needs a flash attention, found attn_impl {found}"
        yield job.refuse(name, message, f"attn_impl: {_FLASH[0]}")
    elif job.rlhf_type not in ("grpo", "dpo", "kto", "gkd") and job.since("3.8"):
        message = f"is only for grpo, dpo, kto and gkd, found rlhf_type {job.rlhf_type}"
        yield job.refuse(name, message, f"remove {name}")


RULES = (lora, known, lora_numbers, lisa, padding_free)
