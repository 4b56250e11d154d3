"""Forecast how much GPU memory each rank of a job needs, and compare that with the memory of its GPUs.

    model.py        from a config.json to exact parameter counts
    known.py        the sizes of common models
    gpus.py         the memory of each GPU type
    older.py        an older ms-swift's arguments in today's names
    settings.py     from ms-swift's arguments to the values that decide memory
    activations.py  what a training pass holds
    forecast.py     the bytes of each part at each moment of a training step
    fitting.py      whether the job fits, and which changes would make it fit
    words.py        tables and messages
    warning.py      the forecast for a plan, and the warning of `check`
    find.py         finds the sizes of models and GPUs on this machine

docs/memory-method.md has the formulas, their sources, and how far off they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prl_submit.errors import Problem
    from prl_submit.planning.plan import Planned
    from prl_submit.probe.node_facts import Damaged, Facts


def memory_problems(
    planned: Planned, facts: Facts | Damaged | None, environ: Mapping[str, str]
) -> list[Problem]:
    """A warning if the job will not fit. Nothing if the GPUs or the model are not known, or the spec has errors.

    Without a GPU type and without a probe there is nothing to compare with, and this returns at once.
    """
    resources = planned.plan.resources
    known = resources.gpu_type is not None or facts is not None
    if resources.accelerator != "gpu" or not known:
        return []
    if any(problem.severity == "error" for problem in planned.problems):
        return []
    from prl_submit.memory.warning import check_memory

    return check_memory(planned, facts, environ)
