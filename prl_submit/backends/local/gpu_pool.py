"""The GPUs of this machine that the waiting queue gives to runs: which there are, and which are in use.

A GPU is in use if a process of some job of prl-submit on this machine may use it. That is read from the
processes, and not remembered: so it is right after any crash, and for jobs of other sweeps and output roots.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prl_submit.backends.local import processes
from prl_submit.backends.local.this_machine import SMI_S, count_gpus, find_nvidia_smi
from prl_submit.planning.plan import Plan
from prl_submit.runs.layout import LAUNCH
from prl_submit.runs.plan_file import find_plan
from prl_submit.spec.scalars import is_digits
from prl_submit.system.shell import Shell

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_GPU = re.compile(r"^GPU ([0-9]+):.*\(UUID: (GPU-[^)]+)\)", re.MULTILINE)
_MIG = re.compile(r"\(UUID: (MIG-[^)]+)\)")


def pool_of(plan: Plan, environ: Mapping[str, str], smi: Shell) -> list[str]:
    """The GPUs that a job may have: those of the spec, else of CUDA_VISIBLE_DEVICES, else all of this machine.

    A list ends at the first GPU that is not there, as CUDA reads it.
    """
    listed = plan.local.cuda_visible_devices
    if listed is None:
        listed = environ.get(_VISIBLE)
    if listed is None:
        return _all_gpus(environ, smi)
    here, uuids = count_gpus(environ, smi), uuids_of(environ, smi)
    found: list[str] = []
    for name in (_whole(name, uuids) for name in _names(listed)):
        if name.startswith("-") or (is_digits(name) and here is not None and int(name) >= here):
            break
        if name not in found:
            found.append(name)
    return found


def _whole(name: str, uuids: Mapping[str, str]) -> str:
    """The whole name of a GPU. CUDA takes the beginning of a UUID, and `01` for GPU 1."""
    if is_digits(name):
        return str(int(name))
    whole = [uuid for uuid in uuids if name.startswith("GPU-") and uuid.startswith(name)]
    return whole[0] if len(whole) == 1 else name


def uuids_of(environ: Mapping[str, str], smi: Shell) -> dict[str, str]:
    """The number of each GPU by its UUID; empty if nvidia-smi cannot say."""
    listed = _listed_gpus(environ, smi) or ""
    return {uuid: number for number, uuid in _GPU.findall(listed)}


def _listed_gpus(environ: Mapping[str, str], smi: Shell) -> str | None:
    """What `nvidia-smi -L` prints; None if it is not there or fails."""
    program = find_nvidia_smi(environ)
    answer = smi([program, "-L"], timeout=SMI_S) if program else None
    return None if answer is None or answer.code != 0 else answer.out


def by_all_names(used: Iterable[str], uuids: Mapping[str, str]) -> set[str]:
    """The GPUs that are in use, by their numbers and by their UUIDs: one job names them so, and another otherwise."""
    numbers = {number: uuid for uuid, number in uuids.items()}
    found = {_whole(name, uuids) for name in used}
    others = [uuids.get(name) or numbers.get(name) for name in found]
    return found | {name for name in others if name is not None}


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _all_gpus(environ: Mapping[str, str], smi: Shell) -> list[str]:
    """All GPUs by their numbers; in place of a GPU that is divided (MIG) its parts."""
    listed = _listed_gpus(environ, smi)
    if listed is None:
        return [str(number) for number in range(count_gpus(environ, smi) or 0)]
    found: list[list[str]] = []
    for line in listed.splitlines():
        if line.startswith("GPU "):
            found.append([])
        elif found and (part := _MIG.search(line)):
            found[-1].append(part[1])
    return [name for number, parts in enumerate(found) for name in parts or [str(number)]]


def gpus_in_use() -> set[str]:
    """The GPUs that processes of jobs on this machine may use, by the names that those jobs have for them."""
    found: set[str] = set()
    for pid in processes.of_jobs():
        found.update(gpus_of(pid))
    return found


def gpus_of(pid: int) -> list[str]:
    """The GPUs that a process of a job may use."""
    entries = processes.environment(pid) or []
    variables = dict(os.fsdecode(entry).partition("=")[::2] for entry in entries)
    visible = variables.get(_VISIBLE)
    launched = _plan_of_launcher(pid)
    if launched is not None and not launched.shares_gpus:
        return _gpus_of_plan(launched, visible)
    if visible is not None:
        return _names(visible)
    rank = variables.get("LOCAL_RANK", "")
    return [rank] if is_digits(rank) else []


def _plan_of_launcher(pid: int) -> Plan | None:
    """The plan of the job whose launch.sh this process is: launch.sh may not have set its variables yet."""
    words = processes.command_line(pid)
    if len(words) != 2 or os.path.basename(words[1]) != LAUNCH:
        return None
    return find_plan(Path(words[1]).parent)


def _gpus_of_plan(plan: Plan, visible: str | None) -> list[str]:
    """The GPUs of a job that was started alone: it takes the first ones that it sees."""
    if plan.resources.accelerator != "gpu":
        return []
    listed = plan.local.cuda_visible_devices or visible
    count = plan.resources.nproc_per_node
    return [str(number) for number in range(count)] if listed is None else _names(listed)


@contextlib.contextmanager
def giving_out(uuids: Mapping[str, str]) -> Iterator[set[str]]:
    """The GPUs in use, by all names. Meanwhile no other queue of this user gives out GPUs, or it would give the same ones."""
    name = f"/tmp/prl-submit-gpus-{os.geteuid()}.lock"  # noqa: S108  # O_NOFOLLOW, and nothing is written
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # /tmp takes no files, or the name is another user's
            lock = os.open(name, flags, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield by_all_names(gpus_in_use(), uuids)
