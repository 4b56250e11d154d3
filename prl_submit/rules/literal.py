"""Values that look like shell, `$SCRATCH/runs` or `~/runs`, where no shell reads them.

prl-submit quotes all values, so the job gets them letter by letter. `environment.setup` is bash.
Text is left alone: a prompt, a regular expression or a template may hold a dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.spec.nodes import Node, leaves

#: `$NAME`, `${NAME…}`, `$(command)` and `command` in backticks.
_SHELL = r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*[^}]*\}|\([^)]+\))|`[^`]+`"
#: In a path: a whole part begins so, or the name is in capitals or in braces.
_IN_PATH = re.compile(rf"(?:^|[/:,=])(?:{_SHELL})|\$(?:[A-Z_][A-Z0-9_]+|\{{[A-Za-z_]\w*[^}}]*\}})")
_HOME = re.compile(r"(?:^|:)~(?:[\w.-]+(?=/)|(?=/|:|$))")
_WHOLE = re.compile(r"\$(?:[A-Z_][A-Z0-9_]*|\{[A-Za-z_]\w*\})")

#: Beginnings of spec keys whose values are paths or names, never text.
_PLAIN = (
    "workdir", "output", "environment.venv", "environment.conda", "environment.modules",
    "environment.container.", "resources.", "slurm.", "kubernetes.context", "kubernetes.namespace",
    "kubernetes.image", "kubernetes.output_mount", "kubernetes.queue", "kubernetes.secret",
    "kubernetes.service_account", "kubernetes.priority_class", "local.",
)  # fmt: skip
#: Where `~/` is understood: prl-submit or launch.sh replaces it.
_HOME_IS_KNOWN = ("workdir", "output", "environment.venv", "environment.conda.root")
#: Arguments whose value is a path or a hub's id, and whether ms-swift replaces `~/` in it.
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
_TEXT_FILES = ("system", "new_special_tokens")
#: Variables whose readers (the loader, Python, CUDA) expand neither `~` nor `$NAME`.
_NEVER_EXPANDED = (
    "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "TMPDIR", "HOME",
    "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "VIRTUAL_ENV", "CONDA_PREFIX",
)  # fmt: skip


def literal(job: Job) -> Iterator[Problem]:
    """Every value of the spec that a shell would have changed, and nobody does."""
    for key, node in leaves(job.tree):
        texts = [text for text in _texts(node) if "$" in text or "~" in text or "`" in text]
        for text in texts:
            problem = _problem(job, key, text)
            if problem:
                yield problem
                break


def _texts(node: Node) -> Iterator[str]:
    items = node.value if isinstance(node.value, list) else [node]
    for item in items:
        if isinstance(item.value, str):
            yield item.value


def _problem(job: Job, key: str, text: str) -> Problem | None:
    if key.startswith("environment.env."):
        return _variable(job, key, text)
    if key.startswith("swift."):
        return _argument(job, key.removeprefix("swift."), text)
    if key in ("environment.conda", "environment.conda.name") and "/" in text:
        return None  # a path, which conda itself expands (conda.activate, `expand`)
    if not key.startswith(_PLAIN):
        return None
    found = _found(text, home=key not in _HOME_IS_KNOWN or not text.startswith("~/"))
    if found is None:
        return None
    severity = "warning" if key.startswith("slurm.extra.") else "error"
    return job.problem(key, _message(text, found), _hint(key, found), severity)


def _found(text: str, *, home: bool) -> str | None:
    """What a shell would have replaced in a path; `home`: a `~` at its beginning too."""
    found = _IN_PATH.search(text)
    if found:
        return found[0].lstrip("/:,=")
    tilde = _HOME.search(text) if home else None
    return tilde[0].lstrip(":") if tilde else None


def _message(text: str, found: str) -> str:
    shown = text if len(text) <= 60 else text[:57] + "…"
    return f"{shown}: nobody replaces {found} here; the job gets it letter by letter"


def _hint(key: str, found: str) -> str:
    if key == "output" and found != "~":
        return "write the path out, or let your shell do it: --output-root or PRL_OUTPUT_ROOT"
    return f"write it out, or let your shell do it: --set {key}=…"


def _variable(job: Job, key: str, text: str) -> Problem | None:
    """A variable of the job. Some programs replace `~` and `$NAME` in their own; most do not."""
    name = key.removeprefix("environment.env.")
    sure = name in _NEVER_EXPANDED
    found = _found(text, home=True)
    if found is None:
        return None
    hint = f"environment.setup is bash: ['export {name}=\"{_for_bash(text)}\"']"
    return job.problem(key, _message(text, found), hint, "error" if sure else "warning")


def _for_bash(text: str) -> str:
    """Bash replaces no `~` in quotes."""
    return re.sub(r"(^|:)~(?=/|:|$)", r"\1$HOME", text)


def _argument(job: Job, name: str, text: str) -> Problem | None:
    """An argument of ms-swift's."""
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
