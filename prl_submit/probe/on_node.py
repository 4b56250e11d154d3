"""The code that runs on a node and finds out what the node has.

submitit sends these functions by value, so the node needs Python and submitit, but no prl-submit.
They use the standard library, /proc, and programs that may be missing. What cannot be found out is
null, and a note says why; the rest is still looked at.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

MIB = 2**20
SHM = "/dev/shm"  # noqa: S108
#: Seconds for nvidia-smi: without persistence mode it starts the driver anew for each GPU.
SMI_S = 60.0
#: The beginning of the line on which the version script prints what it found.
ANSWER = "prl-probe: "
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_QUERY = "--query-gpu=name,memory.total,driver_version,uuid"


def probe_node(request: dict[str, Any]) -> dict[str, Any]:
    """Call `look`, as submitit's job. The first signal ends it and all that it started.

    Later signals are ignored meanwhile. submitit itself ignores SIGTERM, so this sets handlers; and a
    Ctrl-C may arrive twice, from the terminal and from prl-submit.
    """

    def stop(number: int, _: object) -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in _ENDING:
        signal.signal(each, stop)
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        os.environ.pop(
            "CUDA_VISIBLE_DEVICES", None
        )  # submitit hides all GPUs from a local job that asks for none
    return look(request)


def look(request: dict[str, Any]) -> dict[str, Any]:
    """What this machine has: the fields of NodeFacts, and `paths`.

    `request` has: output_root; paths; script, the bash that prints the ANSWER line, or None; script_s,
    the seconds that the script may take; in_job, true in a Slurm job, whose memory limit is the probe's
    own; notes, to which others are added.
    """
    notes: list[str] = list(request["notes"])

    def attempt(name: str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except Exception as error:  # one failed question must not end the others
            notes.append(f"{name}: {error or type(error).__name__}")
            return None

    name = os.uname().nodename
    script = request["script"]
    environment = attempt("environment", lambda: versions(script, request["script_s"]))
    return {
        "node": os.environ.get("SLURMD_NODENAME", name) if request["in_job"] else name,
        "hostname": name,
        "gpus": attempt("GPUs", lambda: gpus(notes)),
        "memory_mib": attempt("memory", memory_mib),
        "memory_limit_mib": None if request["in_job"] else attempt("cgroup", memory_limit_mib),
        "cpu": attempt("CPU", cpu_model),
        "cpus": os.cpu_count(),
        "shm_mib": attempt("shared memory", lambda: shutil.disk_usage(SHM).total // MIB),
        "output_root": request["output_root"],
        "disk_free_mib": attempt(
            "output root", lambda: shutil.disk_usage(request["output_root"]).free // MIB
        ),
        "os": attempt("os", os_name),
        "kernel": os.uname().release,
        "versions": environment or {},
        "notes": notes,
        "paths": {
            path: os.path.exists(path) for path in request["paths"]
        },  # last, because the setup lines in the script may make them
    }


def run(argv: list[str], seconds: float, files: tuple[int, ...] = ()) -> tuple[int, str, str]:
    """Run a program: its exit code, its stdout and its stderr. All that it started is killed after it.

    `files`: the descriptors that it inherits. Signals are held back until its process id is known: otherwise
    we could end and leave it running. Raises OSError, and TimeoutError if it takes too long.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=files,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask),  # noqa: PLW1509
        ) as process:
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{argv[0]} gave no answer within {seconds:g} s") from None
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except OSError:
                    pass  # no process of its group is left
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def gpus(notes: list[str]) -> list[dict[str, Any]]:
    """All GPUs of the node, whatever CUDA_VISIBLE_DEVICES says. Raises RuntimeError, OSError."""
    try:
        code, out, err = run(["nvidia-smi", _QUERY, "--format=csv,noheader,nounits"], SMI_S)
    except FileNotFoundError:
        devices = glob.glob("/dev/nvidia[0-9]*")
        notes.append(f"GPUs: nvidia-smi is not on PATH; {len(devices)} devices /dev/nvidia*")
        return [{} for _ in devices]
    if "No devices were found" in out + err:
        return []
    if code != 0:
        raise RuntimeError(f"nvidia-smi: exit code {code}: {last_line(out + err)}")
    return [parse_gpu(line) for line in out.splitlines() if line.strip()]


def parse_gpu(line: str) -> dict[str, Any]:
    """A GPU from nvidia-smi's line `NVIDIA H100 80GB HBM3, 81559, 550.54, GPU-…`.

    [N/A] and [Unknown Error] become null.
    """
    words = [None if word.startswith("[") else word for word in line.strip().rsplit(", ", 3)]
    name, memory, driver, uuid = [*words, None, None, None][:4]
    size = int(memory) if memory and memory.isdigit() else None
    return {"name": name, "memory_mib": size, "driver": driver, "uuid": uuid}


def memory_mib() -> int:
    """The machine's memory: MemTotal in /proc/meminfo."""
    with open("/proc/meminfo") as file:
        match = re.search(r"^MemTotal:\s+(\d+) kB", file.read(), re.MULTILINE)
    if match is None:
        raise ValueError("/proc/meminfo has no MemTotal")
    return int(match[1]) // 1024


def memory_limit_mib(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int | None:
    """The lowest memory limit of our control groups (v1 and v2); None if the machine has no more."""
    with open(own) as file:
        lines = [line.strip().split(":", 2) for line in file if line.count(":") >= 2]
    found = []
    for _, controllers, path in lines:
        if controllers not in ("", "memory"):
            continue
        folder, name = (
            (f"{root}/memory", "memory.limit_in_bytes") if controllers else (root, "memory.max")
        )
        parts = path.strip("/").split("/")
        for depth in range(len(parts) + 1):
            try:
                with open(os.path.join(folder, *parts[:depth], name)) as file:
                    text = file.read().strip()
            except OSError:
                continue  # inside a container only a part of the tree can be seen
            if text.isdigit():
                found.append(int(text) // MIB)
    lowest = min(found, default=None)
    return None if lowest is None or lowest >= memory_mib() else lowest


def cpu_model() -> str | None:
    """The name of the first processor; None on ARM, where the kernel gives none."""
    with open("/proc/cpuinfo") as file:
        match = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    return match[1].strip() if match else None


def os_name() -> str:
    """The name of the system, such as `Debian GNU/Linux 12 (bookworm)`."""
    with open("/etc/os-release") as file:
        match = re.search(r"^PRETTY_NAME=(.+)$", file.read(), re.MULTILINE)
    return match[1].strip().strip("\"'") if match else os.uname().sysname


def versions(script: str | None, seconds: float) -> dict[str, str | None]:
    """The versions in the training environment. Raises RuntimeError if it cannot be entered."""
    if script is None:
        return {}
    # A word of a command line has at most 128 KiB, which the script exceeds; a file in memory leaves nothing behind.
    with open(os.memfd_create("prl-probe"), "wb") as file:
        file.write(script.encode("utf-8"))
        file.flush()
        code, out, err = run(["bash", f"/proc/self/fd/{file.fileno()}"], seconds, (file.fileno(),))
    answers = [line for line in out.splitlines() if line.startswith(ANSWER)]
    if code != 0 or not answers:
        raise RuntimeError(last_line(err) or f"bash: exit code {code}")
    found: dict[str, str | None] = json.loads(answers[-1][len(ANSWER) :])
    return found


def last_line(text: str) -> str:
    """The last line that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
