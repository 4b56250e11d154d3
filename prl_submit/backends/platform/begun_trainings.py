"""How often the training of a run has begun, which restarts.max limits.

launch.sh of node 0 writes it down. An attempt that ended before its training does not count: the platform's form
was wrong, a node did not come, or a setup line failed.
"""

from __future__ import annotations

from prl_submit.runs.directory import Run
from prl_submit.runs.layout import trainings_file
from prl_submit.runs.limits import limits_of
from prl_submit.system.reading import read_record


def begun_trainings(run: Run) -> int:
    """How many attempts of the present order (`submit` or `resume`) came to their training."""
    try:
        return len(set(read_record(trainings_file(run.path, run.require_record().token)).split()))
    except (OSError, ValueError):
        return 0


def may_train_again(run: Run) -> bool:
    """True if restarts.max allows one more training."""
    return begun_trainings(run) <= limits_of(run.path, run.require_record()).max_restarts
