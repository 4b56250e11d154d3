"""What a command line says of a training: who launches it, how, and with which arguments."""

from __future__ import annotations

from msgspec import Struct

from prl_submit.importing.bash.scope import Given

#: Variables that the launcher sets for itself and for the processes it starts.
LAUNCHERS_OWN = frozenset(
    "NODE_RANK MASTER_ADDR MASTER_PORT RANK LOCAL_RANK WORLD_SIZE GROUP_RANK"
    " LOCAL_WORLD_SIZE RDZV_ID RDZV_BACKEND RDZV_ENDPOINT RDZV_CONF"
    " PET_NODE_RANK PET_MASTER_ADDR PET_MASTER_PORT PET_RDZV_ID PET_RDZV_BACKEND"
    " PET_RDZV_ENDPOINT PET_RDZV_CONF".split()
)
#: Variables by which `swift rlhf` or torchrun learns the number of processes, and the GPUs: a spec has keys for them.
RESOURCES = frozenset(
    ["NPROC_PER_NODE", "NNODES", "PET_NPROC_PER_NODE", "PET_NNODES", "CUDA_VISIBLE_DEVICES"]
)


class Start(Struct, kw_only=True):
    """A training as its command line says it: who launches it, with which options and arguments.

    `launcher`: swift (which reads NPROC_PER_NODE), torchrun, or python (one process).
    """

    line: int
    launcher: str = "swift"
    options: list[tuple[str, Given | None]] = []
    arguments: list[Given] = []
    #: From `env A=b` and `env -u A` (None).
    environment: list[tuple[str, Given | None]] = []
    srun: list[tuple[str, Given | None]] = []
    is_srun: bool = False
    conda: Given | None = None
    #: From `timeout`.
    time_limit: Given | None = None
    #: From `uv run`: the environment of the project.
    venv: str | None = None
    is_uv: bool = False
    notes: list[tuple[str, str | None]] = []

    def add(self, outer: Start) -> None:
        """Add what stood before the shell that starts this training."""
        self.srun = [*outer.srun, *self.srun]
        self.is_srun = self.is_srun or outer.is_srun
        self.conda = self.conda or outer.conda
        self.time_limit = self.time_limit or outer.time_limit
        self.venv = self.venv or outer.venv
        self.is_uv = self.is_uv or outer.is_uv
        self.notes = [*outer.notes, *self.notes]


class Refused(Struct, frozen=True):
    """A command that starts something which no job spec can say."""

    line: int
    message: str
    hint: str | None


def joined(words: list[Given]) -> str:
    """Words as one text."""
    return " ".join(word.shown for word in words)
