"""The trained model itself: named, and loaded in a way that there is."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json


def rope_scaling(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 model_args `_init_rope_scaling`: a known word, and a length to scale to.

    Before, any word, and max_length beside it. 3.9.0 to 3.11.2 took a scaling without its factor.
    """
    value = job.get("rope_scaling", None)
    if not value:
        return
    if not job.since("3.7"):
        if job.get("max_length", None) is None:
            yield job.refuse("rope_scaling", "needs max_length", "set max_length")
        return
    if isinstance(value, str) and value.lstrip()[:1] != "{":
        if value not in ("linear", "dynamic", "yarn"):
            hint = (
                'these work: linear, dynamic, yarn, or JSON such as {"type": "yarn", "factor": 2}'
            )
            yield job.refuse("rope_scaling", f"{value} is not known", hint)
            return
        value = {"type": value}
    elif isinstance(value, str):
        try:
            value = decode_json(value)
        except ValueError:
            return
    if not isinstance(value, dict) or "factor" in value:
        return
    if job.since("3.9") and not job.since("3.11.3"):
        return
    kind = value.get("rope_type", value.get("type", "default"))
    if (kind != "default" or not job.since("3.9")) and job.get("max_model_len", None) is None:
        message = "needs factor or max_model_len"
        yield job.refuse("rope_scaling", message, "set max_model_len")


def labels(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.0.2 model_meta `get_model_info_meta`; reward models set it themselves.

    The others want a language model: their trainers fail at the first step of anything else.
    """
    chosen, number = job.get("task_type", None), job.get("num_labels", None)
    if job.rlhf_type in ("rm", "ppo") or chosen == "causal_lm":
        return
    if chosen is None:
        if number is not None:
            message = (
                f"makes a classifier of the model, and {job.rlhf_type} trains a language model"
            )
            yield job.refuse("num_labels", message, "leave it out")
        return
    if chosen == "seq_cls" and number is None and job.since("3.6"):
        yield job.refuse("task_type", "seq_cls needs num_labels", "leave task_type out")
    else:
        message = f"{chosen} is not for {job.rlhf_type}, which trains a language model"
        yield job.refuse("task_type", message, "leave it out")


#: ms-swift 4.6.0 quant_args `get_quantization_config`, transformers' EetqConfig: what bits each has.
_BITS = {
    "bnb": ("4", "8"),
    "hqq": ("1", "2", "3", "4", "8"),
    "eetq": ("8",),
    "quanto": ("2", "4", "8", "float8"),
}


def quantization(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 quant_args `get_quantization_config`: a method and its bits."""
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
        message = f"{method} has no {bits} bits"
        yield job.refuse("quant_bits", message, f"these work: {', '.join(known)}")


RULES = (rope_scaling, labels, quantization)
