"""Which variables of the user's environment a job gets, where it gets that environment at all."""

from __future__ import annotations

#: Variables of a job or launcher inside which the user runs prl-submit. torchrun and launch.sh would
#: take them for their own.
_LAUNCHERS = ("PRL_SUBMIT_", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
#: Variables that change how bash runs a script. launch.sh and job.sbatch are bash scripts.
_BASH = frozenset(
    [
        *("BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT", "BASH_COMPAT"),
        *("BASH_XTRACEFD", "GLOBIGNORE", "EXECIGNORE", "CDPATH"),
    ]
)


def is_inherited(name: str) -> bool:
    """False for a variable that would change what launch.sh or torchrun does."""
    return name not in _BASH and not name.startswith(_LAUNCHERS)
