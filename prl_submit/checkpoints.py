"""Which checkpoint a run can go on from."""

from __future__ import annotations

import json
import re
from pathlib import Path

from msgspec import Struct

_NAME = re.compile(r"checkpoint-([0-9]+)", re.ASCII)
_SHARDED = "pytorch_model_fsdp_[0-9]*/.metadata"
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "global_step*", _SHARDED)
_NOT_WEIGHTS = frozenset(
    {"optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "training_args.bin"}
)


class Checkpoint(Struct, frozen=True):
    """A complete checkpoint and where training stood when it was saved."""

    path: Path
    step: int
    max_steps: int | None


def last_complete(run_dir: Path, world_size: int) -> Checkpoint | None:
    """The newest checkpoint that can be loaded whole, or None.

    A kill in the middle of a save leaves a folder without some of its files (facts: ms-swift
    4.6.0): the weights, the optimizer and scheduler, trainer_state.json, and one random state for
    each rank must be there, none empty, and a sharded model must have every shard of its index.
    """
    found = [
        (int(match[1]), path)
        for path in run_dir.glob("checkpoint-*")
        if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    ]
    for step, path in sorted(found, reverse=True):
        state = _trainer_state(path)
        if state is not None and _has_all(path, world_size):
            max_steps = state.get("max_steps")
            return Checkpoint(path, step, max_steps if isinstance(max_steps, int) else None)
    return None


def _trainer_state(path: Path) -> dict[str, object] | None:
    try:
        state = json.loads((path / "trainer_state.json").read_bytes())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _has_all(path: Path, world_size: int) -> bool:
    ranks = (
        [path / "rng_state.pth"]
        if world_size == 1
        else [path / f"rng_state_{rank}.pth" for rank in range(world_size)]
    )
    weights = [
        file for pattern in _WEIGHTS for file in path.glob(pattern) if file.name not in _NOT_WEIGHTS
    ]
    deepspeed = any(path.glob("global_step*"))
    # DeepSpeed writes `latest` after everything else.
    optimizer = "optimizer.bin" if (path / "optimizer.bin").exists() else "optimizer.pt"  # FSDP's
    # FSDP2 (accelerate, SHARDED_STATE_DICT): folders, whose .metadata is written last.
    sharded = [file for file in path.glob("optimizer_[0-9]*/.metadata") if _not_empty(file)]
    state = sharded[:1] or [path / optimizer]
    state = [path / "latest"] if deepspeed else [*state, path / "scheduler.pt"]
    return (
        bool(weights)
        and all(map(_not_empty, [*ranks, *state]))
        and all(_not_empty(file) for file in weights if not file.is_dir())
        and _has_shards(path)
    )


def _not_empty(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def _has_shards(path: Path) -> bool:
    for index in path.glob("*.index.json"):
        try:
            names = set(json.loads(index.read_bytes())["weight_map"].values())
        except (OSError, ValueError, LookupError, AttributeError, TypeError):
            return False
        if not all(_not_empty(path / str(name)) for name in names):
            return False
    return True
