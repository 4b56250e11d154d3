"""The registry of backends, and the traits of each, which are known without importing the backend.

A backend is one entry here and a folder with `backend.py` and `options.py`. The entries are plain data and
are in this package, far below the backends, because planning, rules and launch read them.
"""

from __future__ import annotations

from msgspec import Struct

from prl_submit.errors import PrlSubmitError


class Traits(Struct, frozen=True, kw_only=True):
    """How the jobs of a backend differ from those of others. The defaults are those of a plain scheduler."""

    name: str
    #: The Python package that has its backend.py and options.py; None: the folder of that name in `backends`.
    package: str | None = None
    #: Jobs run on this very machine, so its GPUs, its disk and the section `local:` are the job's.
    runs_here: bool = False
    #: Jobs get the environment that the user submits from, secrets with it.
    inherits_environment: bool = True
    #: Paths of this machine lead to the same files on the nodes.
    sees_our_files: bool = True
    #: One job may have more than one node.
    several_nodes: bool = True
    #: Jobs run in pods: in an image, as a user that the plan names, started again by an operator.
    in_pods: bool = False
    #: Somebody else than prl-submit starts the nodes of a job one by one, and may start a node again: the
    #: kubelets, or a platform.
    starts_nodes_alone: bool = False
    #: Variables on each node tell how many nodes and processes the job has, so a spec need not state them.
    nodes_tell_size: bool = False
    #: The user chooses the job's container where prl-submit does not see it, so a node's PATH may be another.
    own_image: bool = False
    #: The user may choose the GPUs of a node by `local.cuda_visible_devices`.
    chooses_gpus: bool = False
    #: The backend itself ends a job at its time limit.
    own_clock: bool = True
    #: The backend sends the job a signal before it ends the job at the time limit.
    warns_before_end: bool = False
    #: If launch.sh is killed, its children may go on running.
    leaves_children: bool = False
    #: Nodes are grouped into partitions, which `probe` looks at one by one.
    has_partitions: bool = False
    #: A SIGTERM to a command that waits for the job is meant for the job.
    foreground: bool = False
    #: `cancel` waits for the end of the job even without --wait, because the job's last output would be lost.
    cancel_waits: bool = False
    #: Seconds between two questions to the backend while a command waits for a job.
    poll_s: float = 0.0
    #: The name of the file that is sent to the backend; None: nothing is sent, launch.sh itself is run.
    artefact: str | None = None


BACKENDS: dict[str, Traits] = {
    "local": Traits(
        name="local",
        runs_here=True,
        several_nodes=False,
        chooses_gpus=True,
        own_clock=False,
        foreground=True,
    ),
    "slurm": Traits(
        name="slurm",
        warns_before_end=True,
        leaves_children=True,
        has_partitions=True,
        poll_s=5.0,
        artefact="job.sbatch",
    ),
    "kubernetes": Traits(
        name="kubernetes",
        inherits_environment=False,
        sees_our_files=False,
        in_pods=True,
        starts_nodes_alone=True,
        cancel_waits=True,
        poll_s=1.0,
        artefact="pytorchjob.yaml",
    ),
    "platform": Traits(
        name="platform",
        inherits_environment=False,
        starts_nodes_alone=True,
        nodes_tell_size=True,
        own_image=True,
        chooses_gpus=True,
        own_clock=False,
        leaves_children=True,
        poll_s=2.0,
    ),
}
#: The backend of a job for which nobody names one.
DEFAULT = "local"
ALIASES = {"k8s": "kubernetes"}


def full_name(name: str) -> str:
    """The name that an alias stands for; any other text as it is."""
    return ALIASES.get(name, name)


def find_traits(name: str) -> Traits | None:
    """The traits of a backend; None for a name that this version does not know."""
    return BACKENDS.get(full_name(name))


def traits_of(name: str) -> Traits:
    """The traits of a backend, by its name or an alias. Raises PrlSubmitError for an unknown one."""
    traits = find_traits(name)
    if traits is None:
        raise PrlSubmitError(f"unknown backend {name!r}", f"there are: {', '.join(BACKENDS)}")
    return traits
