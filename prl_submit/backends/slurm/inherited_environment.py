"""The environment in which prl-submit calls Slurm's commands, and which sbatch passes to the job.

sbatch passes its whole environment to the job (`--export=ALL`), and the srun in job.sbatch reads
options from it. For example, SLURM_TIMELIMIT=1 in a user's shell would end the training after one
minute. So such variables are removed before sbatch is called.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from prl_submit.backends.inherited_variables import is_inherited
from prl_submit.backends.slurm.directives import directives
from prl_submit.planning.plan import Plan

#: Variables that set options of Slurm's programs, or that describe a job step to its processes.
_PREFIXES = (
    *("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SALLOC_", "SCRON_", "SLURMRESTD_"),
    *("SQUEUE_", "SINFO_", "SACCT_", "SACCTMGR_", "SCONTROL_", "SCANCEL_", "SSTAT_", "SPRIO_"),
    *("SPANK_", "_SLURM_", "PMI_"),
)
#: Exceptions from _PREFIXES: these name the cluster and authenticate the user.
_CLUSTER = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
#: Exceptions from _PREFIXES: users set these once for a site, to say where their jobs run and who
#: pays. Each is used if the spec does not set the same option.
SITE_DEFAULTS = (
    *("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS"),
    *("SBATCH_RESERVATION", "SBATCH_CONSTRAINT", "SBATCH_WCKEY"),
)


def question_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without the variables that change what Slurm's commands print.

    With SLURM_BITSTR_LEN=0 they print the numbers of an array's tasks in full, and not cut after 64 characters.
    """
    kept = {name: value for name, value in environ.items() if not _steers_slurm(name)}
    return kept | {"SLURM_BITSTR_LEN": "0"}


def _steers_slurm(name: str) -> bool:
    return name.startswith(_PREFIXES) and name not in _CLUSTER


def job_environ(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the submitter's environment that sbatch gets, and that sbatch gives to the job."""
    return inherited(environ, site_defaults(plan))


def inherited(environ: Mapping[str, str], kept: Collection[str]) -> dict[str, str]:
    """`environ` without the variables that would change what sbatch, srun or bash do.

    `kept`: names of SBATCH_ variables to keep.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in kept or (is_inherited(name) and not _steers_slurm(name))
    }


def site_defaults(plan: Plan) -> set[str]:
    """The SITE_DEFAULTS that sbatch may read for this job: those whose option the spec does not set.

    The others must be removed, because a variable overrides the #SBATCH line of the same option
    (sbatch(1), INPUT ENVIRONMENT VARIABLES).
    """
    options = [name for name, _ in directives(plan, token="")]
    set_by_spec = {f"SBATCH_{name.upper().replace('-', '_')}" for name in options}
    return set(SITE_DEFAULTS) - set_by_spec
