"""What is in arguments whose text is JSON; that it is JSON is `prl_submit.swift.values`' matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json

#: accelerate 1.15 AcceleratorConfig, which transformers makes of accelerator_config.
_ACCELERATOR = (
    "split_batches", "dispatch_batches", "even_batches", "use_seedable_sampler", "non_blocking",
    "gradient_accumulation_kwargs", "use_configured_state",
)  # fmt: skip


def mrl_dims(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.4 trainers/arguments `__post_init__`: dimension -> weight."""
    value = _parsed(job.get("mrl_dims", None))
    for key, weight in value.items() if isinstance(value, dict) else ():
        if not _is_number(key, whole=True) or not _is_number(weight):
            message = f"maps dimensions to weights, found {key!r}: {weight!r}"
            yield job.refuse("mrl_dims", message, 'such as {"64": 1.0, "128": 1.0}')
            return


def accelerator(job: Job) -> Iterator[Problem]:
    """Source: accelerate AcceleratorConfig: its own keys alone."""
    value = _parsed(job.get("accelerator_config", None))
    for key in value if isinstance(value, dict) else ():
        if key not in _ACCELERATOR:
            hint = f"these work: {', '.join(_ACCELERATOR)}"
            yield job.refuse("accelerator_config", f"has no {key}", hint)


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return decode_json(value)
    except ValueError:
        return None


def _is_number(value: Any, whole: bool = False) -> bool:
    try:
        int(value) if whole else float(value)
    except (TypeError, ValueError):
        return False
    return True


RULES = (mrl_dims, accelerator)
