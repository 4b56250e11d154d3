"""`#SBATCH` lines of a script, and options of srun -> what the job asks Slurm for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from msgspec import Struct

from prl_submit.backends.slurm.option_names import OTHERS, OWNED, REFUSED
from prl_submit.importing.bash.scope import Field, Given
from prl_submit.importing.findings import Findings
from prl_submit.spec.scalars import ALL_MEMORY, is_digits

#: Options of one letter, with their long names.
SHORT = {
    "J": "job-name",
    "p": "partition",
    "A": "account",
    "q": "qos",
    "C": "constraint",
    "x": "exclude",
    "w": "nodelist",
    "d": "dependency",
    "N": "nodes",
    "n": "ntasks",
    "c": "cpus-per-task",
    "t": "time",
    "G": "gpus",
    "D": "chdir",
    "o": "output",
    "e": "error",
    "i": "input",
    "a": "array",
    "L": "licenses",
    "M": "clusters",
}
#: Options of srun that ask for a job where there is none.
_ASKING = frozenset(
    "partition account qos gres gpus gpus-per-node gpus-per-task time mem cpus-per-task"
    " cpus-per-gpu job-name constraint reservation exclude nodelist nodes mem-per-cpu mem-per-gpu"
    " licenses".split()
)
#: Options whose value is one number, with the field of Header that has it.
_NUMBERS = {
    "nodes": "nodes",
    "ntasks": "tasks",
    "ntasks-per-node": "tasks_per_node",
    "cpus-per-task": "cpus_per_task",
    "cpus-per-gpu": "cpus_per_gpu",
    "gpus-per-task": "gpus_per_task",
}
_GPU = re.compile(r"(?:gres/)?gpu(?::(?P<type>[A-Za-z][\w.-]*))?(?::(?P<count>[0-9]+))?", re.ASCII)
_GPUS = re.compile(r"(?:(?P<type>[A-Za-z][\w.-]*):)?(?P<count>[0-9]+)", re.ASCII)
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<a>\d+)(?::(?P<b>\d+))?(?::(?P<c>\d+))?", re.ASCII)


class Header(Struct, kw_only=True):
    """What the `#SBATCH` lines ask for; `lines` says where each option stands."""

    options: dict[str, str | None] = {}
    lines: dict[str, int] = {}
    name: str | None = None
    folder: str | None = None
    nodes: int | None = None
    #: Per node.
    gpus: int | None = None
    gpu_type: str | None = None
    all_gpus: int | None = None
    gpus_per_task: int | None = None
    tasks: int | None = None
    tasks_per_node: int | None = None
    cpus_per_task: int | None = None
    cpus_per_gpu: int | None = None
    memory: str | None = None
    time_limit: str | None = None
    slurm: dict[str, str] = {}
    extra: dict[str, str | None] = {}

    @property
    def is_there(self) -> bool:
        """True if there are any such lines."""
        return bool(self.lines)


def read_header(text: str, findings: Findings) -> Header:
    """The `#SBATCH` lines before the first command, as sbatch reads them."""
    reader = _HeaderReader(findings)
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and line[:1] != "#":
            break
        if line.startswith("#SBATCH"):
            for name, value in _options(line[7:], number, findings):
                reader.header.lines[name] = number
                reader.header.options[name] = value
    return reader.read()


def from_srun(options: list[tuple[str, Given | None]], findings: Findings) -> Header | None:
    """What `srun --gres=… swift rlhf` asks for, where no `#SBATCH` line does; None: nothing.

    What is understood is taken from `options`.
    """
    reader = _HeaderReader(findings)
    for option in list(options):
        name, given = SHORT.get(option[0].lstrip("-"), option[0].lstrip("-")), option[1]
        if name in _ASKING and isinstance(given, Field):
            options.remove(option)
            reader.header.lines[name] = given.line
            reader.header.options[name] = given.text
    header = reader.read()
    return header if header.is_there else None


def _options(text: str, line: int, findings: Findings) -> list[tuple[str, str | None]]:
    """The options of one `#SBATCH` line by their long names."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        findings.error(line, f"#SBATCH: {error}", None)
        return []
    found: list[tuple[str, str | None]] = []
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, sign, value = word[2:].partition("=")
            if not sign and words and words[0][:1] != "-":
                found.append((name, words.pop(0)))
            else:
                found.append((name, value if sign else None))
        elif word[:1] == "-" and word[1:2] in SHORT:
            value = word[2:] or (words.pop(0) if words else "")
            found.append((SHORT[word[1]], value.removeprefix("=")))
        else:
            findings.error(line, f"#SBATCH {word}: not understood", "use the option's long name")
    return found


def clock(seconds: int) -> str:
    """A duration as Slurm writes it: `12:00:00`, `2-00:00:00`."""
    days, rest = divmod(seconds, 86400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


class _HeaderReader:
    """Reads options into a header."""

    def __init__(self, findings: Findings) -> None:
        self.header = Header(options={}, lines={}, slurm={}, extra={})
        self._findings = findings
        self._readers: dict[str, Callable[[str, str], None]] = {
            "gres": self._gres,
            "mem": self._memory,
            "time": self._time,
            "gpus": self._gpus,
            "gpus-per-node": self._gpus,
            **dict.fromkeys(_NUMBERS, self._number),
        }

    def read(self) -> Header:
        """The header with what its options mean."""
        for name, value in self.header.options.items():
            reader = self._readers.get(name)
            if reader is not None:
                reader(name, value or "")
            else:
                self._other(name, value)
        return self.header

    def _error(self, name: str, message: str, hint: str) -> None:
        self._findings.error(self.header.lines[name], f"#SBATCH --{name}{message}", hint)

    def _note(self, name: str, message: str, hint: str) -> None:
        self._findings.note(self.header.lines[name], f"#SBATCH --{name}{message}", hint)

    def _other(self, name: str, value: str | None) -> None:  # noqa: C901  # one case for each group of options
        """An option that a key of the spec has, that Slurm gets as it is, or that is refused."""
        key = OWNED.get(name, "")
        if name == "job-name":
            self.header.name = value
        elif name == "chdir":
            self.header.folder = value
        elif key.startswith("slurm.") and value:
            self.header.slurm[key.partition(".")[2]] = value
        elif name in ("signal", "requeue", "no-requeue"):
            self._note(name, " is prl-submit's own", f"{key} says how prl-submit does it")
        elif name in ("export", "get-user-env") and value in (None, "ALL"):
            return  # so does prl-submit
        elif name in REFUSED and name not in ("array", "clusters", "wrap"):
            self._note(name, " is left out", REFUSED[name])
        elif name in OTHERS:
            self.header.extra[name] = value
        else:
            hint = REFUSED.get(name) or (f"use {key}" if key else "see `man sbatch`")
            self._error(name, " has no key in a spec", hint)

    def _number(self, name: str, value: str) -> None:
        if not is_digits(value) or not 0 < len(value) < 6 or int(value) == 0:
            self._error(name, f"={value}: expected a number", "write one number")
            return
        setattr(self.header, _NUMBERS[name], int(value))

    def _gres(self, name: str, value: str) -> None:
        others = []
        for part in value.split(","):
            match = _GPU.fullmatch(part)
            if match is None and part.startswith("gpu"):
                self._error(name, f"={part}: not understood", "gpu:TYPE:COUNT")
            elif match is None:
                others.append(part)
            else:
                self.header.gpus = int(match["count"] or 1)
                self.header.gpu_type = match["type"] or self.header.gpu_type
        if others and others != [""]:
            self.header.extra["gres"] = ",".join(others)

    def _gpus(self, name: str, value: str) -> None:
        match = _GPUS.fullmatch(value)
        if match is None:
            self._error(name, f"={value}: not understood", "TYPE:COUNT or COUNT")
            return
        self.header.gpu_type = match["type"] or self.header.gpu_type
        if name == "gpus":
            self.header.all_gpus = int(match["count"])
        else:
            self.header.gpus = int(match["count"])

    def _memory(self, name: str, value: str) -> None:
        match = re.fullmatch(r"([0-9]+)([KMGTkmgt]?)(?:i?[Bb])?", value)
        if match is None:
            hint = "write the memory per node, for example 256G"
            self._error(name, f"={value}: a spec says how much", hint)
        elif int(match[1]) == 0:
            self.header.memory = ALL_MEMORY
        else:
            self.header.memory = f"{match[1]}{(match[2] or 'M').upper()}"

    def _time(self, name: str, value: str) -> None:
        """sbatch(1): minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s."""
        match = _TIME.fullmatch(value)
        if match is None or value in ("0", "0:00", "00:00:00"):
            if value.upper() not in ("UNLIMITED", "INFINITE", "0"):
                self._error(name, f"={value}: not understood", "write 12:00:00")
            return
        a, b, c = int(match["a"]), int(match["b"] or 0), int(match["c"] or 0)
        if match["days"] is not None:
            seconds = int(match["days"]) * 86400 + a * 3600 + b * 60 + c
        elif match["c"] is not None:
            seconds = a * 3600 + b * 60 + c
        else:
            seconds = a * 60 + b
        self.header.time_limit = clock(seconds)
