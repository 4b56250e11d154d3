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
#: Options of srun that change nothing for one torchrun on each node.
_SRUN_QUIET = frozenset(
    ["-l", "--label", "-u", "--unbuffered", "-K", "--kill-on-bad-exit", "--jobid"]
)


class FoundResources:
    """What a script asks for: by variables, by torchrun's or srun's options, or by `#SBATCH`."""

    def __init__(
        self, followed: Followed, start: Start, header: Header, findings: Findings, *, is_cpu: bool
    ) -> None:
        self._followed = followed
        self._start = start
        self._header = header
        self._findings = findings
        self._is_cpu = is_cpu
        self.nodes = 1
        #: Per node; 0 where the number is not known, which has been reported.
        self.processes = 1
        if self._start.launcher == "torchrun":
            self._from_torchrun()
        elif self._start.launcher == "swift":
            self._from_variables()
        if self._start.is_srun:
            self._srun()
        if self.nodes > 1 and not self._header.is_there:
            message = f"{self.nodes} nodes: the local backend has one"
            self._findings.note(
                self._start.line, message, "--backend slurm, kubernetes or platform"
            )

    def section(self) -> dict[str, Tree]:
        """The `resources:` of the spec."""
        found: dict[str, Tree] = {}
        if self.nodes != 1:
            found["nodes"] = str(self.nodes)
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
        if "NPROC_PER_NODE" in environment:
            self.processes = self._count("NPROC_PER_NODE", "PRL_NPROC_PER_NODE", environment)
        if "NNODES" in environment:
            self.nodes = self._count("NNODES", "PRL_NODES", environment)
        if not {"NPROC_PER_NODE", "NNODES"} & set(environment):
            message = "one process: NPROC_PER_NODE is not set. prl-submit starts it by torchrun too"
            self._findings.note(self._start.line, message)

    def _hint_at_shell_variables(self) -> None:
        for name, variable in self._followed.scope.variables.items():
            if name in RESOURCES and name not in self._followed.environment:
                message = f"{name} is not exported: the training does not get it"
                self._findings.note(variable.line, message, f"export {name}")

    def _count(self, name: str, expected: str, environment: dict[str, Variable]) -> int:
        variable = environment[name]
        if isinstance(variable.value, Unknown):
            self._findings.unknown(variable.line, name, variable.value)
            return 0
        key = "nodes" if name == "NNODES" else "nproc_per_node"
        use = f"{expected} or --set resources.{key}=N"
        self._findings.defaults(variable.defaults, expected, use, variable.line)
        return self._number(name, str(variable.value), variable.line)

    def _number(self, name: str, text: str, line: int) -> int:
        if re.fullmatch(r"[1-9][0-9]{0,4}", text):
            return int(text)
        self._findings.error(line, f"{name}={text}: expected a number", "write the number")
        return 0

    def _from_torchrun(self) -> None:
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
        if isinstance(value, Gap):
            self._findings.unknown(value.line, f"torchrun --{name}", value.unknown)
            self._set_count(name, 0)
            return
        key = "nodes" if name == "nnodes" else name
        expected = f"PRL_{key.upper()}"
        use = f"{expected} or --set resources.{key}=N"
        self._findings.defaults(value.defaults, expected, use, value.line)
        text = value.text.removeprefix("1:") if value.text == "1:1" else value.text
        count = self._number(f"torchrun --{name}", text, value.line)
        self._set_count(name, count)

    def _set_count(self, name: str, count: int) -> None:
        if name == "nnodes":
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
