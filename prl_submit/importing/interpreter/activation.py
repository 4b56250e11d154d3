"""What a script activates before the training: conda, a virtual environment, modules."""

from __future__ import annotations

import posixpath
import re

from msgspec import Struct

from prl_submit.importing.findings import Findings


class Activated(Struct):
    """What is active at a point of the script."""

    conda: str | None = None
    conda_root: str | None = None
    venv: str | None = None
    modules: list[str] = []


_CONDA_SH = "/etc/profile.d/conda.sh"
_CONDA_FOLDER = re.compile(r"(mini|ana|micro)?conda[0-9]*|(mini|mamba)forge[0-9]*")
_HOOK = re.compile(
    r"""eval\s+["']?\$\(\s*["']?(?P<conda>[^\s"']*\bconda)["']?\s+'?shell\.(bash|posix)'?\s+'?hook'?"""
)
#: Files that interactive shells read. What they export is there where the user submits.
_PROFILES = (".bashrc", ".bash_profile", ".profile", ".zshrc", "/etc/profile", "/etc/bashrc")
_MODULE_FILES = ("modules.sh", "lmod.sh", "init/bash", "init/sh", "z00_lmod.sh")


def source(active: Activated, words: list[str], known: bool, line: int, findings: Findings) -> bool:
    """Follow `source FILE …`; false where FILE is none of those whose meaning is known.

    `known`: whether the name of FILE is known.
    """
    if not words:
        return False
    path = words[0] if known else words[0].strip("\"'")
    if path.endswith(_CONDA_SH):
        root = path[: -len(_CONDA_SH)]
        active.conda_root = root if known and posixpath.isabs(root) else active.conda_root
    elif path == "activate" and len(words) == 2:
        conda(active, words[1])
    elif path.endswith("bin/activate") and known:
        _activate(active, posixpath.dirname(posixpath.dirname(path)) or ".", words[1:])
    elif path.endswith(_PROFILES):
        hint = "set what it sets where you submit, or in environment.env"
        findings.note(line, f"{path} is not read", hint)
    else:
        return path.endswith(_MODULE_FILES)
    return True


def _activate(active: Activated, prefix: str, names: list[str]) -> None:
    if names or _CONDA_FOLDER.fullmatch(posixpath.basename(prefix)):
        active.conda_root = prefix if posixpath.isabs(prefix) else None
        conda(active, names[0] if names else "base")
    else:
        active.venv, active.conda = prefix, None


def is_hook(text: str) -> bool:
    """True if a text is `eval "$(conda shell.bash hook)"`."""
    return _HOOK.match(text) is not None


def hook(active: Activated, text: str) -> bool:
    """Follow `eval "$(conda shell.bash hook)"`; false for any other text."""
    match = _HOOK.match(text)
    if match is None:
        return False
    root = posixpath.dirname(posixpath.dirname(match["conda"]))
    if posixpath.isabs(root):
        active.conda_root = root
    return True


def conda(active: Activated, name: str) -> None:
    """Follow `conda activate NAME`."""
    active.conda, active.venv = name, None


def deactivate(active: Activated) -> None:
    """Follow `conda deactivate` and `deactivate`."""
    active.conda = active.venv = None


def module(active: Activated, words: list[str], line: int, findings: Findings) -> None:
    """Follow `module load NAME…` and `ml NAME…`."""
    rest = words[1:]
    if words[0] == "ml" and rest and rest[0] not in ("load", "purge", "list", "use", "unload"):
        rest = ["load", *rest]
    if rest[:1] in (["load"], ["add"]) and all(name[:1] != "-" for name in rest[1:]):
        active.modules.extend(rest[1:])
    elif rest == ["purge"] and not active.modules:
        message = "module purge: the job begins with the modules of the shell it is submitted from"
        findings.note(line, message, "purge there")
    elif rest[:1] not in (["list"], ["avail"]):
        message = f"{' '.join(words)}: prl-submit only loads modules"
        findings.error(line, message, "do it in the shell you submit from")
