"""Check of the checkpoint to resume from: what the folder holds, and whether the job can go on from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.paths import resolve
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json, read_regular

#: The largest trainer_state.json that is read. It has a line for each logged step.
MAX_BYTES = 100_000_000
_OPTIMIZERS = ("optimizer.pt", "optimizer.bin", "optimizer.safetensors")
_RESUME = "resume_from_checkpoint"


class Contents(Struct, frozen=True):
    """What a checkpoint folder holds.

    `state`: trainer_state.json. `step`: the step in that file. `ranks`: the number of saved random states,
    one for each process; 0 if there are none. `shards`: the number of DeepSpeed's optimizer shards.
    """

    state: bool
    step: int | None
    weights: bool
    adapter: bool
    optimizer: bool
    ranks: int
    shards: int


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Problems with the checkpoint, if it is on this machine. `local_files` reports a missing one."""
    value = str(job.get(_RESUME, None) or "")
    path = Path(resolve(value, workdir))
    if not value or not path.exists():
        return
    if not path.is_dir():
        message = f"{value} is a file; a checkpoint is a folder"
        yield job.refuse(_RESUME, message, "such as output/v7-…/checkpoint-100")
        return
    inside = [folder.name for folder in path.glob("checkpoint-*") if folder.is_dir()]
    if inside:
        newest = max(inside, key=lambda name: (len(name), name))
        message = "is a run directory, not one of its checkpoints"
        yield job.refuse(_RESUME, message, f"such as {value}/{newest}")
        return
    try:
        found = read_contents(path)
    except OSError:  # the user may not read a folder in the checkpoint
        return
    yield from can_go_on(job, found)


def read_contents(path: Path) -> Contents:
    """What a checkpoint of transformers 5.19, peft and DeepSpeed holds. Raises OSError."""
    names = set(os.listdir(path))
    shards = [name for name in names if name.startswith("global_step") and (path / name).is_dir()]
    zero = [f for folder in shards for f in os.listdir(path / folder) if "optim_states" in f]
    ranks = sum(name.startswith("rng_state_") for name in names) or int("rng_state.pth" in names)
    fsdp = any(name.startswith(("optimizer_", "pytorch_model_fsdp")) for name in names)
    return Contents(
        state="trainer_state.json" in names,
        step=_step(path) if "trainer_state.json" in names else None,
        weights=fsdp or bool(shards) or any(map(_is_weights, names)),
        adapter=bool({"adapter_config.json", "default", "reft"} & names),
        optimizer=fsdp or bool(zero) or any(name in names for name in _OPTIMIZERS),
        ranks=ranks,
        shards=len(zero),
    )


def _is_weights(name: str) -> bool:
    """True for the name of a file with a model's or an adapter's weights."""
    if name in _OPTIMIZERS or name == "training_args.bin":
        return False
    return name.endswith((".safetensors", ".bin"))


def _step(path: Path) -> int | None:
    """The step at which the checkpoint was made; None if trainer_state.json cannot be read."""
    try:
        state = read_regular(str(path / "trainer_state.json"), MAX_BYTES)
        step = decode_json(state)["global_step"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return step if isinstance(step, int) else None


def can_go_on(job: Job, found: Contents) -> Iterator[Problem]:
    """Problems with resuming from this checkpoint.

    Errors where transformers would stop, warnings where it would go on differently from what the user
    expects. Source: transformers 5.19 trainer `_load_from_checkpoint`, `_load_optimizer_and_scheduler`,
    `_load_rng_state`; ms-swift 4.6.0 pipelines/train/tuner; and resumed trainings.
    """
    only_model = job.get("resume_only_model", False)
    if not found.weights:
        yield job.refuse(_RESUME, "holds no weights", "an earlier checkpoint may be complete")
        return
    if not found.state and not (only_model and job.get("ignore_data_skip", False)):
        message = "has no trainer_state.json, so it is not a checkpoint of a training"
        yield job.refuse(_RESUME, message, "adapters or model take weights alone")
        return
    yield from _another_tuner(job, found)
    yield from _already_ended(job, found)
    if not only_model:
        yield from _lost_state(job, found)


def _another_tuner(job: Job, found: Contents) -> Iterator[Problem]:
    """The checkpoint holds an adapter and the job trains all weights, or the other way round."""
    tuner, argument = job.tuner_type, job.tuner_argument
    if tuner in ("lora", "longlora", "adalora") and not found.adapter:
        message = f"holds no adapter, and {argument} is {tuner}"
        yield job.refuse(_RESUME, message, f"set {argument}: full")
    elif tuner == "full" and found.adapter:
        message = f"holds an adapter, and {argument} is full"
        yield job.refuse(_RESUME, message, f"set {argument}: lora")


def _already_ended(job: Job, found: Contents) -> Iterator[Problem]:
    """The checkpoint has reached max_steps. transformers trains one more step and ends."""
    most = job.get("max_steps", -1)
    if found.step is not None and 0 < most <= found.step:
        message = f"is at step {found.step}, and max_steps is {most}: the job would train one more step and end"
        yield job.warn(_RESUME, message, f"set max_steps above {found.step}")


def _lost_state(job: Job, found: Contents) -> Iterator[Problem]:
    """The optimizer's state is missing, or the checkpoint was made by another number of processes."""
    if not found.optimizer:
        message = "holds no optimizer state, so the optimizer would silently start anew"
        yield job.warn(_RESUME, message, "set resume_only_model: true if that is meant")
    world = f"the job has {job.world} = {job.world_words}"
    if found.shards and found.shards != job.world:
        message = f"was made by DeepSpeed with {found.shards} processes, and {world}"
        hint = "resume with as many processes, or set resume_only_model: true"
        yield job.refuse(_RESUME, message, hint)
    elif found.ranks and found.ranks != job.world:
        message = f"was made by {found.ranks} processes, and {world}"
        hint = "the random states of the other processes are lost, and the batch may differ"
        yield job.warn(_RESUME, message, hint)
