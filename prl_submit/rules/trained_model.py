"""Rules on the trained model: its longer positions (rope_scaling), its task, and its quantization."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json

#: ms-swift's own words for a scaling without further values.
_SCALINGS = ("linear", "dynamic", "yarn")


def rope_scaling(job: Job) -> Iterator[Problem]:
    """rope_scaling needs a known kind, and a factor or max_model_len.

    Before 3.7 ms-swift accepts any word, but needs max_length. Releases 3.9.0 to 3.11.2 accept a scaling
    without a factor. Source: ms-swift >= 3.7 model_args `_init_rope_scaling`.
    """
    value = job.get("rope_scaling", None)
    if not value:
        return
    if not job.since("3.7"):
        if job.get("max_length", None) is None:
            yield job.refuse("rope_scaling", "needs max_length", "set max_length")
        return
    is_word = isinstance(value, str) and value.lstrip()[:1] != "{"
    if is_word and value not in _SCALINGS:
        hint = 'these work: linear, dynamic, yarn, or JSON such as {"type": "yarn", "factor": 2}'
        yield job.refuse("rope_scaling", f"{value} is not known", hint)
    elif _lacks_length(job, {"type": value} if is_word else value):
        message = "needs `factor` or `max_model_len`"
        yield job.refuse("rope_scaling", message, "set max_model_len")


def _lacks_length(job: Job, value: Any) -> bool:
    """True if a scaling (a mapping, or JSON text) has no factor, and the job has no max_model_len."""
    if isinstance(value, str):
        try:
            value = decode_json(value)
        except ValueError:
            return False
    if not isinstance(value, dict) or "factor" in value:
        return False
    if job.since("3.9") and not job.since("3.11.3"):
        return False
    kind = value.get("rope_type", value.get("type", "default"))
    if kind == "default" and job.since("3.9"):
        return False
    return job.get("max_model_len", None) is None


def labels(job: Job) -> Iterator[Problem]:
    """Only rlhf types rm and ppo train a classifier; the other trainers need a language model.

    Another model makes them fail at the first step. ms-swift sets the task of reward models itself.
    Source: ms-swift >= 3.0.2 model_meta `get_model_info_meta`.
    """
    chosen, number = job.get("task_type", None), job.get("num_labels", None)
    if job.rlhf_type in ("rm", "ppo") or chosen == "causal_lm":
        return
    if chosen is None:
        if number is not None:
            message = (
                f"makes a classifier of the model, and {job.rlhf_type} trains a language model"
            )
            yield job.refuse("num_labels", message, "remove num_labels")
        return
    if chosen == "seq_cls" and number is None and job.since("3.6"):
        yield job.refuse("task_type", "seq_cls needs num_labels", "remove task_type")
    else:
        message = f"{chosen} is not for {job.rlhf_type}, which trains a language model"
        yield job.refuse("task_type", message, "remove task_type")


#: Quantization method -> the numbers of bits that it has (ms-swift 4.6.0 quant_args
#: `get_quantization_config`, transformers' EetqConfig).
_BITS = {
    "bnb": ("4", "8"),
    "hqq": ("1", "2", "3", "4", "8"),
    "eetq": ("8",),
    "quanto": ("2", "4", "8", "float8"),
}


def quantization(job: Job) -> Iterator[Problem]:
    """quant_method and quant_bits need each other, and each method has its own bits.

    Source: ms-swift 4.6.0 quant_args `get_quantization_config`.
    """
    method, bits = job.get("quant_method", None), job.get("quant_bits", None)
    known = _BITS.get(str(method))
    if known is None:
        if bits is not None and method is None:
            message = "does nothing without quant_method"
            yield job.warn("quant_bits", message, f"quant_method: {', '.join(_BITS)} or fp8")
        return
    if bits is None:
        yield job.refuse("quant_method", f"{method} needs quant_bits", f"one of {', '.join(known)}")
    elif str(bits) not in known:
        message = f"{method} cannot use {bits} bits"
        yield job.refuse("quant_bits", message, f"these work: {', '.join(known)}")


RULES = (rope_scaling, labels, quantization)
