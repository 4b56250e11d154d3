"""Render job.sbatch, the batch script that prl-submit sends to Slurm."""

from __future__ import annotations

from pathlib import Path

from prl_submit import __version__
from prl_submit.backends.slurm.directives import directives, has_own_log_file
from prl_submit.backends.slurm.reasons import wanted_words
from prl_submit.launch.render import render
from prl_submit.planning.plan import Plan
from prl_submit.runs.layout import BATCH_SCRIPT


def render_script(plan: Plan, token: str, site: Path | None) -> str:
    """The text of job.sbatch. `site`: the folder of --templates, whose job.sbatch replaces ours."""
    resources = plan.resources
    cpus = resources.cpus_per_proc
    outer, inner = container_words(plan)
    gpus = resources.nproc_per_node if resources.accelerator == "gpu" else 0
    variables = {
        "title": f"{plan.name}: {wanted_words(gpus, resources.nodes)}",
        "version": __version__,
        "spec_file": plan.spec_file,
        "options": [list(option) for option in directives(plan, token)],
        "run_dir": plan.run_dir,
        "nodes": resources.nodes,
        "cpus": 0 if cpus is None else cpus * resources.nproc_per_node,
        "kept": " | ".join(_set_for_srun(plan)),
        "propagate": int("propagate" in plan.slurm.extra),
        "redirect": int(has_own_log_file(plan)),
        "grace": plan.restarts.grace,
        "max_restarts": plan.restarts.max,
        "outer": outer,
        "inner": inner,
    }
    return render(BATCH_SCRIPT, variables, site)


#: For each option in slurm.extra: the variables in which sbatch passes it to srun (sbatch(1), OUTPUT
#: ENVIRONMENT VARIABLES).
_VARIABLES_FOR_SRUN = {
    "acctg-freq": ["SLURM_ACCTG_FREQ"],
    "cpu-freq": ["SLURM_CPU_FREQ_REQ"],
    "distribution": ["SLURM_DISTRIBUTION", "SLURM_DIST_PLANESIZE"],
    "gpu-bind": ["SLURM_GPU_BIND"],
    "gpu-freq": ["SLURM_GPU_FREQ"],
    "gpus-per-socket": ["SLURM_GPUS_PER_SOCKET"],
    "hint": ["SLURM_HINT"],
    "mem-bind": ["SLURM_MEM_BIND", "SLURM_MEM_BIND_*"],
    "mem-per-cpu": ["SLURM_MEM_PER_CPU"],
    "mem-per-gpu": ["SLURM_MEM_PER_GPU"],
    "network": ["SLURM_NETWORK"],
    "ntasks-per-core": ["SLURM_NTASKS_PER_CORE"],
    "ntasks-per-socket": ["SLURM_NTASKS_PER_SOCKET"],
    "oom-kill-step": ["SLURM_OOM_KILL_STEP"],
    "overcommit": ["SLURM_OVERCOMMIT"],
    "profile": ["SLURM_PROFILE"],
    "threads-per-core": ["SLURM_THREADS_PER_CORE"],
    "tres-bind": ["SLURM_TRES_BIND"],
    "tres-per-task": ["SLURM_TRES_PER_TASK"],
}


def _set_for_srun(plan: Plan) -> list[str]:
    """The variables that sbatch sets for this job's srun; job.sbatch removes all others."""
    found = [] if plan.resources.memory is None else ["SLURM_MEM_PER_NODE"]
    for option in plan.slurm.extra:
        found += _VARIABLES_FOR_SRUN.get(option, [])
    return found


def container_words(plan: Plan) -> tuple[list[str], list[str]]:
    """How srun starts launch.sh in environment.container.

    With pyxis: options of srun, first in the pair. With apptainer: the words before `bash launch.sh`,
    second in the pair. Both empty without a container.

    The working directory and the output root are mounted under their own paths.
    """
    container = plan.environment.container
    if container is None:
        return [], []
    is_output_in_workdir = f"{plan.output_root}/".startswith(f"{plan.workdir}/")
    paths = [plan.workdir] if is_output_in_workdir else [plan.workdir, plan.output_root]
    mounts = [*(f"{path}:{path}" for path in paths), *container.mounts]
    if container.runtime == "pyxis":
        return _pyxis_options(plan, container.image, mounts), []
    words = ["apptainer", "exec"]
    if plan.resources.accelerator == "gpu":
        words.append("--nv")
    for mount in mounts:
        words += ["--bind", mount]
    return [], [*words, container.image]


def _pyxis_options(plan: Plan, image: str, mounts: list[str]) -> list[str]:
    options = [f"--container-image={image}", f"--container-mounts={','.join(mounts)}"]
    # An image may set these variables itself; --container-env keeps the job's values.
    variables = ["MASTER_ADDR", "MASTER_PORT"] if plan.resources.nodes > 1 else []
    variables += plan.environment.secrets
    if variables:
        options.append(f"--container-env={','.join(variables)}")
    return options
