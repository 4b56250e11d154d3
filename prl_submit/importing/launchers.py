"""The words of a command -> the training it starts, or why it is none that a spec can say."""

from __future__ import annotations

import posixpath
import re

from prl_submit.importing.bash.effects import MENTIONERS, TRAINING
from prl_submit.importing.bash.scope import Given
from prl_submit.importing.training import Refused, Start, joined, text_of, written
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
    head = text_of(rest[0]) or ""
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
        " ".join(text_of(word) or written(word) for word in rest)
    ):
        return _refusal(name, start.line)
    return None


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


# --- launchers ------------------------------------------------------------------------------------


def _swift(name: str, words: list[Given], start: Start) -> Start | Refused | None:
    method = (text_of(words[1]) or "").replace("_", "-") if len(words) > 1 else ""
    if name == "megatron":
        hint = "its arguments are others; prl-submit runs swift.cli.rlhf"
        return Refused(start.line, f"megatron {method}: Megatron-SWIFT is another program", hint)
    if method != "rlhf":
        hint = _OTHERS.get(method, "one job is one training; run it apart")
        return Refused(start.line, f"swift {method}: not `swift rlhf`", hint)
    start.arguments = words[2:]
    return start


def _python(words: list[Given], start: Start) -> Start | Refused | None:
    while words and text_of(words[0]) in ("-u", "-B", "-O", "-s"):
        words = words[1:]
    text = text_of(words[0]) if words else None
    if text == "-m" and len(words) > 1:
        module = text_of(words[1])
        if module == "torch.distributed.run":
            return _torchrun(words[2:], start)
        if module == "torch.distributed.launch":
            if not TRAINING.search(joined(words)):
                return None
            return Refused(start.line, "torch.distributed.launch is deprecated", "use torchrun")
        if module == _MODULE:
            start.launcher, start.arguments = "python", words[2:]
            return start
    elif text is not None and _SCRIPT.fullmatch(text):
        start.launcher, start.arguments = "python", words[1:]
        _own_checkout(text, start)
        return start
    if TRAINING.search(joined(words)):
        return _refusal("python", start.line)
    return None


def _own_checkout(path: str, start: Start) -> None:
    message = f"{path}: prl-submit runs the installed swift ({_MODULE})"
    start.notes.append((message, "pip install -e the checkout, if it is another one"))


def _torchrun(words: list[Given], start: Start) -> Start | Refused | None:
    start.launcher = "torchrun"
    everything = joined(words)
    while words and written(words[0])[:1] == "-":
        name, sign, _ = written(words[0]).partition("=")
        key = name.lstrip("-").replace("-", "_")
        if key in ("m", "module"):
            target = words[0].value if sign else (words[1] if len(words) > 1 else None)
            return _target(target, words[1 if sign else 2 :], start)
        value: Given | None = words[0].value if sign else None
        words = words[1:]
        if not sign and key not in _FLAGS and words:
            value, words = words[0], words[1:]
        start.options.append((key, value))
    if words and _SCRIPT.fullmatch(text_of(words[0]) or ""):
        _own_checkout(written(words[0]), start)
        start.arguments = words[1:]
        return start
    if not TRAINING.search(everything):
        return None
    program = written(words[0]) if words else "nothing"
    return Refused(start.line, f"torchrun runs {program}: not {_MODULE}", _ONLY_RLHF)


def _target(target: Given | None, arguments: list[Given], start: Start) -> Start | Refused | None:
    module = None if target is None else text_of(target)
    if module == _MODULE:
        start.arguments = arguments
        return start
    if module is not None and module.startswith("swift.cli."):
        return Refused(start.line, f"{module}: not {_MODULE}", _ONLY_RLHF)
    return None
