"""Rules on the content of arguments that hold JSON. `prl_submit.swift.json_text` checks that it is JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json

#: The keys of accelerator_config (accelerate 1.15 AcceleratorConfig, which transformers makes from it).
_ACCELERATOR = (
    "split_batches", "dispatch_batches", "even_batches", "use_seedable_sampler", "non_blocking",
    "gradient_accumulation_kwargs", "use_configured_state",
)  # fmt: skip


def mrl_dims(job: Job) -> Iterator[Problem]:
    """mrl_dims maps dimensions to weights. Source: ms-swift >= 4.4 trainers/arguments `__post_init__`."""
    for key, weight in _mapping(job, "mrl_dims").items():
        if not _is_number(key, whole=True) or not _is_number(weight):
            message = f"must map dimensions to weights, found {key!r}: {weight!r}"
            yield job.refuse("mrl_dims", message, 'such as {"64": 1.0, "128": 1.0}')
            return


def accelerator(job: Job) -> Iterator[Problem]:
    """accelerator_config has a fixed set of keys. Source: accelerate AcceleratorConfig."""
    for key in _mapping(job, "accelerator_config"):
        if key not in _ACCELERATOR:
            hint = f"these work: {', '.join(_ACCELERATOR)}"
            yield job.refuse("accelerator_config", f"has no key {key}", hint)


def _mapping(job: Job, name: str) -> dict[str, Any]:
    """The mapping that an argument holds, also as JSON text. Empty if it holds anything else."""
    value = job.get(name, None)
    if isinstance(value, str):
        try:
            value = decode_json(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _is_number(value: Any, whole: bool = False) -> bool:
    """True if Python can make a number from the value; `whole`: a whole number."""
    try:
        int(value) if whole else float(value)
    except (TypeError, ValueError):
        return False
    return True


RULES = (mrl_dims, accelerator)
