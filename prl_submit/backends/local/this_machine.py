"""Whether this machine has what a local job needs: GPUs and its Python environment.

`check` only warns, because the user may type it on another machine. `check --online` refuses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prl_submit.errors import Refusal
from prl_submit.planning.plan import Plan
from prl_submit.spec.scalars import is_digits
from prl_submit.system.user_paths import expanded

if TYPE_CHECKING:
    from prl_submit.system.shell import Shell

#: Seconds. Without persistence mode the driver starts anew for each call.
SMI_S = 10.0
#: Names of device files of other makers, whose devices are not counted here.
_OTHERS = ("kfd", "davinci", "accel", "dxg", "mthreads", "cambricon")


def lacking(plan: Plan, environ: Mapping[str, str], smi: Shell | None = None) -> Iterator[Refusal]:
    """What this machine lacks. With `smi` nvidia-smi is run; without it the device files are counted."""
    if plan.resources.accelerator == "gpu" and environ.get("PRL_PREFLIGHT") != "off":
        yield from _gpus(plan, environ, smi)
    if plan.environment.conda and not (plan.environment.modules or _mentions_conda(plan)):
        yield from _conda(plan, environ)
    venv = plan.environment.venv
    if venv and not os.path.exists(_inside(plan, venv, "bin")):
        yield Refusal(
            "environment.venv", f"virtual environment {venv} is not here", "make it first"
        )


def _inside(plan: Plan, folder: str, name: str) -> str:
    """A name in a folder of the spec, which the job reads from its working directory."""
    return os.path.join(plan.workdir, expanded(folder, os.path.expanduser("~")), name)


def _gpus(plan: Plan, environ: Mapping[str, str], smi: Shell | None) -> Iterator[Refusal]:
    here = count_gpus(environ, smi)
    if here is None:
        return
    wanted = plan.resources.nproc_per_node
    given = plan.local.cuda_visible_devices
    key = "local.cuda_visible_devices" if given else "resources.nproc_per_node"
    listed = given if given is not None else environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in (listed or "").split(",") if name.strip()]
    beyond = [name for name in names if is_digits(name) and int(name) >= here]
    if given and beyond:
        hint = f"it has 0 to {here - 1}" if here else "this machine has no GPU"
        yield Refusal(key, f"names GPU {beyond[0]}; this machine has {_gpu_count(here)}", hint)
        return
    seen = here if listed is None else min(here, len(names))
    if seen < wanted:
        message = f"{_gpu_count(wanted)} {_are(wanted)} needed, one per process; "
        message += f"this machine has {_gpu_count(here)}"
        if listed is not None and len(names) < here:
            message += f", and CUDA_VISIBLE_DEVICES shows {len(names)}"
        yield Refusal(key, message, "fewer processes, accelerator: cpu, or another --backend")


def _gpu_count(count: int) -> str:
    return f"{count} GPU" + ("" if count == 1 else "s")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def find_nvidia_smi(environ: Mapping[str, str]) -> str | None:
    """The path of nvidia-smi; None if it is not on PATH."""
    places = environ.get("PATH", os.defpath).split(os.pathsep)
    programs = (os.path.join(place, "nvidia-smi") for place in places)  # shutil takes milliseconds
    return next((path for path in programs if os.access(path, os.X_OK)), None)


def count_gpus(environ: Mapping[str, str], smi: Shell | None) -> int | None:
    """The number of GPUs of this machine, as launch.sh counts them; None if it cannot be known."""
    installed = find_nvidia_smi(environ)
    if installed and smi is not None:
        answer = smi([installed, "-L"], timeout=SMI_S)
        lines = [line.lstrip() for line in answer.out.splitlines()]
        if answer.code == 0:
            return sum(line.startswith(("GPU ", "MIG ")) for line in lines)
    try:
        devices = os.listdir("/dev")
    except OSError:
        return None
    count = sum(name[6:].isdigit() for name in devices if name.startswith("nvidia"))
    if not count and (installed or any(name.startswith(_OTHERS) for name in devices)):
        return None
    return count


def _mentions_conda(plan: Plan) -> bool:
    """True if a setup line mentions conda: it may install or find it."""
    return any("conda" in line or "mamba" in line for line in plan.environment.setup)


def _conda(plan: Plan, environ: Mapping[str, str]) -> Iterator[Refusal]:
    """The conda environment, looked for in the places where launch.sh and conda look."""
    from prl_submit.swift.installed import conda_prefix

    conda = plan.environment.conda
    if conda is None:
        return
    name = conda if isinstance(conda, str) else conda.name
    prefix = conda_prefix(conda, plan.workdir, environ)
    if prefix is None:
        hint = f"environment.conda: {{name: {name}, root: DIR}} says where it is"
        yield Refusal("environment.conda", "conda is not on this machine", hint)
    elif not os.path.isdir(prefix) and not _is_listed(name, environ):
        message = f"there is no conda environment {name} here: {prefix} is no folder"
        yield Refusal("environment.conda", message, _other_environments(prefix))


def _is_listed(name: str, environ: Mapping[str, str]) -> bool:
    """True if an environment of that name may lie elsewhere: by conda's own list, or by the user's settings."""
    if environ.get("CONDA_ENVS_PATH") or environ.get("CONDA_ENVS_DIRS"):
        return True
    home = environ.get("HOME") or os.path.expanduser("~")
    if os.path.isdir(os.path.join(home, ".conda", "envs", name)):
        return True
    for file in (".conda/environments.txt", ".condarc"):
        try:
            with open(os.path.join(home, file), encoding="utf-8", errors="replace") as lines:
                text = lines.read(1_000_000)
        except OSError:
            continue
        if "envs_dirs" in text or any(os.path.basename(p) == name for p in text.splitlines()):
            return True
    return False


def _other_environments(prefix: str) -> str:
    try:
        names = sorted(os.listdir(os.path.dirname(prefix)))[:8]
    except OSError:
        names = []
    return f"it has: {', '.join(['base', *names])}"
