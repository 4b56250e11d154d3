"""Which partitions a probe looks at, and the options of the job that it sends to each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from prl_submit.backends.slurm.inherited_environment import inherited
from prl_submit.backends.slurm.partitions import SINFO, Partition, parse_sinfo
from prl_submit.backends.slurm.slurm_commands import SlurmCommands, first_line
from prl_submit.errors import BackendUnreachableError, PrlSubmitError
from prl_submit.planning.plan import Plan
from prl_submit.spec.suggest import did_you_mean

#: Minutes that a probe job may run; less in a partition with a lower limit.
LIMIT_MIN = 5
#: The user's defaults without which Slurm may refuse the probe. Every other SBATCH_* variable is
#: left out, because it would change the probe job.
_KEPT = ("SBATCH_ACCOUNT", "SBATCH_QOS", "SBATCH_RESERVATION", "SBATCH_CONSTRAINT")


def ask_name(slurm: SlurmCommands) -> str:
    """Ask Slurm for the cluster's name. Raises BackendUnreachableError."""
    answer = slurm.ask(["scontrol", "show", "config"])
    match = re.search(r"^ClusterName\s*=\s*(\S+)", answer.out, re.MULTILINE)
    if match is None:
        said = first_line(answer.err or "no ClusterName in its answer")
        raise BackendUnreachableError(f"scontrol show config: {said}")
    return match[1].lower()


def ask_partitions(slurm: SlurmCommands) -> dict[str, Partition]:
    """Ask Slurm for its partitions; they come by name. Raises BackendUnreachableError."""
    answer = slurm.ask(SINFO)
    found = parse_sinfo(answer.out)
    if not found:
        said = first_line(answer.err or "it lists no partitions")
        raise BackendUnreachableError(f"sinfo: {said}", "`sinfo --all` shows the partitions")
    return found


def choose(partitions: Mapping[str, Partition], names: Sequence[str]) -> list[Partition]:
    """The partitions to probe: the named ones, else the default one. Raises PrlSubmitError."""
    listed = f"there are: {', '.join(partitions)}"
    if not names:
        found = [partition for partition in partitions.values() if partition.default]
        if not found:
            raise PrlSubmitError("the cluster has no default partition", f"--partition; {listed}")
        return found
    for name in names:
        if name not in partitions:
            hint = did_you_mean(name, partitions) or listed
            raise PrlSubmitError(f"the cluster has no partition {name!r}", hint)
    return [partitions[name] for name in dict.fromkeys(names)]


def job_parameters(partition: Partition, plan: Plan | None, name: str) -> dict[str, Any]:
    """The probe job's parameters for submitit: one GPU if the partition has any, and little else."""
    limit = partition.max_seconds
    parameters: dict[str, Any] = {
        "job_name": name,
        "partition": partition.name,
        "time": LIMIT_MIN if limit is None else max(1, min(LIMIT_MIN, limit // 60)),
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": 1,
        "mem": "1G",
        "gres": _gres(partition, plan),
        "wckey": None,  # submitit sets one by default, which clusters that track keys refuse
        "signal_delay_s": 10,
        "use_srun": False,  # one task on one node needs no srun
    }
    if plan is not None:
        section = plan.slurm
        for key in ("account", "qos", "constraint", "exclude", "nodelist"):
            parameters[key] = getattr(section, key)
        if section.reservation:
            parameters["additional_parameters"] = {"reservation": section.reservation}
    return {key: value for key, value in parameters.items() if value is not None or key == "wckey"}


def _gres(partition: Partition, plan: Plan | None) -> str | None:
    """One GPU, so that Slurm chooses a node with GPUs; of the plan's type if the partition has it."""
    types = {kind for node in partition.kinds for kind in node.gpus}
    if not types or (plan is not None and plan.resources.accelerator != "gpu"):
        return None
    wanted = plan.resources.gpu_type if plan is not None else None
    return f"gpu:{wanted}:1" if wanted in types else "gpu:1"


def job_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for sbatch: the user's, without what would change the probe job."""
    return inherited(environ, _KEPT)
