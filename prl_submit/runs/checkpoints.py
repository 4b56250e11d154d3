"""The checkpoint from which a run can be resumed."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from prl_submit.runs import checkpoint_files


class Checkpoint(Struct, frozen=True):
    """A complete checkpoint and where training stood when it was saved."""

    path: Path
    step: int
    max_steps: int | None
    epoch: float | None = None


def last_complete(run_dir: Path, world_size: int) -> Checkpoint | None:
    """The newest complete checkpoint, or None.

    A training that is killed while it saves leaves a folder in which files are missing or cut short. So
    a complete checkpoint has the weights (all parts that the index lists), the state of the optimizer and
    the scheduler, trainer_state.json, and the random state of each rank, and all these files are whole.
    """
    found = checkpoint_files.last_complete(str(run_dir), world_size, [])
    if found is None:
        return None
    name, step, state = found
    max_steps, epoch = state.get("max_steps"), state.get("epoch")
    return Checkpoint(
        run_dir / name,
        step,
        max_steps if isinstance(max_steps, int) else None,
        float(epoch) if isinstance(epoch, (int, float)) else None,
    )
