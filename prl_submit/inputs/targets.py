"""Check that target_modules and target_regex name modules of the model, if the model is on this machine."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.model_types import read_folder
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json, read_regular

#: The largest header with the names of tensors that is read. A model with 100,000 tensors has 10 MB.
MAX_BYTES = 50_000_000
_TUNERS = ("lora", "longlora", "adalora", "vera", "boft", "fourierft", "bone", "lora_llm")
#: Words that ms-swift replaces by modules' names (ms-swift 4.6.0 pipelines/train/tuner
#: `get_target_modules`).
_WORDS = ("all-linear", "all-embedding", "all-router", "auto")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """At least one of target_modules must be a module of the model. Source: peft 0.20 tuners_utils `inject_adapter`.

    A name means every module whose whole name, or the part after a dot, is equal to it. lm_head is
    accepted in any case, because a model may share its weights with another module and then the file has
    none for lm_head.
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

        linear = sorted(end for end in ends if end.endswith(("proj", "head")))
        near = closest(names[0], sorted(ends), 0.6)
        hint = f"did you mean {near}?" if near else f"such as all-linear, {', '.join(linear[:8])}"
        message = f"none of {', '.join(names)} is a module of the model"
        if len(names) == 1:
            message = f"{names[0]} is not a module of the model"
        yield job.refuse("target_modules", message, hint)


def _is_regular(job: Job, pattern: str) -> Iterator[Problem]:
    """target_regex must be a regular expression. Source: peft 0.20 tuners_utils `check_target_module_exists`."""
    try:
        re.compile(pattern)
    except (re.error, RecursionError) as error:
        yield job.refuse(
            "target_regex", f"is not a regular expression: {error}", r"such as .*\.q_proj"
        )


def read_modules(folder: str) -> set[str]:
    """The names of a model's modules with weights, from its safetensors files. Empty if they cannot be read."""
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
    """The header of a safetensors file: eight bytes with a length, then JSON. Raises OSError, ValueError."""
    start = read_regular(path, 8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > MAX_BYTES:
        raise ValueError("is not a safetensors file")
    found = decode_json(read_regular(path, 8 + length)[8:])
    if not isinstance(found, dict):
        raise ValueError("is not a safetensors file")
    return found
