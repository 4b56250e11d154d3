"""How runs are called in the words about runs that wait."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prl_submit.runs.directory import Run
from prl_submit.runs.record import Predecessor


def short_name(run: Path) -> str:
    """`v3` for `v3-20261130-120000`."""
    return run.name.partition("-")[0]


def predecessors_of(run: Run) -> list[Predecessor]:
    """The runs that a run waits for. One that began once does not wait for them again."""
    return [] if run.record is None or run.record.restarts else run.record.after


def name_for(predecessor: Predecessor, run: Run) -> str:
    """The name of a predecessor for somebody who looks at `run`: `v3`; its path if it is in another output root."""
    path = Path(predecessor.run)
    return short_name(path) if path.parent == run.path.parent else str(path)


def listed(names: Sequence[str]) -> str:
    """`v3`, `v3 and v4`, `v3, v4 and 5 more`."""
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
