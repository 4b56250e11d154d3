"""job.sbatch."""

from __future__ import annotations

from pathlib import Path

from prl_submit import __version__
from prl_submit.backends.slurm.directives import directives, has_own_log_file
from prl_submit.backends.slurm.reasons import wanted_words
from prl_submit.launch.render import render
from prl_submit.planning.plan import Plan

SCRIPT = "job.sbatch"


def render_script(plan: Plan, token: str, site: Path | None) -> str:
    """The batch script of a plan."""
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
    return render(SCRIPT, variables, site)


#: Options of sbatch that it hands on to srun by variables (sbatch(1), OUTPUT ENVIRONMENT VARIABLES).
_HANDED_ON = {
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
    """The variables that this job's own sbatch sets for srun."""
    memory = [] if plan.resources.memory is None else ["SLURM_MEM_PER_NODE"]
    return memory + [name for key in plan.slurm.extra for name in _HANDED_ON.get(key, [])]


def container_words(plan: Plan) -> tuple[list[str], list[str]]:
    """What a container adds: options of srun (pyxis), and words before `bash launch.sh` (apptainer).

    The run and working directories are mounted where they are; secrets and the rendezvous keep the
    job's values where the image has its own.
    """
    container = plan.environment.container
    if container is None:
        return [], []
    inside = f"{plan.output_root}/".startswith(f"{plan.workdir}/")
    paths = [plan.workdir] if inside else [plan.workdir, plan.output_root]
    mounts = [*(f"{path}:{path}" for path in paths), *container.mounts]
    if container.runtime == "pyxis":
        names = ["MASTER_ADDR", "MASTER_PORT"] if plan.resources.nodes > 1 else []
        names += plan.environment.secrets
        return [
            f"--container-image={container.image}",
            f"--container-mounts={','.join(mounts)}",
            *([f"--container-env={','.join(names)}"] if names else []),
        ], []
    gpu = ["--nv"] if plan.resources.accelerator == "gpu" else []
    binds = [word for mount in mounts for word in ("--bind", mount)]
    return [], ["apptainer", "exec", *gpu, *binds, container.image]
