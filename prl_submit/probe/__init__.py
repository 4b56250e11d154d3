"""What nodes really have: looked at by a job on them, remembered, used by later checks.

    on_node.py         what runs on the node: the standard library alone
    version_script.py  how it enters the training environment: launch.sh's own lines
    targets.py         what Slurm says of its partitions; which are probed, by what job
    start_jobs.py      submitit: the jobs are sent
    wait_for_jobs.py   their results, their states, their end
    node_facts.py      what is remembered, per cluster and partition
    check_facts.py     facts and a plan -> problems
    facts_table.py     facts as a table

These two functions are all that `check` needs; where nothing was ever probed they cost one stat.
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
    """Where facts are kept: `$XDG_STATE_HOME/prl-submit/probe`, by default below ~/.local/state."""
    folder = xdg_folder(environ, "XDG_STATE_HOME", os.path.join(".local", "state"))
    return os.path.join(folder, "probe")


def load_facts(
    backend: str, partition: str | None, environ: Mapping[str, str]
) -> Facts | Damaged | None:
    """What was last seen of the nodes such a job runs on; None where they were never probed.

    Reads files only, and asks no scheduler. `partition` None: the cluster's default.
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
    """What a plan asks for and its nodes do not have. `now`: seconds since the epoch."""
    if facts is None:
        return []
    from prl_submit.probe.check_facts import check_facts

    return check_facts(planned, facts, now)
