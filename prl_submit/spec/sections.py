"""The job spec as types: one class for each section, one field for each key that a user may write.

Each field's type has its limits, and a `description` for the message when a value is refused.
`prl-submit schema` prints these types as a JSON Schema. docs/reference.md explains each key.

This module has no `from __future__ import annotations`, because evaluating postponed annotations
took a tenth of the time that `check` spends in our own code.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from msgspec import Meta, Struct

from prl_submit.spec.traits import BACKENDS

if TYPE_CHECKING:
    BackendName = str
else:
    BackendName = Literal[tuple(BACKENDS)]

Name = Annotated[
    str,
    Meta(
        pattern="^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$",
        description="lower-case letters, digits and '-', at most 40 characters, no '-' at the ends",
    ),
]
Text = Annotated[str, Meta(min_length=1, description="text")]
Line = Annotated[
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f]+$", description="text on one line, without control characters"
    ),
]
EnvName = Annotated[
    str,
    Meta(
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        description="the name of an environment variable: letters, digits and '_'",
    ),
]
Nodes = Annotated[int, Meta(ge=1, le=10_000, description="a whole number from 1 to 10000")]
Processes = Annotated[int, Meta(ge=1, le=1024, description="a whole number from 1 to 1024")]
Restart = Annotated[int, Meta(ge=0, le=1000, description="a whole number from 0 to 1000")]
Duration = Annotated[
    int,
    Meta(
        description="a time such as 12:00:00, 1-06:00:00, 90m or 2d, at most a year",
        extra={"kind": "duration"},
    ),
]
Memory = Annotated[
    str, Meta(description="a size such as 256G, 1.5T or 512M", extra={"kind": "memory"})
]
NodeMemory = Annotated[
    str,
    Meta(
        description="a size such as 256G, 1.5T or 512M, or 0 for all of a node (Slurm)",
        extra={"kind": "node memory"},
    ),
]
RELEASE = r"\d+\.\d+(\.\d+)?(\.?(post|dev|rc|a|b)\d*)*(\+[\w.]+)?"
SwiftVersion = Annotated[
    str,
    Meta(
        pattern=f"^{RELEASE}$",
        description="a release of ms-swift such as 4.6.0",
    ),
]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the spec with fixed keys; an unknown key is a mistake."""


class Conda(Section, frozen=True, kw_only=True):
    """A conda environment: its name or path, and the folder of the conda installation."""

    name: Line
    root: Line | None = None


class Container(Section, frozen=True, kw_only=True):
    """The container image that a Slurm job runs in."""

    image: Line
    mounts: list[Line] = []
    runtime: Literal["pyxis", "apptainer"] = "pyxis"


class Environment(Section, frozen=True, kw_only=True):
    """How launch.sh prepares a node's shell, so that `torchrun` and ms-swift are found."""

    conda: Union[Line, Conda, None] = None
    venv: Line | None = None
    swift_version: SwiftVersion | None = None
    modules: list[Line] = []
    setup: list[Text] = []
    env: dict[EnvName, str] = {}
    secrets: list[EnvName] = []
    container: Container | None = None


class Resources(Section, frozen=True, kw_only=True):
    """What to ask for: nodes, and `nproc_per_node` processes per node with one accelerator each."""

    nodes: Nodes = 1
    nproc_per_node: Processes = 1
    accelerator: Literal["gpu", "cpu"] = "gpu"
    gpu_type: Line | None = None
    cpus_per_proc: Processes | None = None
    memory: NodeMemory | None = None
    shm: Memory | None = None
    time_limit: Duration | None = None


class Restarts(Section, frozen=True, kw_only=True):
    """Restarts after preemption, a time-out or a lost node; `grace`: time between the warning signal and the kill."""

    max: Restart = 0
    grace: Duration = 120


class Slurm(Section, frozen=True, kw_only=True):
    """Options of sbatch. `extra` takes those without a key of their own."""

    partition: Line | None = None
    account: Line | None = None
    qos: Line | None = None
    constraint: Line | None = None
    reservation: Line | None = None
    exclude: Line | None = None
    nodelist: Line | None = None
    mail_user: Line | None = None
    dependency: Line | None = None
    extra: dict[Line, Any] = {}


class Kubernetes(Section, frozen=True, kw_only=True):
    """The cluster, namespace, image and pod settings of the PyTorchJob."""

    context: Line | None = None
    namespace: Line | None = None
    image: Line | None = None
    image_pull_secrets: list[Line] = []
    service_account: Line | None = None
    queue: Line | None = None
    priority_class: Line | None = None
    scheduler: Literal["kueue", "volcano"] | None = None
    node_selector: dict[Line, Line] = {}
    tolerations: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    output_mount: Line | None = None
    secret: Line | None = None
    extra: dict[str, Any] = {}


class Local(Section, frozen=True, kw_only=True):
    """Settings of a job on this machine."""

    cuda_visible_devices: Line | None = None


class Platform(Section, frozen=True, kw_only=True):
    """A platform that starts one command on each node: names of its variables, and time-outs."""

    # Names of variables, for a platform whose variables prl-submit does not know.
    nodes: EnvName | None = None
    node_rank: EnvName | None = None
    master_addr: EnvName | None = None
    master_port: EnvName | None = None
    nproc_per_node: EnvName | None = None
    job: EnvName | None = None
    # How long nodes wait for each other; after how long without a sign of life a run is LOST.
    wait: Duration = 1800
    silence: Duration = 180


#: Values for keys of the spec. Keys may be dotted or nested, so `sweeps.combinations` checks them.
SweptKeys = Annotated[dict[str, Any], Meta(description="a mapping of keys to values")]
Runs = Annotated[int, Meta(ge=1, le=10_000, description="a whole number from 1 to 10000")]
Seed = Annotated[int, Meta(ge=0, le=2**53, description="a whole number from 0")]


class Sweep(Section, frozen=True, kw_only=True):
    """Many runs from one spec: all combinations of values. `samples`, `seed`: of the values in `random`."""

    grid: SweptKeys = {}
    zip: SweptKeys = {}
    random: SweptKeys = {}
    samples: Runs | None = None
    seed: Seed = 0
    max_parallel: Runs | None = None
    name: Line | None = None


#: ms-swift's arguments: `swift.values.type_arguments` types them when the job's ms-swift is known.
Arguments = Annotated[dict[str, Any], Meta(description="a mapping of keys to values")]


class JobSpec(Section, frozen=True, kw_only=True):
    """A whole job. `swift` is empty until the job's ms-swift is known, whose arguments these are."""

    name: Name
    extends: Line | None = None
    backend: BackendName | None = None
    workdir: Line = "."
    output: Line = "output"
    environment: Environment = Environment()
    resources: Resources = Resources()
    swift: Arguments = {}
    restarts: Restarts = Restarts()
    slurm: Slurm = Slurm()
    kubernetes: Kubernetes = Kubernetes()
    local: Local = Local()
    platform: Platform = Platform()
    sweep: Sweep | None = None
