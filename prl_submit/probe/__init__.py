"""What nodes really have. A small job looks, its facts are kept, and later checks use them.

    on_node.py         what runs on the node: needs the standard library alone
    version_script.py  the bash that enters the training environment, with launch.sh's own lines
    slurm_probe.py     which partitions are probed, and by what job
    start_jobs.py      starts the jobs with submitit
    wait_for_jobs.py   waits for their results, or for their end without one
    node_facts.py      the facts, and the files that keep them: one per cluster and partition
    check_facts.py     what a plan asks for that the facts do not have
    facts_table.py     the facts as a table for `probe`

The functions here are all that `check` needs. If nothing was ever probed, they cost one stat.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prl_submit.spec.traits import find_traits
from prl_submit.system.xdg import xdg_folder

if TYPE_CHECKING:
    from prl_submit.errors import Problem
    from prl_submit.planning.plan import Planned
    from prl_submit.probe.node_facts import Damaged, Facts


def state_folder(environ: Mapping[str, str]) -> str:
    """The folder of the facts: $XDG_STATE_HOME/prl-submit/probe, by default below ~/.local/state."""
    folder = xdg_folder(environ, "XDG_STATE_HOME", os.path.join(".local", "state"))
    return os.path.join(folder, "probe")


def load_facts(
    backend: str, partition: str | None, environ: Mapping[str, str]
) -> Facts | Damaged | None:
    """The facts about the nodes that such a job runs on; None if they were never probed.

    This reads files and asks no scheduler. `partition` None means the cluster's default partition.
    """
    folder = state_folder(environ)
    traits = find_traits(backend)
    if (
        traits is None
        or not (traits.runs_here or traits.has_partitions)
        or not os.path.isdir(folder)
    ):
        return None
    from prl_submit.probe.node_facts import find_facts

    return find_facts(folder, backend, partition, environ)


def check_probed(planned: Planned, facts: Facts | Damaged | None, now: float) -> list[Problem]:
    """Problems with what the plan asks for and its nodes do not have. `now`: seconds since 1970."""
    if facts is None:
        return []
    from prl_submit.probe.check_facts import check_facts

    return check_facts(planned, facts, now)
