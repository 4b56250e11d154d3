"""A platform that starts one command on several nodes must not start a training of its own on each of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from prl_submit.errors import PrlSubmitError
from prl_submit.launch.quote import bash
from prl_submit.spec.sections import Platform


def refusal_of_other_nodes(
    environ: Mapping[str, str], names: Platform, reason: str
) -> PrlSubmitError | None:
    """The refusal if this machine is one of several nodes that were given this command; else None.

    `names`: the variables that the spec names. `reason`: why the backend would train on this node alone.
    Inside torchrun and in an allocation of Slurm such variables are not a platform's.
    """
    from prl_submit.backends.platform.variables import inside_torchrun, see_platform, shown

    in_slurm = environ.get("SLURM_JOB_ID") and shutil.which("srun", path=environ.get("PATH"))
    seen = None if in_slurm or inside_torchrun(environ) else see_platform(environ, names)
    if seen is None or not seen.has_other_nodes:
        return None
    told = [seen.variables[column] for column in ("nodes", "node_rank") if column in seen.variables]
    words = ", ".join(f"{name}={shown(environ[name])}" for name in told)
    count = f"{seen.nodes} nodes" if seen.nodes else "several nodes"
    unset = " ".join(f"-u {bash(name)}" for name in told)
    return PrlSubmitError(
        f"a platform starts this command on {count} ({words}), and {reason}: each node would start a "
        "training of its own",
        "--backend platform makes one training of all nodes; for a job of this node alone: "
        f"env {unset} prl-submit …",
    )
