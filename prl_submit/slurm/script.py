"""job.sbatch."""

from __future__ import annotations

from pathlib import Path

from prl_submit import __version__
from prl_submit.plan import Plan
from prl_submit.render import render
from prl_submit.slurm.directives import directives
from prl_submit.slurm.reasons import wanted_words

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
        "memory": int(resources.memory is not None),
        "grace": plan.restarts.grace,
        "max_restarts": plan.restarts.max,
        "outer": outer,
        "inner": inner,
    }
    return render(SCRIPT, variables, site)


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
