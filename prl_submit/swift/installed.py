"""The ms-swift of an environment on this machine, found without running or importing it."""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from prl_submit.spec import Environment

_NAME = "ms_swift-"
_INFO = ".dist-info"


class Installed(Struct, frozen=True):
    """An installed ms-swift. `folders`: where `import swift` and `import transformers` look."""

    version: str
    folders: list[str]


def find_installed(environment: Environment, workdir: str, path: str) -> Installed | None:
    """The ms-swift of the job's environment as this machine sees it, or None.

    `path` is PATH: without conda or venv the job's torchrun is the first one there.
    """
    prefix = _prefix(environment, workdir, path)
    for site in _site_folders(prefix) if prefix else []:
        try:
            names = sorted(os.listdir(site))
        except OSError:
            continue
        for name in names:
            if name.startswith(_NAME) and name.endswith(_INFO):
                version = name[len(_NAME) : -len(_INFO)]
                checkout = _checkout(os.path.join(site, name))
                return Installed(version, [checkout, site] if checkout else [site])
    return None


def installed_version(environment: Environment, workdir: str, path: str) -> str | None:
    """Its version alone."""
    found = find_installed(environment, workdir, path)
    return None if found is None else found.version


def _site_folders(prefix: str) -> list[str]:
    """site-packages, and what Debian calls it."""
    lib = os.path.join(prefix, "lib")
    try:
        pythons = [name for name in sorted(os.listdir(lib)) if name.startswith("python3")]
    except OSError:
        return []
    return [
        os.path.join(lib, python, packages)
        for python in pythons
        for packages in ("site-packages", "dist-packages")
    ]


def _checkout(dist_info: str) -> str | None:
    """Where `pip install -e` of a checkout points to (PEP 610); None for a plain install."""
    try:
        with open(os.path.join(dist_info, "direct_url.json"), "rb") as file:
            url = msgspec.json.decode(file.read())
        if not url["dir_info"]["editable"]:
            return None
        scheme, _, path = url["url"].partition("://")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    from urllib.parse import unquote

    return unquote(path) if scheme == "file" else None


def _prefix(environment: Environment, workdir: str, path: str) -> str | None:
    if environment.venv:
        return os.path.join(workdir, os.path.expanduser(environment.venv))
    if environment.conda:
        conda = environment.conda
        name, root = (conda, None) if isinstance(conda, str) else (conda.name, conda.root)
        executable = os.environ.get("CONDA_EXE")
        found = root or (os.path.dirname(os.path.dirname(executable)) if executable else None)
        if not found:
            return None
        return found if name == "base" else os.path.join(found, "envs", name)
    import shutil

    launcher = shutil.which("torchrun", path=path)
    return os.path.dirname(os.path.dirname(launcher)) if launcher else None
