"""How many processes on how many nodes, with what: NPROC_PER_NODE, torchrun, srun, `#SBATCH`."""

from __future__ import annotations

import math
import re

from prl_submit.importing.bash.scope import Gap, Given, Unknown, Variable
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.follower import Followed
from prl_submit.importing.job_spec.sbatch import SHORT, Header, clock
from prl_submit.importing.training_command import RESOURCES, Start
from prl_submit.spec.write import Tree

#: Options of torchrun that prl-submit sets, or does not need.
_LAUNCHER_OPTIONS = frozenset(
    "node_rank master_addr master_port standalone rdzv_id rdzv_backend rdzv_endpoint"
    " rdzv_conf".split()
)
_LOG_OPTIONS = frozenset(
    ["log_dir", "r", "redirects", "t", "tee", "local_ranks_filter", "log_line_prefix_template"]
)
#: What counts the GPUs of a node, in the reason why a number is not known.
_COUNTS_GPUS = re.compile(r"nvidia-smi (-L|--list-gpus|--query-gpu=\S+)|device_count\(\)")
#: Options of srun that change nothing for one torchrun on each node.
_SRUN_QUIET = frozenset(
    ["-l", "--label", "-u", "--unbuffered", "-K", "--kill-on-bad-exit", "--jobid"]
)


class FoundResources:
    """What a script asks for: by variables, by torchrun's or srun's options, or by `#SBATCH`."""

    def __init__(
        self,
        followed: Followed,
        start: Start,
        header: Header,
        findings: Findings,
        *,
        is_cpu: bool,
        on_platform: bool = False,
    ) -> None:
        self._followed = followed
        self._start = start
        self._header = header
        self._findings = findings
        self._is_cpu = is_cpu
        self._on_platform = on_platform
        #: 0 where the number is not known, which has been reported, or is the platform's.
        self.nodes = 1
        #: Per node, likewise.
        self.processes = 1
        #: Keys that the spec leaves out, because the platform has the number.
        self.unstated: list[str] = []
        if self._start.launcher == "torchrun":
            self._from_torchrun()
        elif self._start.launcher == "swift":
            self._from_variables()
        if self._start.is_srun:
            self._srun()
        if on_platform and self.nodes == 1:  # the way that a script goes without a platform
            self.nodes = 0
            self.unstated.insert(0, "nodes")
        if self.nodes > 1 and not (self._header.is_there or on_platform):
            message = f"{self.nodes} nodes: the local backend has one"
            hint = "--backend slurm, kubernetes or platform"
            self._findings.note(self._start.line, message, hint)

    def section(self) -> dict[str, Tree]:
        """The `resources:` of the spec."""
        found: dict[str, Tree] = {}
        if self.nodes != 1 and "nodes" not in self.unstated:
            found["nodes"] = str(self.nodes)
        if "nproc_per_node" not in self.unstated:
            found["nproc_per_node"] = str(self.processes)
        if self._is_cpu:
            found["accelerator"] = "cpu"
        found |= self._from_header()
        if (limit := self._timeout()) is not None and "time_limit" not in found:
            found["time_limit"] = limit
        return found

    def _timeout(self) -> str | None:
        """The job's time limit, from `timeout 12h`."""
        given = self._start.time_limit
        if given is None:
            return None
        if isinstance(given, Gap):
            self._findings.unknown(given.line, "timeout", given.unknown)
            return None
        match = re.fullmatch(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([smhd]?)", given.text, re.ASCII)
        if match is None:
            self._findings.error(given.line, f"timeout {given.text}: not understood", "timeout 12h")
            return None
        seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
        if seconds == 0:
            return None
        self._findings.note(given.line, f"timeout {given.text} is resources.time_limit")
        use = "PRL_TIME_LIMIT or --set resources.time_limit=TIME"
        self._findings.defaults(given.defaults, "PRL_TIME_LIMIT", use, given.line)
        return clock(math.ceil(seconds))

    def _from_variables(self) -> None:
        """Read NPROC_PER_NODE and NNODES, by which `swift rlhf` starts torchrun (swift/cli/main.py)."""
        environment = self._followed.environment
        self._hint_at_shell_variables()
        for name in ("NPROC_PER_NODE", "NNODES"):
            if name in environment:
                self._count(name, environment[name])
        if {"NPROC_PER_NODE", "NNODES"} & set(environment):
            self._from_torchruns_variables()
            self._leave_to_environment(environment)
        else:
            message = "one process: NPROC_PER_NODE is not set. prl-submit starts it by torchrun too"
            self._findings.note(self._start.line, message)

    def _leave_to_environment(self, environment: dict[str, Variable]) -> None:
        """Leave out the number of processes that the script lets ms-swift take from the platform's environment."""
        if self._on_platform and not {"NPROC_PER_NODE", "PET_NPROC_PER_NODE"} & set(environment):
            self._leave_out_counted(self._start.line)
            self.processes = 0

    def _hint_at_shell_variables(self) -> None:
        for name, variable in self._followed.scope.variables.items():
            if name in RESOURCES and name not in self._followed.environment:
                message = f"{name} is not exported: the training does not get it"
                self._findings.note(variable.line, message, f"export {name}")

    def _from_torchruns_variables(self) -> None:
        """Read PET_NPROC_PER_NODE and PET_NNODES: torchrun reads one where it has not the option."""
        environment = self._followed.environment
        own = {"torchrun": {name for name, _ in self._start.options}, "swift": set(environment)}
        for name in ("NPROC_PER_NODE", "NNODES"):
            is_given = {name, name.lower()} & own[self._start.launcher]
            if f"PET_{name}" in environment and not is_given:
                self._count(f"PET_{name}", environment[f"PET_{name}"])

    def _count(self, name: str, variable: Variable) -> None:
        key = "nodes" if name.endswith("NNODES") else "nproc_per_node"
        if isinstance(variable.value, Unknown):
            if not self._is_platforms(key, variable.value, variable.line):
                self._findings.unknown(variable.line, name, variable.value)
            self._set_count(key, 0)
            return
        expected = f"PRL_{key.upper()}"
        use = f"{expected} or --set resources.{key}=N"
        self._findings.defaults(variable.defaults, expected, use, variable.line)
        self._set_count(key, self._number(name, str(variable.value), variable.line))

    def _is_platforms(self, key: str, unknown: Unknown, line: int) -> bool:
        """True if a number is the value of the platform's own variable: the spec leaves it out."""
        is_counted = key == "nproc_per_node" and _COUNTS_GPUS.search(unknown.why)
        if not self._on_platform or not (unknown.same_as or is_counted):
            return False
        if unknown.same_as is None:
            self._leave_out_counted(line)
            return True
        self.unstated.append(key)
        message = f"{key} is left out: the platform says it on each node, in {unknown.same_as}"
        hint = f"--set resources.{key}=N states it, and launch.sh compares the two"
        self._findings.note(line, message, hint)
        return True

    def _leave_out_counted(self, line: int) -> None:
        """Note that launch.sh counts the GPUs of the node, as the script does."""
        self.unstated.append("nproc_per_node")
        message = (
            "nproc_per_node is left out: one process for each GPU that the platform gives a node"
        )
        hint = "--set resources.nproc_per_node=N states it, and launch.sh compares the two"
        self._findings.note(line, message, hint)

    def _number(self, name: str, text: str, line: int) -> int:
        if re.fullmatch(r"[1-9][0-9]{0,4}", text):
            return int(text)
        self._findings.error(line, f"{name}={text}: expected a number", "write the number")
        return 0

    def _from_torchrun(self) -> None:
        self._from_torchruns_variables()
        for name, value in self._start.options:
            if name in ("nproc_per_node", "nnodes"):
                self._torchrun_count(name, value)
            elif name in _LAUNCHER_OPTIONS:
                if name != "standalone":
                    line = self._start.line if value is None else value.line
                    self._findings.note(line, f"--{name} is set by prl-submit's launcher")
            elif name in _LOG_OPTIONS:
                hint = "environment.env.PET_TEE: 3 logs each rank apart"
                self._findings.note(self._start.line, f"torchrun --{name} is left out", hint)
            elif name == "max_restarts" and value is not None and value.known == "0":
                continue
            else:
                is_restarts = name == "max_restarts"
                hint = "restarts: {max: N} in the spec" if is_restarts else "leave it out"
                message = f"torchrun --{name} has no key in a spec"
                self._findings.error(self._start.line, message, hint)

    def _torchrun_count(self, name: str, value: Given | None) -> None:
        if value is None:
            self._findings.error(self._start.line, f"torchrun --{name} has no value", None)
            return
        key = "nodes" if name == "nnodes" else name
        if isinstance(value, Gap):
            if not self._is_platforms(key, value.unknown, value.line):
                self._findings.unknown(value.line, f"torchrun --{name}", value.unknown)
            self._set_count(key, 0)
            return
        expected = f"PRL_{key.upper()}"
        use = f"{expected} or --set resources.{key}=N"
        self._findings.defaults(value.defaults, expected, use, value.line)
        if self._on_platform and value.text in ("gpu", "auto"):
            self._leave_out_counted(value.line)
            self._set_count(key, 0)
            return
        text = value.text.removeprefix("1:") if value.text == "1:1" else value.text
        count = self._number(f"torchrun --{name}", text, value.line)
        self._set_count(key, count)

    def _set_count(self, key: str, count: int) -> None:
        if key == "nodes":
            self.nodes = count
        else:
            self.processes = count

    def _srun(self) -> None:
        """Refuse options of srun that differ from one task per node, which is what prl-submit starts."""
        if not self.nodes:
            return
        for name, value in self._start.srun:
            text = "" if value is None else value.known or ""
            fits = {
                "--ntasks-per-node": text == "1",
                "--ntasks": text == str(self.nodes),
                "-n": text == str(self.nodes),
                "--nodes": text == str(self.nodes),
                "-N": text == str(self.nodes),
                "--export": text == "ALL",
            }
            asked = self._header.options.get(SHORT.get(name.lstrip("-"), name.lstrip("-")))
            if asked is not None and asked == text:
                continue  # the job asks for the same
            if name not in _SRUN_QUIET and not fits.get(name, False):
                message = f"srun {name}{'=' + text if text else ''} has no key in a spec"
                hint = "prl-submit starts one launcher on each node; leave it out"
                self._findings.error(self._start.line, message, hint)
        header = self._header
        tasks = header.tasks_per_node or (header.tasks or self.nodes) / self.nodes
        if tasks != 1:
            option = "ntasks-per-node" if header.tasks_per_node else "ntasks"
            message = f"srun starts {tasks:g} trainings on each node"
            self._findings.error(header.lines[option], message, "#SBATCH --ntasks-per-node=1")

    def _from_header(self) -> dict[str, Tree]:
        header = self._header
        if not header.is_there:
            return {}
        self._header_fits()
        found: dict[str, Tree] = {}
        if header.gpu_type:
            found["gpu_type"] = header.gpu_type
        if (cpus := self._cpus()) is not None:
            found["cpus_per_proc"] = str(cpus)
        if header.memory:
            found["memory"] = header.memory
        if header.time_limit:
            found["time_limit"] = header.time_limit
        return found

    def _header_fits(self) -> None:
        """Report a job that is larger or smaller than the training in it."""
        header, world = self._header, self.nodes * self.processes
        if not world:
            return
        pairs = [
            ("nodes", header.nodes, self.nodes, "nodes"),
            ("gres", header.gpus, self.processes, "GPUs"),
            ("gpus-per-node", header.gpus, self.processes, "GPUs"),
            ("gpus", header.all_gpus, world, "GPUs"),
        ]
        for option, asked, used, what in pairs:
            if option in header.lines and asked is not None and asked != used:
                message = f"#SBATCH --{option} asks for {asked} {what}, the training uses {used}"
                hint = "a spec has one number for both"
                self._findings.error(header.lines[option], message, hint)

    def _cpus(self) -> int | None:
        """The CPUs of one process. Slurm's number is for a task, which may hold all processes of a node."""
        header = self._header
        if header.cpus_per_gpu is not None:
            return header.cpus_per_gpu
        if header.cpus_per_task is None:
            return None
        if not self.nodes * self.processes:
            return None
        each = header.tasks_per_node or max(1, (header.tasks or self.nodes) // self.nodes)
        cpus, rest = divmod(header.cpus_per_task * each, self.processes)
        if rest:
            message = f"{header.cpus_per_task * each} CPUs per node for {self.processes} processes"
            line = header.lines["cpus-per-task"]
            self._findings.error(line, message, "write a multiple; a spec has CPUs per process")
        return cpus or 1

    def local(self) -> dict[str, Tree]:
        """The `local:` of the spec: the GPUs that are visible."""
        variable = self._followed.environment.get("CUDA_VISIBLE_DEVICES")
        if variable is None:
            return {}
        if isinstance(variable.value, Unknown):
            self._findings.unknown(variable.line, "CUDA_VISIBLE_DEVICES", variable.value)
            return {}
        text = str(variable.value)
        count = len([device for device in text.split(",") if device.strip()])
        if self._header.is_there:
            message = "CUDA_VISIBLE_DEVICES is left out: Slurm says which GPUs a job has"
            self._findings.note(variable.line, message)
            return {}
        if not count:
            if not self._is_cpu:
                hint = "pass --use_cpu true for a training without GPUs"
                self._findings.error(variable.line, "CUDA_VISIBLE_DEVICES is empty", hint)
            return {}
        if count > self.processes > 0:
            message = f"{count} GPUs are visible, and {self.processes} processes start"
            self._findings.note(variable.line, message)
        expected = "PRL_CUDA_VISIBLE_DEVICES"
        self._findings.defaults(variable.defaults, expected, expected, variable.line)
        return {"cuda_visible_devices": text}
