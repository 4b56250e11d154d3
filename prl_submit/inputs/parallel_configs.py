"""Check of the configurations of DeepSpeed and FSDP: they exist, are JSON, and agree with the arguments."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.rules.batch import accumulation
from prl_submit.rules.distributed import DEEPSPEED, FSDP
from prl_submit.rules.job import Job
from prl_submit.spec.suggest import closest
from prl_submit.system.reading import decode_json, read_regular

MAX_BYTES = 4_000_000
_PRESETS = {"deepspeed": DEEPSPEED, "teacher_deepspeed": DEEPSPEED, "fsdp": FSDP}


class UnusableError(Exception):
    """A configuration that cannot be used. The text says why."""


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Problems with the configurations in deepspeed, teacher_deepspeed and fsdp.

    Source: ms-swift 4.6.0 sft_args `_init_deepspeed`, `_init_fsdp`, rlhf_args `_init_teacher_deepspeed`.
    """
    for name, presets in _PRESETS.items():
        value = job.get(name, None)
        if not value or value in presets or (name == "fsdp" and not job.since("3.12")):
            continue
        if isinstance(value, str) and made_by_setup(job, resolve(value, workdir), workdir):
            continue
        yield from _configuration(job, name, value, workdir)


def _configuration(job: Job, name: str, value: Any, workdir: str) -> Iterator[Problem]:
    """Problems with one configuration that is not a preset."""
    try:
        settings = read_settings(value, workdir)
    except FileNotFoundError:
        # local_files reports a .json file under `deepspeed` that is missing.
        if name != "deepspeed" or not str(value).endswith(".json"):
            yield unknown(job, name, str(value), _PRESETS[name])
        return
    except UnusableError as error:
        yield job.refuse(name, f"{value}: {error}", "correct the file")
        return
    if name == "deepspeed":
        yield from agrees(job, settings)
    elif name == "fsdp":
        yield from saves_whole(job, settings)


def read_settings(value: Any, workdir: str) -> dict[str, Any]:
    """A configuration as data. `value` is a mapping, JSON text, or the name of a file.

    Raises FileNotFoundError, and UnusableError if it cannot be read or is not a mapping.
    """
    if isinstance(value, dict):
        return value
    text = str(value)
    if text.lstrip()[:1] != "{":
        path = resolve(text, workdir)
        if not os.path.isfile(path):
            raise FileNotFoundError(path)
        try:
            text = read_regular(path, MAX_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableError(f"cannot be read: {error}") from None
    try:
        settings = decode_json(text)
    except ValueError as error:
        raise UnusableError(f"is not JSON: {error}") from None
    if not isinstance(settings, dict) or not settings:
        raise UnusableError("is not a mapping, or is an empty one")
    return settings


def unknown(job: Job, name: str, value: str, presets: tuple[str, ...]) -> Problem:
    """The problem of a value that is neither a preset nor a file. ms-swift would read it as JSON and stop."""
    near = closest(value, presets, 0.6)
    hint = f"did you mean {near}?" if near else f"presets: {', '.join(presets)}"
    return job.refuse(name, f"{value} is neither a preset nor a file here", hint)


def agrees(job: Job, settings: dict[str, Any]) -> Iterator[Problem]:
    """DeepSpeed's configuration needs the section of ZeRO, and its batch sizes must equal the arguments.

    Source: accelerate 1.15 accelerator `_prepare_deepspeed` for the section; transformers 5.19
    integrations/deepspeed `trainer_config_process` for the batch sizes.
    """
    if "zero_optimization" not in settings:
        hint = 'such as {"zero_optimization": {"stage": 2}}'
        yield job.refuse("deepspeed", "has no zero_optimization", hint)
    for key, own, where in _batch_sizes(job):
        value = settings.get(key, "auto")
        if value not in ("auto", own):
            message = f"{key} {value} in the configuration is not {where}"
            yield job.refuse("deepspeed", message, f'write "{key}": "auto"')


def _batch_sizes(job: Job) -> Iterator[tuple[str, int, str]]:
    """DeepSpeed's keys, what they must be, and what that is in words. Last is what needs the number of processes."""
    device = job.get("per_device_train_batch_size", 1)
    yield "train_micro_batch_size_per_gpu", device, f"per_device_train_batch_size {device}"
    steps = accumulation(job)
    yield "gradient_accumulation_steps", steps, f"gradient_accumulation_steps {steps}"
    batch = device * steps * job.world
    yield "train_batch_size", batch, f"the batch {batch}"


def saves_whole(job: Job, settings: dict[str, Any]) -> Iterator[Problem]:
    """save_only_model needs whole weights from FSDP, and FSDP's options must be known.

    Source: ms-swift >= 3.12 sft_args `_check_fsdp2_compatibility`, transformers `_process_fsdp_args`.
    """
    config = settings.get("fsdp_config", {})
    kind = config.get("state_dict_type", "SHARDED_STATE_DICT") if isinstance(config, dict) else ""
    if job.get("save_only_model", False) and "SHARDED" in str(kind).upper():
        message = f"cannot be combined with fsdp's state_dict_type {kind}"
        hint = "set save_only_model: false, or state_dict_type: FULL_STATE_DICT"
        yield job.refuse("save_only_model", message, hint)
    known = ("full_shard", "shard_grad_op", "auto_wrap", "offload")
    options = settings.get("fsdp", "")
    words = options.split() if isinstance(options, str) else []
    for word in words:
        if word not in known:
            hint = f"these work: {', '.join(known)}"
            yield job.refuse("fsdp", f"has no option {word}", hint)
