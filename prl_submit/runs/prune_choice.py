"""Which checkpoints of a run `prune` deletes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Saved(Struct, frozen=True):
    """A checkpoint. `score`: its metric for --keep-best; None if it has none."""

    name: str
    step: int
    is_complete: bool
    score: float | None = None


class Keep(Struct, frozen=True):
    """What the user wants to keep. None: that option was not given. `lowest`: a low score is a good one."""

    last: int | None = None
    best: int | None = None
    every: int | None = None
    metric: str = "reward"
    lowest: bool = False

    @property
    def is_nothing(self) -> bool:
        """True if no option says what to keep."""
        return self.last is None and self.best is None and self.every is None


def choose(
    saved: Sequence[Saved], keep: Keep, *, may_drop_last: bool, needed: Mapping[str, str]
) -> dict[str, str | None]:
    """For each checkpoint, in the order of steps, why it is kept; None: it is to be deleted.

    If no checkpoint is complete, as with save_only_model, all count as complete. `may_drop_last`: the last
    complete one is kept only if an option says so. `needed`: why others need a checkpoint, by its name.
    """
    ordered = sorted(saved, key=lambda each: each.step)
    usable = [each for each in ordered if each.is_complete] or ordered
    reasons: dict[str, str | None] = {each.name: None for each in ordered}
    if not may_drop_last and usable:
        reasons[usable[-1].name] = "the last complete one"
    for name, why in _kept(usable, keep):
        reasons[name] = reasons[name] or why
    for name, why in needed.items():
        if name in reasons:
            reasons[name] = reasons[name] or why
    return reasons


def _kept(usable: Sequence[Saved], keep: Keep) -> list[tuple[str, str]]:
    """The checkpoints that the options keep, each with the option in words."""
    found = []
    if keep.last:
        found += [(each.name, f"of the last {keep.last}") for each in usable[-keep.last :]]
    if keep.best is not None:
        found += _best(usable, keep.best, keep)
    if keep.every is not None:
        every = [each for each in usable if each.step % keep.every == 0]
        found += [(each.name, f"of every {keep.every} steps") for each in every]
    return found


def _best(usable: Sequence[Saved], count: int, keep: Keep) -> list[tuple[str, str]]:
    """The checkpoints with the best scores, and those without a score, of which nobody knows."""
    sign = 1 if keep.lowest else -1
    scored = [(each.score, each) for each in usable if each.score is not None]
    scored.sort(key=lambda pair: (sign * pair[0], -pair[1].step))
    found = [(each.name, f"{keep.metric} {score:.4g}") for score, each in scored[:count]]
    unknown = [each for each in usable if each.score is None]
    return found + [(each.name, f"has no {keep.metric}") for each in unknown]
