"""The words of a command -> the training that it starts, or why no job spec can say that."""

from __future__ import annotations

import posixpath
import re

from prl_submit.importing.bash.effects import MENTIONERS, TRAINING
from prl_submit.importing.bash.scope import Given
from prl_submit.importing.training_command import Refused, Start, joined
from prl_submit.importing.wrappers import unwrap

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
_LAUNCHERS = {
    "accelerate": "accelerate sets an environment of its own, from its configuration file",
    "deepspeed": "deepspeed's launcher sets an environment of its own",
}
#: Options of torchrun that take no value.
_FLAGS = frozenset(["standalone", "no_python", "run_path", "m", "module", "virtual_local_rank"])


def find_start(given: list[Given]) -> Start | Refused | None:  # noqa: C901  # one case for each program
    """What a command starts; None where that is no training.

    `given`: the words of the command behind its assignments.
    """
    unwrapped = unwrap(given)
    if isinstance(unwrapped, Refused):
        return unwrapped
    rest, start = unwrapped
    if not rest:
        return None
    head = rest[0].known or ""
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
    if name not in MENTIONERS and TRAINING.search(joined(rest)):
        return _refusal(name, start.line)
    return None


def _refusal(name: str, line: int) -> Refused:
    if name in _LAUNCHERS:
        hint = "start it as `swift rlhf` or torchrun, with NPROC_PER_NODE or --nproc_per_node"
        return Refused(line, f"{name} starts the training: {_LAUNCHERS[name]}", hint)
    message = f"{name!r} starts the training, and only bash knows how"
    return Refused(line, message, "start it directly")


def _swift(name: str, words: list[Given], start: Start) -> Start | Refused:
    method = (words[1].known or "").replace("_", "-") if len(words) > 1 else ""
    if name == "megatron":
        hint = "its arguments are others; prl-submit runs swift.cli.rlhf"
        return Refused(start.line, f"megatron {method}: Megatron-SWIFT is another program", hint)
    if method != "rlhf":
        hint = _OTHERS.get(method, "one job is one training; run it apart")
        return Refused(start.line, f"swift {method}: not `swift rlhf`", hint)
    start.arguments = words[2:]
    return start


def _python(words: list[Given], start: Start) -> Start | Refused | None:
    while words and words[0].known in ("-u", "-B", "-O", "-s"):
        words = words[1:]
    first = words[0].known if words else None
    module = words[1].known if first == "-m" and len(words) > 1 else None
    if module == "torch.distributed.run":
        return _torchrun(words[2:], start)
    if module == _MODULE:
        start.launcher, start.arguments = "python", words[2:]
        return start
    if first is not None and _SCRIPT.fullmatch(first):
        start.launcher, start.arguments = "python", words[1:]
        return _with_note(first, start)
    if not TRAINING.search(joined(words)):
        return None
    if module == "torch.distributed.launch":
        return Refused(start.line, "torch.distributed.launch is deprecated", "use torchrun")
    return _refusal("python", start.line)


def _with_note(path: str, start: Start) -> Start:
    message = f"{path}: prl-submit runs the installed swift ({_MODULE})"
    start.notes.append((message, "pip install -e the checkout, if it is another one"))
    return start


def _torchrun(words: list[Given], start: Start) -> Start | Refused | None:
    start.launcher = "torchrun"
    everything = joined(words)
    while words and words[0].shown[:1] == "-":
        name, sign, _ = words[0].shown.partition("=")
        key = name.lstrip("-").replace("-", "_")
        value: Given | None = words[0].value if sign else None
        words = words[1:]
        is_module = key in ("m", "module")
        if not sign and words and (is_module or key not in _FLAGS):
            value, words = words[0], words[1:]
        if is_module:
            return _module(value, words, start)
        start.options.append((key, value))
    program = words[0].shown if words else "nothing"
    if words and _SCRIPT.fullmatch(words[0].known or ""):
        start.arguments = words[1:]
        return _with_note(program, start)
    if not TRAINING.search(everything):
        return None
    return Refused(start.line, f"torchrun runs {program}: not {_MODULE}", _ONLY_RLHF)


def _module(target: Given | None, arguments: list[Given], start: Start) -> Start | Refused | None:
    module = None if target is None else target.known
    if module == _MODULE:
        start.arguments = arguments
        return start
    if module is not None and module.startswith("swift.cli."):
        return Refused(start.line, f"{module}: not {_MODULE}", _ONLY_RLHF)
    return None
