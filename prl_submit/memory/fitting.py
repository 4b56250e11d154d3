"""Decide whether a job fits its GPUs, and find changes that make it fit. Each change is forecast. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Union

from msgspec import Struct

from prl_submit.memory.forecast import MIB, Forecast, forecast, vllm_needs
from prl_submit.memory.model import ModelConfig
from prl_submit.memory.settings import (
    Arguments,
    OtherModel,
    Settings,
    make_settings,
    other_roles,
    read_sharding,
)
from prl_submit.rules.divisors import divisors

Change = dict[str, Any]


class Inputs(Struct, frozen=True):
    """ms-swift's arguments by name, the number of processes, and the models' sizes.

    `found`: the other models by name; None if the sizes are not known. `raw`: the content of the JSON file
    that deepspeed or fsdp names.
    """

    values: dict[str, Any]
    world: int
    config: ModelConfig
    found: dict[str, Union[ModelConfig, None]]
    raw: Union[bytes, None] = None


class Verdict(Struct, frozen=True):
    """A forecast compared with one GPU. `gpu`: its MiB. `needed`: the bytes that vLLM's share must have at least."""

    forecast: Forecast
    gpu: int
    share: int
    needed: int

    @property
    def surely(self) -> bool:
        """True if the job fits even with the margin for error, and vLLM starts."""
        return self.starts and all(m.total + m.margin <= self.gpu * MIB for m in self.moments)

    @property
    def starts(self) -> bool:
        """True if vLLM's share is large enough for vLLM to start."""
        return self.needed <= self.share

    @property
    def hopeless(self) -> bool:
        """True if the job does not fit even if the forecast is too high by the whole margin."""
        return any(m.total - m.margin > self.gpu * MIB for m in self.moments)

    @property
    def fits(self) -> bool:
        """True if the forecast is within the GPU's memory."""
        return self.starts and self.forecast.peak.total <= self.gpu * MIB

    @property
    def moments(self) -> list[Any]:
        """The moments of the forecast."""
        return self.forecast.moments


def settings_of(inputs: Inputs, change: Change | None = None) -> Settings | None:
    """The settings with some arguments changed; None if the file of deepspeed is not understood."""
    values = {**inputs.values, **(change or {})}
    raw = None if change and "deepspeed" in change else inputs.raw
    sharding = read_sharding(values, inputs.world, raw)
    if sharding is None:
        return None
    others, unknown = [], []
    for role, name, offloaded in other_roles(values):
        config = inputs.found.get(name) if name else inputs.config
        if config is None:
            unknown.append(f"the {role} model {name} is not counted: its sizes are not known")
        else:
            others.append(OtherModel(role, config, offloaded))
    settings = make_settings(values, inputs.world, inputs.config, others, sharding)
    settings.notes.extend(unknown)
    return settings


def judge(inputs: Inputs, gpu: int, change: Change | None = None) -> Verdict | None:
    """The forecast for a GPU with so many MiB; None if there can be no forecast."""
    settings = settings_of(inputs, change)
    found = forecast(settings, gpu * MIB) if settings else None
    if settings is None or found is None:
        return None
    share = int(settings.vllm.share * gpu * MIB) if settings.vllm else 0
    return Verdict(found, gpu, share, vllm_needs(settings))


def proposals(inputs: Inputs, gpu: int, most: int = 3) -> list[Change]:
    """Changes that make the job fit with the margin: changes of one step, else of several; empty if none do."""
    fitting = []
    for change in _single(inputs, gpu):
        if _fits(inputs, gpu, change):
            fitting.append(change)
        if len(fitting) == most:
            return fitting
    return fitting or _several(inputs, gpu)


def _fits(inputs: Inputs, gpu: int, change: Change) -> bool:
    verdict = judge(inputs, gpu, change)
    return verdict is not None and verdict.surely


def _single(inputs: Inputs, gpu: int) -> Iterator[Change]:
    """Changes of one step. Those that do not slow the training down come first."""
    yield from _vllm_changes(inputs, gpu)
    yield from _memory_for_time(inputs)
    yield from _batches(inputs)
    yield from _sharding(inputs, gpu)
    yield from _smaller(inputs)


def _has_vllm(inputs: Inputs) -> bool:
    settings = settings_of(inputs)
    return settings is not None and settings.vllm is not None


def _vllm_changes(inputs: Inputs, gpu: int) -> Iterator[Change]:
    if not _has_vllm(inputs):
        return
    given = Arguments(inputs.values)
    if given.share("sleep_level", 0) < 1:
        yield {"sleep_level": 1}
    settings = settings_of(inputs)
    short = settings is not None and vllm_needs(settings) > settings.vllm.share * gpu * MIB  # type: ignore[union-attr]
    if short:  # the key-value cache must hold one sequence of the greatest length
        yield {"vllm_max_model_len": _longest(given)}
    share = given.share("vllm_gpu_memory_utilization", 0.9)
    lower = [step / 20 for step in range(18, 1, -1) if step / 20 < share]
    for value in [0.5, 0.6, 0.7, 0.8, 0.9] if short else lower:
        if value != share and _fits(inputs, gpu, {"vllm_gpu_memory_utilization": value}):
            yield {"vllm_gpu_memory_utilization": value}
            return


def _longest(given: Arguments) -> int:
    """The length of prompt and completion together, rounded up to a multiple of 1024."""
    length = given.number("max_length", 1024) + given.number("max_completion_length", 512)
    return -(-length // 1024) * 1024


def _memory_for_time(inputs: Inputs) -> Iterator[Change]:
    given = Arguments(inputs.values)
    if not given.flag("gradient_checkpointing", True):
        yield {"gradient_checkpointing": True}


def _batches(inputs: Inputs) -> Iterator[Change]:
    """Smaller micro-batches, the largest first. GRPO's generation batch stays the same."""
    given = Arguments(inputs.values)
    rows = given.number("per_device_train_batch_size", 1)
    steps = given.number("gradient_accumulation_steps", 1)
    if given.number("steps_per_generation", 0):
        return  # this argument would have to change too, and would then mean something else
    for size in reversed(divisors(rows)[:-1]):
        change: Change = {"per_device_train_batch_size": size}
        if not given.number("generation_batch_size", 0):
            change["gradient_accumulation_steps"] = steps * rows // size
        yield change


def _sharding(inputs: Inputs, gpu: int) -> Iterator[Change]:
    """Other stages of ZeRO. One process can only offload, because it has no other to share with."""
    given = inputs.values.get("deepspeed")
    if inputs.values.get("fsdp"):
        return
    stages = ["zero2", "zero3"] if inputs.world > 1 else []
    for name in [*stages, "zero2_offload", "zero3_offload"]:
        if name == given:
            continue
        alone: Change = {"deepspeed": name}
        yield alone
        if name.startswith("zero3") and _has_vllm(inputs) and not _fits(inputs, gpu, alone):
            yield {**alone, "move_model_batches": 16}


def _smaller(inputs: Inputs) -> Iterator[Change]:
    if Arguments(inputs.values).text("tuner_type", "lora") == "full":
        yield {"tuner_type": "lora"}


def _several(inputs: Inputs, gpu: int) -> list[Change]:
    """Several steps together. Steps are added until the job fits, then those that were not needed are removed."""
    found = []
    for last in ({}, {"tuner_type": "lora"}):
        if last and not list(_smaller(inputs)):
            continue
        change = _gathered(inputs, gpu, last)
        if change and change not in found:
            found.append(change)
    return found


def _gathered(inputs: Inputs, gpu: int, start: Change) -> Change | None:
    together: Change = dict(start)
    for step in _steps(inputs):
        together.update(step)
        if _fits(inputs, gpu, together):
            return _pruned(inputs, gpu, together, start)
    return None


def _steps(inputs: Inputs) -> Iterator[Change]:
    """The steps in the order in which they are added. Those that cost least training speed come first."""
    vllm = _has_vllm(inputs)
    in_batches = {"move_model_batches": 16} if vllm else {}
    shares = [{"vllm_gpu_memory_utilization": share} for share in _SHARES] if vllm else []
    if vllm:
        yield {"sleep_level": 1}
    yield from _memory_for_time(inputs)
    if inputs.world > 1 and not inputs.values.get("fsdp"):
        yield {"deepspeed": "zero3", **in_batches}
    if vllm:
        yield {"offload_optimizer": True, "offload_model": True}
    yield from _batches(inputs)
    if vllm:
        yield {"vllm_max_model_len": _longest(Arguments(inputs.values))}
    yield from shares
    if not inputs.values.get("fsdp"):
        yield {"deepspeed": "zero3_offload", **in_batches}
        yield from shares


#: The shares of a GPU's memory that are tried for vLLM.
_SHARES = (0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1)


#: Arguments that make sense only together with another one.
_PAIRED = {
    "gradient_accumulation_steps": "per_device_train_batch_size",
    "move_model_batches": "deepspeed",
    "offload_model": "offload_optimizer",
}


def _pruned(inputs: Inputs, gpu: int, change: Change, kept: Change) -> Change:
    for name in list(change):
        if name in kept or name in _PAIRED:
            continue
        without = {
            key: value for key, value in change.items() if name not in (key, _PAIRED.get(key))
        }
        if without and _fits(inputs, gpu, without):
            change = without
    return change
