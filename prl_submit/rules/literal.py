"""Rule on values that look like shell code, such as `$SCRATCH/runs` or `~/runs`.

prl-submit quotes every value, so no shell replaces anything in it and the job gets it unchanged. Only
`environment.setup` is bash. The rule does not look at free text, because a prompt, a regular expression
or a template may hold a dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.nodes import Node, leaves

#: `$NAME`, `${NAME…}`, `$(command)` and `command` in backticks.
_SHELL = r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*[^}]*\}|\([^)]+\))|`[^`]+`"
#: Shell code in a path: at the beginning of one of its parts, or a name in capitals or in braces.
_IN_PATH = re.compile(rf"(?:^|[/:,=])(?:{_SHELL})|\$(?:[A-Z_][A-Z0-9_]+|\{{[A-Za-z_]\w*[^}}]*\}})")
_HOME = re.compile(r"(?:^|:)~(?:[\w.-]+(?=/)|(?=/|:|$))")
_WHOLE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{[A-Za-z_]\w*\})")

#: Beginnings of the spec's keys whose values are paths or names and never free text.
_PLAIN = (
    "workdir", "output", "environment.venv", "environment.conda", "environment.modules",
    "environment.container.", "resources.", "slurm.", "kubernetes.context", "kubernetes.namespace",
    "kubernetes.image", "kubernetes.output_mount", "kubernetes.queue", "kubernetes.secret",
    "kubernetes.service_account", "kubernetes.priority_class", "local.",
)  # fmt: skip
#: Keys in whose values prl-submit or launch.sh replaces `~/`.
_HOME_IS_KNOWN = ("workdir", "output", "environment.venv", "environment.conda.root")
#: Arguments whose value is a path or a hub's id. True: ms-swift replaces `~/` in it.
_PATHS = {
    "model": True, "ref_model": True, "reward_model": True, "teacher_model": True,
    "adapters": True, "ref_adapters": True, "reward_adapters": True, "teacher_adapters": True,
    "external_plugins": True, "custom_register_path": True, "custom_dataset_info": True,
    "resume_from_checkpoint": True, "logging_dir": True,
    "dataset": False, "val_dataset": False, "cached_dataset": False, "cached_val_dataset": False,
    "chord_sft_dataset": False, "deepspeed": False, "teacher_deepspeed": False, "fsdp": False,
    "accelerator_config": False, "columns": False, "lr_scheduler_kwargs": False,
    "gradient_checkpointing_kwargs": False, "model_kwargs": False, "local_repo_path": False,
    "system": False, "new_special_tokens": False,
}  # fmt: skip
#: Arguments that take free text or the name of a .txt file.
_TEXT_FILES = ("system", "new_special_tokens")
#: Variables that are read by the dynamic linker, Python or CUDA, which replace neither `~` nor `$NAME`.
_NEVER_EXPANDED = (
    "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "TMPDIR", "HOME",
    "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV", "CONDA_PREFIX",
)  # fmt: skip


def literal(job: Job) -> Iterator[Problem]:
    """A problem for each key whose value a shell would change. One value of a list is enough."""
    for key, node in leaves(job.tree):
        for text in _texts(node):
            has_sign = "$" in text or "~" in text or "`" in text
            problem = _problem(job, key, text) if has_sign else None
            if problem:
                yield problem
                break


def _texts(node: Node) -> Iterator[str]:
    """The texts of a value or of the items of a list."""
    items = node.value if isinstance(node.value, list) else [node]
    for item in items:
        if isinstance(item.value, str):
            yield item.value


def _problem(job: Job, key: str, text: str) -> Problem | None:
    """The problem of one value, if a shell would change it."""
    if key.startswith("environment.env."):
        return _variable(job, key, text)
    if key.startswith("swift."):
        return _argument(job, key.removeprefix("swift."), text)
    if key in ("environment.conda", "environment.conda.name") and "/" in text:
        return None  # a path, in which conda itself replaces `~` and variables (conda.activate, `expand`)
    if not key.startswith(_PLAIN):
        return None
    found = _found(text, home=key not in _HOME_IS_KNOWN or not text.startswith("~/"))
    if found is None:
        return None
    severity = "warning" if key.startswith("slurm.extra.") else "error"
    return job.problem(key, _message(text, found), _hint(key, found), severity)


def _found(text: str, *, home: bool) -> str | None:
    """The part of a path that a shell would replace; None if there is none.

    `home`: look also for a `~` at the beginning of a path.
    """
    found = _IN_PATH.search(text)
    if found:
        return found[0].lstrip("/:,=")
    tilde = _HOME.search(text) if home else None
    return tilde[0].lstrip(":") if tilde else None


def _message(text: str, found: str) -> str:
    shown = text if len(text) <= 60 else text[:57] + "…"
    return f"{shown}: no shell replaces {found} here, so the job gets the text as it is"


def _hint(key: str, found: str) -> str:
    if key == "output" and found != "~":
        return (
            "write the whole path, or let your shell replace it: --output-root or PRL_OUTPUT_ROOT"
        )
    return f"write the whole value, or let your shell replace it: --set {key}=…"


def _variable(job: Job, key: str, text: str) -> Problem | None:
    """The problem of a variable in environment.env.

    Some programs replace `~` and `$NAME` in the variables they read, so it is an error only for a variable
    whose readers are known not to.
    """
    name = key.removeprefix("environment.env.")
    sure = name in _NEVER_EXPANDED
    found = _found(text, home=True)
    if found is None:
        return None
    hint = f"environment.setup is bash: ['export {name}=\"{_for_bash(text)}\"']"
    return job.problem(key, _message(text, found), hint, "error" if sure else "warning")


def _for_bash(text: str) -> str:
    """The value for bash in double quotes, where bash replaces `$HOME` but not `~`."""
    return re.sub(r"(^|:)~(?=/|:|$)", r"\1$HOME", text)


def _argument(job: Job, name: str, text: str) -> Problem | None:
    """The problem of an argument of ms-swift."""
    if name in _PATHS and (name not in _TEXT_FILES or text.endswith(".txt")):
        if text.lstrip()[:1] in ("{", "["):
            return None  # JSON
        found = _found(text, home=not _PATHS[name])
        if found is None:
            return None
        return job.refuse(name, _message(text, found), _hint(f"swift.{name}", found))
    if _WHOLE.fullmatch(text) and name in job.swift:
        return job.warn(name, _message(text, text), _hint(f"swift.{name}", text))
    return None


RULES = (literal,)
