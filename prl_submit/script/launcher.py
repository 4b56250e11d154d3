"""The words of a command -> the training it starts, or why it is none that a spec can say."""

from __future__ import annotations

import posixpath
import re

from msgspec import Struct

from prl_submit.script.effects import MENTIONERS, TRAINING
from prl_submit.script.scope import Field, Given

#: What the launcher sets for itself and its processes.
LAUNCHERS_OWN = frozenset(
    [
        "NODE_RANK",
        "MASTER_ADDR",
        "MASTER_PORT",
        "RANK",
        "LOCAL_RANK",
        "WORLD_SIZE",
        "GROUP_RANK",
        "LOCAL_WORLD_SIZE",
        "RDZV_ID",
        "RDZV_BACKEND",
        "RDZV_ENDPOINT",
        "RDZV_CONF",
    ]
)
#: What `swift rlhf` starts torchrun by, and the GPUs: keys of a spec.
RESOURCES = frozenset(["NPROC_PER_NODE", "NNODES", "CUDA_VISIBLE_DEVICES"])


class Start(Struct, kw_only=True):
    """A training as its command line says it: who launches, with which options, and its arguments.

    `launcher`: swift (reads NPROC_PER_NODE), torchrun, or python (one process).
    """

    line: int
    launcher: str = "swift"
    options: list[tuple[str, Given | None]] = []
    arguments: list[Given] = []
    #: From `env A=b` and `env -u A` (None).
    environment: list[tuple[str, Given | None]] = []
    srun: list[tuple[str, Given | None]] = []
    is_srun: bool = False
    conda: Given | None = None
    conda_root: str | None = None
    #: From `timeout`.
    time_limit: Given | None = None
    #: From `uv run`: the environment of the project in the working directory.
    venv: str | None = None
    notes: list[tuple[str, str | None]] = []

    def add(self, outer: Start) -> None:
        """What stood before the shell that starts this training."""
        self.srun = [*outer.srun, *self.srun]
        self.is_srun = self.is_srun or outer.is_srun
        self.conda = self.conda or outer.conda
        self.conda_root = self.conda_root or outer.conda_root
        self.time_limit = self.time_limit or outer.time_limit
        self.venv = self.venv or outer.venv
        self.notes = [*outer.notes, *self.notes]


class Refused(Struct, frozen=True):
    """A command that starts something which no spec can say."""

    line: int
    message: str
    hint: str | None


_PYTHON = re.compile(r"python[0-9.]*")
_MODULE = "swift.cli.rlhf"
_SCRIPT = re.compile(r"(.*/)?swift/cli/rlhf\.py")
_ONLY_RLHF = "prl-submit runs `swift rlhf`"
_OTHERS = {
    "sft": _ONLY_RLHF,
    "pt": _ONLY_RLHF,
    "rollout": "a vLLM server is no part of a job: start it apart, and keep vllm_server_host",
    "deploy": "a server is no part of a job: start it apart",
}
#: torchrun's options without a value.
_FLAGS = frozenset(["standalone", "no_python", "run_path", "m", "module", "virtual_local_rank"])


def find_start(given: list[Given]) -> Start | Refused | None:
    """What a command starts; None: no training. `given` are its words behind the assignments."""
    if not given:
        return None
    unwrapped = unwrap(given)
    if isinstance(unwrapped, Refused):
        return unwrapped
    rest, start = unwrapped
    if not rest:
        return None
    head = _text(rest[0]) or ""
    name = posixpath.basename(head)
    if "/" in head:
        hint = "environment.conda or environment.venv says which"
        start.notes.append((f"{head}: prl-submit takes torchrun from PATH", hint))
    if name in ("swift", "megatron"):
        return _swift(name, rest, start)
    if name == "torchrun":
        return _torchrun(rest[1:], start)
    if _PYTHON.fullmatch(name):
        return _python(rest[1:], start)
    if name not in MENTIONERS and TRAINING.search(
        " ".join(_text(word) or _written(word) for word in rest)
    ):
        return _refusal(name, start.line)
    return None


def _text(given: Given) -> str | None:
    return given.text if isinstance(given, Field) else None


def _written(given: Given) -> str:
    return given.text if isinstance(given, Field) else given.written


def _refusal(name: str, line: int) -> Refused:
    whys = {
        "accelerate": "accelerate sets an environment of its own, from its configuration file",
        "deepspeed": "deepspeed's launcher sets an environment of its own",
    }
    hint = "start it as `swift rlhf` or torchrun, with NPROC_PER_NODE or --nproc_per_node"
    if name in whys:
        return Refused(line, f"{name} starts the training: {whys[name]}", hint)
    return Refused(
        line, f"{name!r} starts the training, and only bash knows how", "start it directly"
    )


# --- what stands before the launcher --------------------------------------------------------------


def unwrap(given: list[Given]) -> tuple[list[Given], Start] | Refused:
    """A command without nohup, env, srun and their like, which the start remembers."""
    line = given[0].line if given else 0
    start = Start(line=line, options=[], arguments=[], environment=[], srun=[], notes=[])
    rest = _unwrapped(list(given), start)
    return rest if isinstance(rest, Refused) else (rest, start)


def _unwrapped(words: list[Given], start: Start) -> list[Given] | Refused:
    """The words without nohup, env, srun and their like."""
    while words:
        name = posixpath.basename(_text(words[0]) or "")
        if name in ("nohup", "exec", "command", "setsid", "time", "builtin"):
            words = words[1:]
            if words and (_text(words[0]) or "")[:1] == "-" and TRAINING.search(_joined(words)):
                return Refused(start.line, f"options of {name}", f"leave {name} out")
        elif name == "stdbuf":
            words = _behind_options(words[1:])
        elif name == "env":
            words = _env(words[1:], start)
        elif name == "srun":
            start.is_srun = True
            words = _srun(words[1:], start)
        elif name == "conda" and len(words) > 1 and _text(words[1]) == "run":
            words = _conda_run(words[2:], start)
        else:
            return words
    return words


def _joined(words: list[Given]) -> str:
    return " ".join(_written(word) for word in words)


def _behind_options(words: list[Given]) -> list[Given]:
    while words and (_text(words[0]) or "")[:1] == "-":
        words = words[1:]
    return words


def _env(words: list[Given], start: Start) -> list[Given]:
    while words:
        text = _text(words[0])
        name, sign, _ = _written(words[0]).partition("=")
        if text in ("-u", "--unset") and len(words) > 1:
            start.environment.append((_text(words[1]) or "", None))
            words = words[2:]
        elif sign and name.isidentifier():
            start.environment.append((name, words[0].value))
            words = words[1:]
        else:
            return words
    return words


def _srun(words: list[Given], start: Start) -> list[Given]:
    valued = (
        "-n",
        "-N",
        "-c",
        "-p",
        "-A",
        "-t",
        "-J",
        "-w",
        "-x",
        "-o",
        "-e",
        "--nodes",
        "--ntasks",
    )
    while words and (_text(words[0]) or "")[:1] == "-":
        name, sign, _ = _written(words[0]).partition("=")
        value: Given | None = words[0].value if sign else None
        words = words[1:]
        if not sign and words and (name in valued or name == "--ntasks-per-node"):
            value, words = words[0], words[1:]
        start.srun.append((name, value))
    return words


def _conda_run(words: list[Given], start: Start) -> list[Given]:
    while words and _written(words[0])[:1] == "-":
        name, sign, _ = _written(words[0]).partition("=")
        if name in ("-n", "--name", "-p", "--prefix"):
            start.conda = words[0].value if sign else (words[1] if len(words) > 1 else None)
            words = words[1 if sign else 2 :]
        else:
            words = words[1:]
    return words


# --- launchers ------------------------------------------------------------------------------------


def _swift(name: str, words: list[Given], start: Start) -> Start | Refused | None:
    method = (_text(words[1]) or "").replace("_", "-") if len(words) > 1 else ""
    if name == "megatron":
        hint = "its arguments are others; prl-submit runs swift.cli.rlhf"
        return Refused(start.line, f"megatron {method}: Megatron-SWIFT is another program", hint)
    if method != "rlhf":
        hint = _OTHERS.get(method, "one job is one training; run it apart")
        return Refused(start.line, f"swift {method}: not `swift rlhf`", hint)
    start.arguments = words[2:]
    return start


def _python(words: list[Given], start: Start) -> Start | Refused | None:
    while words and _text(words[0]) in ("-u", "-B", "-O", "-s"):
        words = words[1:]
    text = _text(words[0]) if words else None
    if text == "-m" and len(words) > 1:
        module = _text(words[1])
        if module == "torch.distributed.run":
            return _torchrun(words[2:], start)
        if module == "torch.distributed.launch":
            if not TRAINING.search(_joined(words)):
                return None
            return Refused(start.line, "torch.distributed.launch is deprecated", "use torchrun")
        if module == _MODULE:
            start.launcher, start.arguments = "python", words[2:]
            return start
    elif text is not None and _SCRIPT.fullmatch(text):
        start.launcher, start.arguments = "python", words[1:]
        _own_checkout(text, start)
        return start
    if TRAINING.search(_joined(words)):
        return _refusal("python", start.line)
    return None


def _own_checkout(path: str, start: Start) -> None:
    message = f"{path}: prl-submit runs the installed swift ({_MODULE})"
    start.notes.append((message, "pip install -e the checkout, if it is another one"))


def _torchrun(words: list[Given], start: Start) -> Start | Refused | None:
    start.launcher = "torchrun"
    everything = _joined(words)
    while words and _written(words[0])[:1] == "-":
        name, sign, _ = _written(words[0]).partition("=")
        key = name.lstrip("-").replace("-", "_")
        if key in ("m", "module"):
            target = words[0].value if sign else (words[1] if len(words) > 1 else None)
            return _target(target, words[1 if sign else 2 :], start)
        value: Given | None = words[0].value if sign else None
        words = words[1:]
        if not sign and key not in _FLAGS and words:
            value, words = words[0], words[1:]
        start.options.append((key, value))
    if words and _SCRIPT.fullmatch(_text(words[0]) or ""):
        _own_checkout(_written(words[0]), start)
        start.arguments = words[1:]
        return start
    if not TRAINING.search(everything):
        return None
    program = _written(words[0]) if words else "nothing"
    return Refused(start.line, f"torchrun runs {program}: not {_MODULE}", _ONLY_RLHF)


def _target(target: Given | None, arguments: list[Given], start: Start) -> Start | Refused | None:
    module = None if target is None else _text(target)
    if module == _MODULE:
        start.arguments = arguments
        return start
    if module is not None and module.startswith("swift.cli."):
        return Refused(start.line, f"{module}: not {_MODULE}", _ONLY_RLHF)
    return None
