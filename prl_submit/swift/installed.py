"""The ms-swift of an environment on this machine, found without running or importing it.

It is looked for where Python would: torchrun runs `python -m swift.cli.rlhf` in the working directory,
which therefore comes first, then PYTHONPATH, then ~/.local (a virtual environment leaves that out), then the
environment's own folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from prl_submit.spec.sections import Conda, Environment

UNKNOWN = "unknown"
_INFO = re.compile(r"ms_swift-(.+)\.dist-info")
_VERSION = re.compile(r"^__version__ *= *['\"]([^'\"]+)['\"]", re.MULTILINE)
#: What makes a folder called swift ms-swift: since 4.0, and before.
_MARKS = ("swift/arguments/rlhf_args.py", "swift/llm/argument/rlhf_args.py")


class Installed(Struct, frozen=True):
    """An installed ms-swift. `folders`: where `import swift` and `import transformers` look, in order."""

    version: str
    folders: list[str]


def find_installed(
    environment: Environment, workdir: str, environ: Mapping[str, str]
) -> Installed | None:
    """The ms-swift that a job would import, as this machine sees it, or None.

    `environ` has PATH (without conda or venv the job's torchrun is the first one there), HOME,
    CONDA_EXE and Python's own variables, which `environment.env` may replace. `workdir` is absolute.
    """
    prefix = _prefix(environment, workdir, environ)
    environ = {**environ, **environment.env}
    sites = _sites(prefix, environ) if prefix else []
    written = environ.get("PYTHONPATH", "")
    before = [workdir, *(os.path.join(workdir, path) for path in written.split(":") if path)]
    for folder in [*before, *sites]:
        if _has_swift(folder):
            return Installed(_version(folder, sites), _once([folder, *before[1:], *sites]))
        if folder in sites:
            for linked in _links(folder):
                if _has_swift(linked):
                    return Installed(_version(linked, [folder]), _once([linked, *sites]))
    return None


def _once(folders: list[str]) -> list[str]:
    return list(dict.fromkeys(folders))


def _has_swift(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, mark)) for mark in _MARKS)


def _version(folder: str, sites: list[str]) -> str:
    """The source's own word, else what pip noted."""
    try:
        with open(os.path.join(folder, "swift", "version.py"), encoding="utf-8") as file:
            found = _VERSION.search(file.read(10_000))
    except (OSError, ValueError):
        found = None
    if found:
        return found[1]
    noted = [
        match[1] for site in sites for name in _names(site) if (match := _INFO.fullmatch(name))
    ]
    return noted[0] if noted else UNKNOWN


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _sites(prefix: str, environ: Mapping[str, str]) -> list[str]:
    """Where the Python of `prefix` looks after PYTHONPATH, in its order (the standard library's site.py)."""
    pythons = _pythons(prefix)
    own = _site_folders(prefix, pythons)
    user = _user_sites(pythons, environ)
    try:
        with open(os.path.join(prefix, "pyvenv.cfg"), encoding="utf-8") as file:
            pairs = [line.partition("=") for line in file.read(10_000).splitlines()]
    except (OSError, ValueError):
        return [*user, *own]  # no virtual environment
    venv = {key.strip(): value.strip() for key, _, value in pairs}
    if venv.get("include-system-site-packages", "").lower() != "true":
        return own
    base = os.path.dirname(venv.get("home", ""))
    return [*own, *user, *(_site_folders(base, pythons) if base else [])]


def _pythons(prefix: str) -> list[str]:
    """`python3.11` and so on, as below lib/; that of `bin/python3` first."""
    own = os.path.basename(os.path.realpath(os.path.join(prefix, "bin", "python3")))
    if not os.path.exists(os.path.join(prefix, "bin", "python3")):
        own = os.path.basename(os.path.realpath(os.path.join(prefix, "bin", "python")))
    pythons = [name for name in _names(os.path.join(prefix, "lib")) if name.startswith("python3")]
    return sorted(pythons, key=lambda name: name != own)


def _site_folders(prefix: str, pythons: list[str]) -> list[str]:
    """site-packages, and what Debian calls it, which has the packages of /usr also in /usr/local."""
    libs = ["/usr/local/lib", "/usr/lib"] if prefix == "/usr" else [os.path.join(prefix, "lib")]
    folders = [
        os.path.join(lib, python, packages)
        for lib in libs
        for python in pythons
        for packages in ("site-packages", "dist-packages")
    ]
    return [folder for folder in folders if os.path.isdir(folder)]


def _user_sites(pythons: list[str], environ: Mapping[str, str]) -> list[str]:
    """~/.local's folder, which comes before the environment's own."""
    home = environ.get("HOME")
    base = environ.get("PYTHONUSERBASE") or (os.path.join(home, ".local") if home else None)
    if not base or not pythons or environ.get("PYTHONNOUSERSITE"):
        return []
    folder = os.path.join(base, "lib", pythons[0], "site-packages")
    return [folder] if os.path.isdir(folder) else []


def _links(site: str) -> Iterator[str]:
    """Folders elsewhere: `pip install -e` (PEP 610), .egg-link, and the lines of .pth files."""
    for name in _names(site):
        if _INFO.fullmatch(name):
            yield from _checkout(os.path.join(site, name, "direct_url.json"))
        elif name.endswith((".pth", ".egg-link")):
            for line in _lines(os.path.join(site, name)):
                if os.path.isabs(line):
                    yield line


def _lines(path: str, size: int = 100_000) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(size).splitlines()
    except (OSError, ValueError):
        return []


def _checkout(path: str) -> Iterator[str]:
    try:
        url = msgspec.json.decode("\n".join(_lines(path)).encode(), type=dict[str, msgspec.Raw])
        scheme, _, place = msgspec.json.decode(url["url"], type=str).partition("://")
    except (ValueError, KeyError):
        return
    if scheme == "file":
        from urllib.parse import unquote

        yield unquote(place)


def _prefix(environment: Environment, workdir: str, environ: Mapping[str, str]) -> str | None:
    if environment.venv:
        return os.path.join(workdir, _expanded(environment.venv, environ))
    if environment.conda:
        return conda_prefix(environment.conda, workdir, environ)
    import shutil

    launcher = shutil.which("torchrun", path=environ.get("PATH", os.defpath))
    if not launcher:
        return None
    first = (_lines(launcher, 4096) or [""])[0]
    if first.startswith("#!/") and os.path.basename(first.split()[-1]).startswith("python"):
        launcher = first[2:].strip().split()[0]  # torchrun may lie elsewhere, as in ~/.local/bin
        if os.path.basename(launcher) == "env":
            launcher = shutil.which("python3", path=environ.get("PATH", os.defpath)) or ""
    return os.path.dirname(os.path.dirname(launcher)) or None


#: Below these launch.sh looks for conda, where neither the spec nor CONDA_EXE says where it is.
_CONDA_ROOTS = (
    *("~/miniconda3", "~/miniforge3", "~/anaconda3"),
    *("/opt/conda", "/opt/miniconda3", "/opt/miniforge3"),
)


def conda_prefix(conda: str | Conda, workdir: str, environ: Mapping[str, str]) -> str | None:
    """Where a conda environment would lie; None where conda is not found."""
    name, root = (conda, None) if isinstance(conda, str) else (conda.name, conda.root)
    executable = environ.get("CONDA_EXE")
    found = root or (os.path.dirname(os.path.dirname(executable)) if executable else None)
    if not found:
        roots = (_expanded(path, environ) for path in _CONDA_ROOTS)
        marks = (root for root in roots if os.path.isfile(f"{root}/etc/profile.d/conda.sh"))
        found = next(marks, None)
    if "/" in name:
        return os.path.join(workdir, _expanded(name, environ))
    if not found:
        return None
    found = os.path.join(workdir, _expanded(found, environ))
    return found if name == "base" else os.path.join(found, "envs", name)


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME")
    return home + path[1:] if home and (path == "~" or path.startswith("~/")) else path
