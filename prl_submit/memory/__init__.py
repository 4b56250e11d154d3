"""How much GPU memory a job needs per rank, against what its GPUs have.

    model.py        config.json -> exact parameter counts
    known.py        the sizes of common models
    gpus.py         GPU types -> their memory
    older.py        an older ms-swift's arguments in today's names
    settings.py     ms-swift's arguments -> what decides memory
    activations.py  what a training pass holds
    forecast.py     all parts, at each moment of a step
    fitting.py      does it fit, and which changes would make it fit
    words.py        tables and messages
    find.py         where the sizes come from on this machine

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
    """A warning where the forecast does not fit; nothing where the GPUs or the model are not known.

    Where the spec has errors its numbers mean nothing yet. Without a type or a probe there is no
    memory to compare with, and then this costs nothing.
    """
    resources = planned.plan.resources
    known = resources.gpu_type is not None or facts is not None
    if resources.accelerator != "gpu" or not known:
        return []
    if any(problem.severity == "error" for problem in planned.problems):
        return []
    from prl_submit.memory.warning import check_memory

    return check_memory(planned, facts, environ)
