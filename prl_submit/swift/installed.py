"""Finding the ms-swift of an environment on this machine, without running or importing it.

The folders are searched in Python's order. torchrun runs `python -m swift.cli.rlhf` in the working
directory, so Python looks there first; then in PYTHONPATH; then in ~/.local, except in a virtual
environment; then in the environment's own folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import Struct

from prl_submit.spec.sections import Conda, Environment
from prl_submit.system.user_paths import expanded

UNKNOWN = "unknown"
_INFO = re.compile(r"ms_swift-(.+)\.dist-info")
_VERSION = re.compile(r"^__version__ *= *['\"]([^'\"]+)['\"]", re.MULTILINE)
#: A folder with one of these files holds ms-swift: the first since 4.0, the second before.
_MARKS = ("swift/arguments/rlhf_args.py", "swift/llm/argument/rlhf_args.py")


class Installed(Struct, frozen=True):
    """An installed ms-swift.

    `folders`: the folders in which Python looks for `swift` and `transformers`, in order; the first one
    holds `swift`. `version` is UNKNOWN if nothing says it.
    """

    version: str
    folders: list[str]


def find_installed(
    environment: Environment, workdir: str, environ: Mapping[str, str]
) -> Installed | None:
    """The ms-swift that a job with this environment would import on this machine, or None.

    `workdir` is absolute. Of `environ` these are used: PATH (without conda or venv the job runs the first
    torchrun on it), HOME, CONDA_EXE, PYTHONPATH, PYTHONUSERBASE and PYTHONNOUSERSITE. The variables in
    `environment.env` replace them.
    """
    prefix = _prefix(environment, workdir, environ)
    environ = {**environ, **environment.env}
    sites = _sites(prefix, environ) if prefix else []
    paths = [path for path in environ.get("PYTHONPATH", "").split(":") if path]
    before = [workdir, *(os.path.join(workdir, path) for path in paths)]
    for folder in [*before, *sites]:
        if _has_swift(folder):
            return Installed(_version(folder, sites), _once([folder, *before[1:], *sites]))
        linked = _linked_swift(folder) if folder in sites else None
        if linked:
            return Installed(_version(linked, [folder]), _once([linked, *sites]))
    return None


def _linked_swift(site: str) -> str | None:
    """The folder with ms-swift that a folder of packages points to; None if there is none."""
    for linked in _links(site):
        if _has_swift(linked):
            return linked
    return None


def _once(folders: list[str]) -> list[str]:
    """The folders in order, each once."""
    return list(dict.fromkeys(folders))


def _has_swift(folder: str) -> bool:
    """True if the folder holds `swift/` of ms-swift."""
    return any(os.path.isfile(os.path.join(folder, mark)) for mark in _MARKS)


def _version(folder: str, sites: list[str]) -> str:
    """The version in swift/version.py, else the one in the name of pip's dist-info folder."""
    try:
        with open(os.path.join(folder, "swift", "version.py"), encoding="utf-8") as file:
            found = _VERSION.search(file.read(10_000))
    except (OSError, ValueError):
        found = None
    if found:
        return found[1]
    for site in sites:
        for name in _names(site):
            info = _INFO.fullmatch(name)
            if info:
                return info[1]
    return UNKNOWN


def _names(folder: str) -> list[str]:
    """The sorted names in a folder; none if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _sites(prefix: str, environ: Mapping[str, str]) -> list[str]:
    """The folders in which the Python of `prefix` looks after PYTHONPATH, in order.

    Source: site.py of Python's standard library.
    """
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
    """The names of the folders for each Python below lib/, such as `python3.11`. That of bin/python3 first."""
    own = os.path.basename(os.path.realpath(os.path.join(prefix, "bin", "python3")))
    if not os.path.exists(os.path.join(prefix, "bin", "python3")):
        own = os.path.basename(os.path.realpath(os.path.join(prefix, "bin", "python")))
    pythons = [name for name in _names(os.path.join(prefix, "lib")) if name.startswith("python3")]
    return sorted(pythons, key=lambda name: name != own)


def _site_folders(prefix: str, pythons: list[str]) -> list[str]:
    """The folders of installed packages below a prefix that exist.

    Debian calls them dist-packages, and Debian's Python in /usr also has packages in /usr/local.
    """
    libs = ["/usr/local/lib", "/usr/lib"] if prefix == "/usr" else [os.path.join(prefix, "lib")]
    folders = [
        os.path.join(lib, python, packages)
        for lib in libs
        for python in pythons
        for packages in ("site-packages", "dist-packages")
    ]
    return [folder for folder in folders if os.path.isdir(folder)]


def _user_sites(pythons: list[str], environ: Mapping[str, str]) -> list[str]:
    """The user's own package folder below ~/.local, if it exists and Python uses it."""
    home = environ.get("HOME")
    base = environ.get("PYTHONUSERBASE") or (os.path.join(home, ".local") if home else None)
    if not base or not pythons or environ.get("PYTHONNOUSERSITE"):
        return []
    folder = os.path.join(base, "lib", pythons[0], "site-packages")
    return [folder] if os.path.isdir(folder) else []


def _links(site: str) -> Iterator[str]:
    """Folders elsewhere that a package folder points to.

    These are folders of `pip install -e` (named in direct_url.json, PEP 610), of .egg-link files, and the
    lines of .pth files.
    """
    for name in _names(site):
        if _INFO.fullmatch(name):
            yield from _checkout(os.path.join(site, name, "direct_url.json"))
        elif name.endswith((".pth", ".egg-link")):
            for line in _lines(os.path.join(site, name)):
                if os.path.isabs(line):
                    yield line


def _lines(path: str, size: int = 100_000) -> list[str]:
    """The lines in the first `size` characters of a file; none if it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(size).splitlines()
    except (OSError, ValueError):
        return []


def _checkout(path: str) -> Iterator[str]:
    """The folder that pip's direct_url.json names, if it names a folder on this machine."""
    try:
        url = msgspec.json.decode("\n".join(_lines(path)).encode(), type=dict[str, msgspec.Raw])
        scheme, _, place = msgspec.json.decode(url["url"], type=str).partition("://")
    except (ValueError, KeyError):
        return
    if scheme == "file":
        from urllib.parse import unquote

        yield unquote(place)


def _prefix(environment: Environment, workdir: str, environ: Mapping[str, str]) -> str | None:
    """The folder above bin/ of the job's Python; None if it is not found on this machine."""
    if environment.venv:
        return os.path.join(workdir, _expanded(environment.venv, environ))
    if environment.conda:
        return conda_prefix(environment.conda, workdir, environ)
    python = _python_of_torchrun(environ.get("PATH", os.defpath))
    return os.path.dirname(os.path.dirname(python)) or None


def _python_of_torchrun(path: str) -> str:
    """The Python in the first line of the first torchrun on PATH, or torchrun itself; empty without one.

    The Python decides, because torchrun may lie elsewhere, as in ~/.local/bin.
    """
    import shutil

    launcher = shutil.which("torchrun", path=path)
    if not launcher:
        return ""
    first = (_lines(launcher, 4096) or [""])[0]
    if not first.startswith("#!/") or not os.path.basename(first.split()[-1]).startswith("python"):
        return launcher
    interpreter = first[2:].strip().split()[0]
    if os.path.basename(interpreter) == "env":
        return shutil.which("python3", path=path) or ""
    return interpreter


#: launch.sh looks for conda in these folders if neither the spec nor CONDA_EXE says where it is.
_CONDA_ROOTS = (
    *("~/miniconda3", "~/miniforge3", "~/anaconda3"),
    *("/opt/conda", "/opt/miniconda3", "/opt/miniforge3"),
)


def conda_prefix(conda: str | Conda, workdir: str, environ: Mapping[str, str]) -> str | None:
    """The folder of a conda environment, whether it exists or not. None if conda itself is not found."""
    name, root = (conda, None) if isinstance(conda, str) else (conda.name, conda.root)
    if "/" in name:
        return os.path.join(workdir, _expanded(name, environ))
    found = root or _conda_root(environ)
    if not found:
        return None
    found = os.path.join(workdir, _expanded(found, environ))
    return found if name == "base" else os.path.join(found, "envs", name)


def _conda_root(environ: Mapping[str, str]) -> str | None:
    """The folder of the conda installation: from CONDA_EXE, else the first of the usual places."""
    executable = environ.get("CONDA_EXE")
    if executable and os.path.dirname(os.path.dirname(executable)):
        return os.path.dirname(os.path.dirname(executable))
    for path in _CONDA_ROOTS:
        root = _expanded(path, environ)
        if os.path.isfile(f"{root}/etc/profile.d/conda.sh"):
            return root
    return None


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    """The path with `~` at its beginning replaced by HOME."""
    return expanded(path, environ.get("HOME") or "~")
