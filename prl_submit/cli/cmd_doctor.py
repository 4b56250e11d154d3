"""The command `doctor`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from prl_submit import __version__, backends
from prl_submit.backends.base import Finding
from prl_submit.cli.console import data, document
from prl_submit.cli.shared_options import json_option, output_root_option
from prl_submit.errors import EXIT_JOB_FAILED
from prl_submit.launch.render import TEMPLATES
from prl_submit.spec.sections import Environment
from prl_submit.spec.traits import BACKENDS
from prl_submit.swift.installed import find_installed
from prl_submit.system import shell
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("doctor")
@output_root_option
@json_option
def doctor(output_root: str | None, as_json: bool) -> int:
    """Check that this machine has what submitting jobs needs; exit 1 if something is missing.

    Each line is one thing that was looked at: ok, MISSING, or a note where it is not always needed.
    """
    looks: dict[str, Callable[[], Finding | None]] = {
        "prl-submit": _version,
        "folder": _folder,
        "bash": _bash,
        "/proc": _proc,
        "output root": lambda: _root(output_root_of(output_root)),
        "torchrun": _torchrun,
        "ms-swift": _swift,
        "GPUs": _gpus,
        "git": _git,
        "backends": _backends,
        **{name.capitalize(): backends.load(name).doctor for name in BACKENDS},
        "submitit": _probe,
    }
    looked_at = [_look(name, look) for name, look in looks.items()]
    findings = [finding for finding in looked_at if finding is not None]
    bad = any(finding.ok is False for finding in findings)
    if as_json:
        document({"ok": not bad, "checks": findings})
    else:
        for finding in findings:
            mark = {True: "ok", False: "MISSING", None: "note"}[finding.ok]
            data(f"{mark:8}{finding.name:14}{finding.detail}")
            if finding.hint:
                data(f"{'':22}{finding.hint}")
    return EXIT_JOB_FAILED if bad else 0


def _look(name: str, look: Callable[[], Finding | None]) -> Finding | None:
    """Look at one thing. If looking fails, the finding says so."""
    try:
        return look()
    except (OSError, ValueError) as error:
        return Finding(name, False, f"cannot be looked at: {error}")


def _folder() -> Finding:
    """The working directory, which relative paths and the default `workdir` need."""
    try:
        return Finding("folder", True, os.getcwd())
    except OSError as error:
        return Finding("folder", False, f"cannot be used: {error.strerror}", "cd to another folder")


def _version() -> Finding:
    python = ".".join(map(str, sys.version_info[:3]))
    found = os.path.isdir(TEMPLATES)
    detail = f"{__version__} on Python {python}, templates in {TEMPLATES}"
    return Finding("prl-submit", found, detail, None if found else "install it again")


def _bash() -> Finding:
    answer = shell.run(["bash", "-c", "echo $BASH_VERSION"], timeout=5)
    major, _, minor = answer.out.partition(".")
    good = answer.code == 0 and (int(major or 0), int(minor.partition(".")[0] or 0)) >= (4, 3)
    return Finding("bash", good, answer.out.strip() or answer.err, None if good else "4.3 or newer")


def _proc() -> Finding:
    good = Path("/proc/self/environ").exists()
    return Finding("/proc", good, "readable" if good else "missing: local jobs need Linux")


def _root(root: Path) -> Finding:
    here = root
    while not os.path.lexists(here) and here != here.parent:
        here = here.parent
    if not os.path.isdir(here) or not os.access(here, os.W_OK) or not shutil.disk_usage(here).total:
        return Finding(
            "output root", False, f"{root}: {here} is not a writable folder", "--output-root DIR"
        )
    free = shutil.disk_usage(here).free / 2**30
    return Finding("output root", free >= 1, f"{root}, {free:.0f} GiB free")


def _torchrun() -> Finding:
    path = shutil.which("torchrun")
    hint = None if path else "needed for local jobs without environment.conda or venv"
    return Finding("torchrun", True if path else None, path or "not on PATH", hint)


def _swift() -> Finding:
    found = find_installed(Environment(), os.getcwd(), os.environ)
    detail = f"ms-swift {found.version}" if found else "not beside the torchrun on PATH"
    return Finding("ms-swift", True if found else None, detail)


def _gpus() -> Finding:
    answer = shell.run(["nvidia-smi", "-L"], timeout=10)
    count = sum(line.startswith("GPU ") for line in answer.out.splitlines())
    detail = f"{count} here" if answer.code == 0 else "none here (no answer from nvidia-smi)"
    return Finding("GPUs", True if count else None, detail)


def _git() -> Finding:
    answer = shell.run(["git", "--version"], timeout=5)
    good = answer.code == 0
    hint = None if good else "plan.json will not name the commit"
    return Finding("git", True if good else None, (answer.out or answer.err).strip(), hint)


def _backends() -> Finding:
    return Finding("backends", True, ", ".join(BACKENDS))


def _probe() -> Finding:
    here = importlib.util.find_spec("submitit") is not None
    hint = None if here else "needed for `prl-submit probe` alone: pip install submitit"
    return Finding("submitit", True if here else None, "installed" if here else "missing", hint)


command = doctor
