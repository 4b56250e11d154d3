"""The environment in which Slurm's commands are called, and which a job gets from its submitter.

sbatch hands its whole environment on to the job (`--export=ALL`), and the srun in job.sbatch reads its
options from there: SLURM_TIMELIMIT=1 in a user's shell would end the training after a minute.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prl_submit.backends.slurm.directives import directives
from prl_submit.planning.plan import Plan

#: Names of variables by which Slurm's programs take options, or by which a job's step is described.
_PREFIXES = (
    *("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SALLOC_", "SCRON_", "SLURMRESTD_"),
    *("SQUEUE_", "SINFO_", "SACCT_", "SACCTMGR_", "SCONTROL_", "SCANCEL_", "SSTAT_", "SPRIO_"),
    *("SPANK_", "_SLURM_", "PMI_"),
)
#: Of these, the ones that say which cluster is meant and who asks.
_CLUSTER = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
#: A user's defaults for where jobs run and who pays, set once for a site. They count where the spec is silent.
SITE_DEFAULTS = (
    *("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS"),
    *("SBATCH_RESERVATION", "SBATCH_CONSTRAINT", "SBATCH_WCKEY"),
)
#: What an outer job or a launcher left behind.
_LAUNCHERS = ("PRL_SUBMIT_", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
#: job.sbatch and launch.sh are bash scripts: these would change how bash reads them.
_BASH = frozenset(
    [
        *("BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT", "BASH_COMPAT"),
        *("BASH_XTRACEFD", "GLOBIGNORE", "EXECIGNORE", "CDPATH"),
    ]
)


def question_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which Slurm's commands answer in the form that we read."""
    return {name: value for name, value in environ.items() if not _steers_slurm(name)}


def _steers_slurm(name: str) -> bool:
    return name.startswith(_PREFIXES) and name not in _CLUSTER


def job_environ(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """What sbatch, and through it the job, inherits of the submitter's environment."""
    return inherited(environ, site_defaults(plan))


def inherited(environ: Mapping[str, str], kept: Collection[str]) -> dict[str, str]:
    """The environment without what would steer sbatch, srun or bash. `kept`: variables of sbatch that count."""
    return {
        name: value
        for name, value in environ.items()
        if name in kept or not (_steers_slurm(name) or name in _BASH or name.startswith(_LAUNCHERS))
    }


def site_defaults(plan: Plan) -> set[str]:
    """Variables of sbatch that count for this job: the spec says nothing about them.

    A variable beats the script's own line (sbatch(1), INPUT ENVIRONMENT VARIABLES).
    """
    said = {f"SBATCH_{name.upper().replace('-', '_')}" for name, _ in directives(plan, token="")}
    return set(SITE_DEFAULTS) - said
