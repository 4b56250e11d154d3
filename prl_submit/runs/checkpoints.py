"""Which checkpoint a run can go on from."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from prl_submit.runs import checkpoint_files


class Checkpoint(Struct, frozen=True):
    """A complete checkpoint and where training stood when it was saved."""

    path: Path
    step: int
    max_steps: int | None


def last_complete(run_dir: Path, world_size: int) -> Checkpoint | None:
    """The newest checkpoint that can be loaded whole, or None.

    A kill in the middle of a save leaves a folder without some of its files, or with a part of one. So the
    weights, the optimizer and scheduler, trainer_state.json, and one random state for each rank must be
    there and whole, and a sharded model must have every shard of its index.
    """
    found = checkpoint_files.last_complete(str(run_dir), world_size, [])
    if found is None:
        return None
    name, step, state = found
    max_steps = state.get("max_steps")
    return Checkpoint(run_dir / name, step, max_steps if isinstance(max_steps, int) else None)
