"""The checkpoint to resume from: what it holds, and whether the job can go on from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.paths import resolve
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json, read_regular

#: trainer_state.json has a line for each logged step.
MAX_BYTES = 100_000_000
_OPTIMIZERS = ("optimizer.pt", "optimizer.bin", "optimizer.safetensors")


class Contents(Struct, frozen=True):
    """A checkpoint folder. `ranks`: random states saved, one per process; 0 where there are none."""

    state: bool
    step: int | None
    weights: bool
    adapter: bool
    optimizer: bool
    ranks: int
    shards: int


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """The folder, if it is one here; that it is not is told by who looks for files."""
    value = str(job.get("resume_from_checkpoint", None) or "")
    path = Path(resolve(value, workdir))
    if value and path.is_dir():
        inside = [name.name for name in path.glob("checkpoint-*") if name.is_dir()]
        if inside:
            newest = max(inside, key=lambda name: (len(name), name))
            message = "is a run's directory, no checkpoint of it"
            yield job.refuse("resume_from_checkpoint", message, f"such as {value}/{newest}")
            return
        try:
            found = read_contents(path)
        except OSError:  # a folder in it that only others may read
            return
        yield from can_go_on(job, found)
    elif value and path.exists():
        message = f"{value} is a file; a checkpoint is a folder"
        yield job.refuse("resume_from_checkpoint", message, "such as output/v7-…/checkpoint-100")


def read_contents(path: Path) -> Contents:
    """What transformers 5.19, peft and DeepSpeed leave in a checkpoint. Raises OSError."""
    names = set(os.listdir(path))
    step = None
    if "trainer_state.json" in names:
        try:
            state = read_regular(str(path / "trainer_state.json"), MAX_BYTES)
            step = decode_json(state)["global_step"]
        except (OSError, ValueError, LookupError, TypeError):
            step = None
    shards = [name for name in names if name.startswith("global_step") and (path / name).is_dir()]
    zero = [f for folder in shards for f in os.listdir(path / folder) if "optim_states" in f]
    ranks = sum(name.startswith("rng_state_") for name in names) or int("rng_state.pth" in names)
    fsdp = any(name.startswith(("optimizer_", "pytorch_model_fsdp")) for name in names)
    return Contents(
        state="trainer_state.json" in names,
        step=step if isinstance(step, int) else None,
        weights=fsdp
        or bool(shards)
        or any(
            name.endswith((".safetensors", ".bin"))
            and name not in _OPTIMIZERS
            and name != "training_args.bin"
            for name in names
        ),
        adapter=bool({"adapter_config.json", "default", "reft"} & names),
        optimizer=fsdp or bool(zero) or any(name in names for name in _OPTIMIZERS),
        ranks=ranks,
        shards=len(zero),
    )


def can_go_on(job: Job, found: Contents) -> Iterator[Problem]:
    """Problems with resuming from this checkpoint.

    Errors where transformers would stop, warnings where it would go on differently from what the
    user expects.

    transformers 5.19 trainer `_load_from_checkpoint`, `_load_optimizer_and_scheduler`,
    `_load_rng_state`; ms-swift 4.6.0 pipelines/train/tuner; facts of resumed runs.
    """
    name, only_model = "resume_from_checkpoint", job.get("resume_only_model", False)
    if not found.weights:
        yield job.refuse(name, "holds no weights", "an earlier checkpoint may be whole")
        return
    if not found.state and not (only_model and job.get("ignore_data_skip", False)):
        yield job.refuse(
            name,
            "has no trainer_state.json: it is no checkpoint of a training",
            "adapters or model take weights alone",
        )
        return
    tuner = job.tuner_type
    if tuner in ("lora", "longlora", "adalora") and not found.adapter:
        message = f"holds no adapter, and {job.tuner_argument} is {tuner}"
        yield job.refuse(name, message, f"set {job.tuner_argument}: full")
    elif tuner == "full" and found.adapter:
        message = f"holds an adapter, and {job.tuner_argument} is full"
        yield job.refuse(name, message, f"set {job.tuner_argument}: lora")
    most = job.get("max_steps", -1)
    if found.step is not None and 0 < most <= found.step:
        yield job.warn(
            name,
            f"stands at step {found.step}, and max_steps is {most}: one step more and it ends",
            f"set max_steps above {found.step}",
        )
    if only_model:
        return
    if not found.optimizer:
        yield job.warn(
            name,
            "holds no optimizer state; it starts anew, silently",
            "resume_only_model: true says so",
        )
    if found.shards and found.shards != job.world:
        yield job.refuse(
            name,
            f"is DeepSpeed's of {found.shards} processes, and the world is {job.world} = {job.world_words}",
            "resume on as many, or set resume_only_model: true",
        )
    elif found.ranks and found.ranks != job.world:
        yield job.warn(
            name,
            f"is of {found.ranks} processes, and the world is {job.world} = {job.world_words}",
            "the random states of the others are lost; the batch may be another",
        )
