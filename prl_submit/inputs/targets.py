"""target_modules and target_regex against the weights of a local model."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.model_types import read_folder
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json, read_regular

#: A header of tensors' names; that of a model with 100,000 tensors has 10 MB.
MAX_BYTES = 50_000_000
_TUNERS = ("lora", "longlora", "adalora", "vera", "boft", "fourierft", "bone", "lora_llm")
#: ms-swift 4.6.0 pipelines/train/tuner `get_target_modules` finds these itself.
_WORDS = ("all-linear", "all-embedding", "all-router", "auto")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Source: peft 0.20 tuners_utils `inject_adapter`: not one module fits.

    A module is meant by its whole name or by the end of it, after a dot; modules of which the model
    ties the weights to others have none of their own in the file.
    """
    names = [str(name) for name in job.many("target_modules")]
    pattern = job.get("target_regex", None)
    if job.tuner_type not in _TUNERS or not (names or pattern) or job.many("adapters"):
        return
    if pattern is not None:
        yield from _is_regular(job, str(pattern))
        return
    if any(name in _WORDS for name in names) or job.get("target_parameters", None):
        return
    folder = read_folder(job, str(job.get("model", "")), workdir)
    modules = read_modules(folder.path) if folder else None
    if not modules:
        return
    ends = {part for module in modules for part in module.split(".")} | {"lm_head"}
    if not any(name.rpartition(".")[2] in ends for name in names):
        from prl_submit.spec.suggest import closest

        linear = sorted(end for end in ends if end.endswith(("_proj", "proj", "head")))
        near = closest(names[0], sorted(ends), 0.6)
        hint = f"did you mean {near}?" if near else f"such as all-linear, {', '.join(linear[:8])}"
        what = names[0] if len(names) == 1 else f"none of {', '.join(names)}"
        message = (
            f"{what} is no module of the model"
            if len(names) == 1
            else f"{what} is a module of the model"
        )
        yield job.refuse("target_modules", message, hint)


def _is_regular(job: Job, pattern: str) -> Iterator[Problem]:
    """Source: peft 0.20 tuners_utils `check_target_module_exists` compiles it."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError) as error:
        yield job.refuse(
            "target_regex", f"is no regular expression: {error}", r"such as .*\.q_proj"
        )


def read_modules(folder: str) -> set[str]:
    """The names of a model's modules that have weights, from its safetensors; empty where unknown."""
    try:
        index = os.path.join(folder, "model.safetensors.index.json")
        if os.path.isfile(index):
            tensors = decode_json(read_regular(index, MAX_BYTES))["weight_map"]
        else:
            tensors = _header(os.path.join(folder, "model.safetensors"))
        return {name.rpartition(".")[0] for name in tensors if name.endswith(".weight")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return set()


def _header(path: str) -> dict[str, object]:
    """safetensors: eight bytes of length, then JSON."""
    start = read_regular(path, 8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > MAX_BYTES:
        raise ValueError("is no safetensors file")
    found = decode_json(read_regular(path, 8 + length)[8:])
    if not isinstance(found, dict):
        raise ValueError("is no safetensors file")
    return found
