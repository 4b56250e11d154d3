"""The settings of a training: ms-swift's args.json, and what plan.json adds."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

from msgspec import Struct

from prl_submit.results.logged_values import decode_object, number
from prl_submit.runs.layout import PLAN
from prl_submit.swift.history import number as number_of_version
from prl_submit.system.reading import PLAN_BYTES, read_record

#: ms-swift writes it beside its checkpoints when the training starts.
ARGUMENTS = "args.json"
#: Before 3.7 ms-swift's default of gradient_accumulation_steps makes about so many rows a step.
_ROWS_OF_A_STEP = 16
#: Since this release GRPO has a default of its own.
_OWN_DEFAULT = (3, 7)


class RunSettings(Struct, frozen=True):
    """The settings of one training. A value is None if no file has it.

    `arguments`: ms-swift's arguments with their values, from args.json; before the training wrote it, from
    plan.json. `planned`: all keys of the job spec with their values, from plan.json. `processes`: the training's
    processes, which have a GPU each; the GPUs of a vLLM server are not counted. `samples_per_step`: the
    completions that one step trains.
    """

    arguments: dict[str, Any]
    planned: dict[str, Any]
    swift_version: str | None = None
    processes: int | None = None
    samples_per_step: int | None = None
    num_generations: int | None = None
    reward_weights: list[float] | None = None
    has_arguments: bool = False


def read_run_settings(run: Path) -> RunSettings:
    """The settings of a run, or of a directory that ms-swift made without prl-submit."""
    found = _object(run / ARGUMENTS)
    plan = _object(run / PLAN)
    planned = _planned(plan)
    swift = {key[6:]: value for key, value in planned.items() if key.startswith("swift.")}
    arguments = found or swift
    processes = _count(arguments.get("global_world_size")) or _planned_processes(planned)
    version = arguments.get("swift_version") or plan.get("swift_version")
    return RunSettings(
        arguments=arguments,
        planned=planned,
        swift_version=version if isinstance(version, str) else None,
        processes=processes,
        samples_per_step=samples_per_step(
            arguments, processes, steps=_accumulated(arguments, plan)
        ),
        num_generations=_count(arguments.get("num_generations")),
        reward_weights=_weights(arguments.get("reward_weights")),
        has_arguments=bool(found),
    )


def _object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if the file is missing or damaged."""
    try:
        found = decode_object(read_record(path, PLAN_BYTES))
    except OSError:
        return {}
    return found or {}


def _planned(plan: dict[str, Any]) -> dict[str, Any]:
    """The values of plan.json by their keys. The working directory is the whole path, as a rerun has it."""
    values = plan.get("values")
    items = [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []
    found = {item["key"]: item.get("value") for item in items if isinstance(item.get("key"), str)}
    job = plan.get("plan")
    folder = job.get("workdir") if isinstance(job, dict) else None
    if isinstance(folder, str) and "workdir" in found:
        found["workdir"] = folder
    return found


def _planned_processes(planned: Mapping[str, Any]) -> int | None:
    nodes, processes = (
        _count(planned.get(f"resources.{name}", 1)) for name in ("nodes", "nproc_per_node")
    )
    return nodes * processes if nodes and processes and planned else None


def samples_per_step(
    arguments: Mapping[str, Any], processes: int | None, *, steps: int | None = None
) -> int | None:
    """The completions that one optimizer step trains: per device x processes x accumulated steps.

    `steps`: gradient_accumulation_steps where the arguments do not state it; None: about 16 rows a step.
    """
    device = _count(arguments.get("per_device_train_batch_size"))
    if device is None or processes is None:
        return None
    stated = _count(arguments.get("gradient_accumulation_steps")) or steps
    return device * processes * (stated or max(1, ceil(_ROWS_OF_A_STEP / device / processes)))


def _accumulated(arguments: Mapping[str, Any], plan: Mapping[str, Any]) -> int | None:
    """ms-swift's default of gradient_accumulation_steps; None where it depends on the batch.

    args.json has the number since 3.7, whose default for GRPO is 1, so the default matters where only
    plan.json tells the arguments.
    """
    version = arguments.get("swift_version") or plan.get("swift_version")
    is_known = isinstance(version, str) and bool(number_of_version(version))
    is_new = is_known and number_of_version(str(version)) >= _OWN_DEFAULT
    return 1 if is_new and arguments.get("rlhf_type") == "grpo" else None


def _count(value: object) -> int | None:
    """A whole number of at least 1."""
    found = number(value)
    return int(found) if found is not None and 1 <= found < 1e9 and found == int(found) else None


def _weights(value: object) -> list[float] | None:
    if not isinstance(value, list):
        return None
    found = [number(item) for item in value]
    return [item for item in found if item is not None] if None not in found else None
