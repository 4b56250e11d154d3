"""`#SBATCH` lines of a script -> the keys of a spec that say the same."""

from __future__ import annotations

import re
import shlex

from msgspec import Struct

from prl_submit.backends.slurm.options import OTHERS, OWNED, REFUSED
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
        """Whether there are any such lines."""
        return bool(self.lines)


def read_header(text: str, findings: Findings) -> Header:
    """The `#SBATCH` lines before the first command, as sbatch reads them."""
    header = Header(options={}, lines={}, slurm={}, extra={})
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and line[:1] != "#":
            break
        if line.startswith("#SBATCH"):
            for name, value in _options(line[7:], number, findings):
                header.lines[name] = number
                header.options[name] = value
    for name, value in header.options.items():
        _option(header, name, value, header.lines[name], findings)
    return header


def _options(text: str, line: int, findings: Findings) -> list[tuple[str, str | None]]:
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


def _option(header: Header, name: str, value: str | None, line: int, findings: Findings) -> None:
    key = OWNED.get(name, "")
    if name == "job-name":
        header.name = value
    elif name == "chdir":
        header.folder = value
    elif key.startswith("slurm.") and value:
        header.slurm[key.partition(".")[2]] = value
    elif name in ("signal", "requeue", "no-requeue"):
        hint = f"{key} says how prl-submit does it"
        findings.note(line, f"#SBATCH --{name} is prl-submit's own", hint)
    elif name in ("export", "get-user-env") and value in (None, "ALL"):
        return  # so does prl-submit
    elif name == "gres":
        _gres(header, value or "", line, findings)
    elif name == "mem":
        _memory(header, value or "", line, findings)
    elif name == "time":
        _time(header, value or "", line, findings)
    elif name in ("gpus", "gpus-per-node"):
        _gpus(header, name, value or "", line, findings)
    elif name in (
        "nodes",
        "ntasks",
        "ntasks-per-node",
        "cpus-per-task",
        "cpus-per-gpu",
        "gpus-per-task",
    ):
        _number(header, name, value or "", line, findings)
    elif name in REFUSED and name not in ("array", "clusters", "wrap"):
        findings.note(line, f"#SBATCH --{name} is left out", REFUSED[name])
    elif name in OTHERS:
        header.extra[name] = value
    else:
        hint = REFUSED.get(name) or (f"use {key}" if key else "see `man sbatch`")
        findings.error(line, f"#SBATCH --{name} has no key in a spec", hint)


def _number(header: Header, name: str, value: str, line: int, findings: Findings) -> None:
    if not is_digits(value) or not 0 < len(value) < 6 or int(value) == 0:
        findings.error(line, f"#SBATCH --{name}={value}: expected a number", "write one number")
        return
    field = {
        "ntasks": "tasks",
        "ntasks-per-node": "tasks_per_node",
    }.get(name, name.replace("-", "_"))
    setattr(header, field, int(value))


def _gres(header: Header, value: str, line: int, findings: Findings) -> None:
    others = []
    for part in value.split(","):
        match = _GPU.fullmatch(part)
        if match is None and part.startswith("gpu"):
            findings.error(line, f"#SBATCH --gres={part}: not understood", "gpu:TYPE:COUNT")
        elif match is None:
            others.append(part)
        else:
            header.gpus = int(match["count"] or 1)
            header.gpu_type = match["type"] or header.gpu_type
    if others and others != [""]:
        header.extra["gres"] = ",".join(others)


def _gpus(header: Header, name: str, value: str, line: int, findings: Findings) -> None:
    match = _GPUS.fullmatch(value)
    if match is None:
        findings.error(line, f"#SBATCH --{name}={value}: not understood", "TYPE:COUNT or COUNT")
        return
    header.gpu_type = match["type"] or header.gpu_type
    if name == "gpus":
        header.all_gpus = int(match["count"])
    else:
        header.gpus = int(match["count"])


def _memory(header: Header, value: str, line: int, findings: Findings) -> None:
    match = re.fullmatch(r"([0-9]+)([KMGTkmgt]?)(?:i?[Bb])?", value)
    if match is not None and int(match[1]) == 0:
        header.memory = ALL_MEMORY
    elif match is None:
        message = f"#SBATCH --mem={value}: a spec says how much"
        findings.error(line, message, "write the memory per node, for example 256G")
    else:
        header.memory = f"{match[1]}{(match[2] or 'M').upper()}"


def _time(header: Header, value: str, line: int, findings: Findings) -> None:
    """sbatch(1): minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s."""
    match = _TIME.fullmatch(value)
    if match is None or value in ("0", "0:00", "00:00:00"):
        if value.upper() not in ("UNLIMITED", "INFINITE", "0"):
            findings.error(line, f"#SBATCH --time={value}: not understood", "write 12:00:00")
        return
    a, b, c = int(match["a"]), int(match["b"] or 0), int(match["c"] or 0)
    if match["days"] is not None:
        seconds = int(match["days"]) * 86400 + a * 3600 + b * 60 + c
    elif match["c"] is not None:
        seconds = a * 3600 + b * 60 + c
    else:
        seconds = a * 60 + b
    header.time_limit = clock(seconds)


def clock(seconds: int) -> str:
    """A duration as Slurm writes it: `12:00:00`, `2-00:00:00`."""
    days, rest = divmod(seconds, 86400)
    text = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{text}" if days else text


#: Options of srun that ask for a job where there is none.
_ASKING = frozenset(
    [
        "partition",
        "account",
        "qos",
        "gres",
        "gpus",
        "gpus-per-node",
        "gpus-per-task",
        "time",
        "mem",
        "cpus-per-task",
        "cpus-per-gpu",
        "job-name",
        "constraint",
        "reservation",
        "exclude",
        "nodelist",
        "nodes",
        "mem-per-cpu",
        "mem-per-gpu",
        "licenses",
    ]
)


def from_srun(options: list[tuple[str, Given | None]], findings: Findings) -> Header | None:
    """What `srun --gres=… swift rlhf` asks for, where no `#SBATCH` line does; None: nothing.

    What is understood is taken from `options`.
    """
    header = Header(options={}, lines={}, slurm={}, extra={})
    for option in list(options):
        name, given = SHORT.get(option[0].lstrip("-"), option[0].lstrip("-")), option[1]
        if name in _ASKING and isinstance(given, Field):
            options.remove(option)
            header.lines[name] = given.line
            header.options[name] = given.text
    for name, value in header.options.items():
        _option(header, name, value, header.lines[name], findings)
    return header if header.is_there else None
