"""The file system of a container: this machine's files below a layer of its own, and its mounts.

What a container writes outside of its mounts goes into a layer in memory, which is dropped at its end.
/tmp and the file systems mounted on this machine are not covered by the layer.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

from tools.clusters.kubernetes_stand_ins import system_calls

DEVICES = ["null", "zero", "full", "random", "urandom", "tty"]
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
#: The size of /dev/shm by default, as container runtimes have it.
SHARED_MEMORY = "64m"
OWN = ("/proc", "/dev")
#: Folders that no layer covers: in a layer, files that are made outside may stay unseen.
LIVE = ("/tmp",)


def make_places(mounts: list[Any], live: list[str]) -> list[str]:
    """Make missing mount points in folders that no layer covers; the paths made, parents first."""
    made: list[str] = []
    for one in mounts:
        target = one["target"]
        if any(_is_below(target, place) for place in live):
            _make_place(target, os.path.isdir(one["source"]), made)
    return made


def remove_places(made: list[str]) -> None:
    """Remove what `make_places` made."""
    for path in reversed(made):
        with contextlib.suppress(OSError):
            if os.path.isdir(path):
                os.rmdir(path)
            else:
                os.unlink(path)


def enter(folder: Path, mounts: list[Any], live: list[str]) -> None:
    """Build the file system in this mount namespace, and make it the root of this process."""
    sources = [os.open(one["source"], os.O_PATH | os.O_CLOEXEC) for one in mounts]
    root = _layer(folder)
    _mount_hosts(root, folder, live)
    system_calls.mount("proc", f"{root}/proc", "proc")
    _make_devices(f"{root}/dev")
    old = f"{root}/.host"
    os.mkdir(old)
    system_calls.pivot_root(root, old)
    os.chdir("/")
    for one, source in zip(mounts, sources, strict=True):
        _mount(source, one["target"], read_only=one["readOnly"])
        os.close(source)
    system_calls.detach("/.host")
    os.rmdir("/.host")


def _layer(folder: Path) -> str:
    """Mount this machine's files with a layer in memory above them; the path."""
    memory = folder / "layer"
    memory.mkdir(exist_ok=True)
    system_calls.mount("tmpfs", str(memory), "tmpfs", data="mode=755")
    for name in ("upper", "work", "root"):
        (memory / name).mkdir()
    (memory / "upper").chmod(0o755)
    os.chdir(
        memory
    )  # relative paths in the options below: a path may hold a character that has a meaning there
    system_calls.mount(
        "overlay", "root", "overlay", data="lowerdir=/,upperdir=upper,workdir=work,index=off"
    )
    root = str(memory / "root")
    # Every user may read an image, but not root's home, in which this machine's Python may be.
    with contextlib.suppress(OSError):
        os.chmod(f"{root}/root", 0o755)
    return root


def _mount_hosts(root: str, folder: Path, live: list[str]) -> None:
    """What a layer above the host's root does not show: other file systems; and what is live."""
    own = (*OWN, str(folder))
    places = [place for place in _mount_points() if not any(_is_below(place, one) for one in own)]
    for place in sorted({*places, *live}):
        if not os.path.exists(root + place):
            continue
        # What is mounted below our own folder would come along, and with it this very root.
        flags = (
            system_calls.BIND
            if _is_below(str(folder), place)
            else system_calls.BIND | system_calls.RECURSIVE
        )
        system_calls.mount(place, root + place, flags=flags)


def _mount_points() -> list[str]:
    """What is mounted on the host's root itself."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    top = [line[0] for line in lines if line[4] == "/"]
    found = [line[4] for line in lines if line[1] in top and line[4] != "/"]
    return [place.encode().decode("unicode_escape") for place in found]


def _make_devices(folder: str) -> None:
    """A /dev of the container's own, with the host's GPUs."""
    system_calls.mount("tmpfs", folder, "tmpfs", system_calls.NO_SUID, "mode=755,size=1m")
    gpus = [name for name in os.listdir("/dev") if name.startswith("nvidia")]
    for name in [*DEVICES, *gpus]:
        source = f"/dev/{name}"
        if stat.S_ISCHR(os.stat(source).st_mode):
            Path(folder, name).touch()
            system_calls.mount(source, f"{folder}/{name}", flags=system_calls.BIND)
    for name, target in DEVICE_LINKS.items():
        os.symlink(target, f"{folder}/{name}")
    for name, kind, data in (
        ("pts", "devpts", "newinstance,ptmxmode=666,mode=620"),
        ("shm", "tmpfs", f"mode=1777,size={SHARED_MEMORY}"),
    ):
        os.mkdir(f"{folder}/{name}")
        system_calls.mount(kind, f"{folder}/{name}", kind, system_calls.NO_SUID, data)


def _mount(source: int, target: str, *, read_only: bool) -> None:
    """Mount what was opened while this machine's root was still the root."""
    _make_place(target, stat.S_ISDIR(os.fstat(source).st_mode), [])
    system_calls.mount(
        f"/proc/self/fd/{source}", target, flags=system_calls.BIND | system_calls.RECURSIVE
    )
    if read_only:
        system_calls.mount(
            "none", target, flags=system_calls.BIND | system_calls.REMOUNT | system_calls.READ_ONLY
        )


def _make_place(target: str, is_folder: bool, made: list[str]) -> None:
    """Make a folder or an empty file, with its parents, if nothing is there."""
    if os.path.exists(target):
        return
    parent = os.path.dirname(target)
    if parent != target:
        _make_place(parent, True, made)
    if is_folder:
        os.mkdir(target, 0o755)
    else:
        Path(target).touch()
    made.append(target)


def _is_below(path: str, place: str) -> bool:
    """True if the path is `place` or lies in it."""
    return path == place or path.startswith(place.rstrip("/") + "/")
