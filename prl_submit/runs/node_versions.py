"""Tell which packages a node lacks, and write the versions of those that it has into the run directory.

launch.sh runs this very file on a node, with the Python of the training's environment. Because of that this file
imports only the standard library and uses nothing newer than Python 3.8. No package is imported, since torch alone
would take seconds.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import json
import os
import platform
import re
import socket
import sys
import time
from typing import Any

#: Distributions whose versions decide what a training does.
_PACKAGES = [
    "ms-swift",
    "torch",
    "transformers",
    "trl",
    "vllm",
    "accelerate",
    "peft",
    "deepspeed",
    "datasets",
    "tokenizers",
    "modelscope",
    "numpy",
    "triton",
    "flash-attn",
    "sglang",
    "liger-kernel",
    "bitsandbytes",
    "xformers",
    "qwen-vl-utils",
    "torch-npu",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
]
_FOLDER = "made_of"
#: So many earlier versions of an environment are kept.
_MOST_EARLIER = 20
_MAX_BYTES = 1 << 20


def missing(modules: list[str]) -> list[str]:
    """Those of the modules that cannot be imported."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def versions() -> dict[str, Any]:
    """What this node has. A value is None if the node cannot tell it cheaply."""
    torch, swift = _folder_of("torch"), _folder_of("swift")
    packages = _installed()
    found = _in_file(swift, r"^__version__ *= *['\"]([^'\"]+)")
    if found is not None:  # a checkout in PYTHONPATH comes before an installed release
        packages["ms-swift"] = found
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "packages": packages,
        "swift_path": swift,
        "swift_commit": _commit_of(swift),
        "cuda": _in_file(torch, r"^(?:cuda|hip)\b[^=\n]*= *['\"]([^'\"]+)"),
        "driver": _driver(),
        "gpus": _gpus(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def _installed() -> dict[str, str]:
    """The versions of the distributions that are installed."""
    from importlib import metadata

    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(Exception):  # it is not installed, or its metadata is damaged
            found[name] = str(metadata.version(name))
    return found


def _folder_of(package: str) -> str | None:
    """The folder of a package, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None


def _in_file(folder: str | None, pattern: str) -> str | None:
    """What the pattern's group finds in a package's version.py."""
    found = re.search(
        pattern, _text(os.path.join(folder or "/nowhere", "version.py")), re.MULTILINE
    )
    return found.group(1) if found else None


def _commit_of(folder: str | None) -> str | None:
    """The commit of a git checkout from which a package is used, read without git."""
    git = os.path.join(os.path.dirname(folder or "/nowhere/x"), ".git")
    head = _text(os.path.join(git, "HEAD")).strip()
    if head.startswith("ref: "):
        name = head[5:]
        packed = re.search(
            rf"^(\S+) {re.escape(name)}$", _text(os.path.join(git, "packed-refs")), re.MULTILINE
        )
        head = _text(os.path.join(git, name)).strip() or (packed.group(1) if packed else "")
    return head if re.fullmatch(r"[0-9a-f]{40,64}", head) else None


def _driver() -> str | None:
    """The version of NVIDIA's driver."""
    found = re.search(r"[0-9]+(?:\.[0-9]+)+", _text("/sys/module/nvidia/version"))
    return found.group(0) if found else None


def _gpus() -> list[str]:
    """The names of NVIDIA's GPUs, from files: nvidia-smi may take seconds."""
    texts = map(_text, sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")))
    found = (re.search(r"^Model: *(.+)", text, re.MULTILINE) for text in texts)
    return [match.group(1).strip() for match in found if match]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_BYTES)
    except OSError:
        return ""


def write(run_dir: str, node: int, restarts: int) -> None:
    """Write the versions into the run directory. Raises OSError, also where a part of the path is a link.

    If an earlier attempt had other versions, those are kept in the same file.
    """
    name = f"versions.node{node}.json" if node else "versions.json"
    found = versions()
    found["restarts"] = restarts
    found["at"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    place = os.path.join(run_dir, _FOLDER)
    with contextlib.suppress(FileExistsError):  # another node may make it at the same time
        os.mkdir(place)
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found["earlier"] = _earlier(_read(folder, name), found)
        part = f".{name}.{os.urandom(8).hex()}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(part, flags, 0o644, dir_fd=folder), "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
            file.write("\n")
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)


def _read(folder: int, name: str) -> dict[str, Any]:
    """What the file has now; empty if it is missing or damaged."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with open(descriptor, encoding="utf-8", errors="replace") as file:
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _earlier(old: dict[str, Any], new: dict[str, Any]) -> list[Any]:
    """The versions of earlier attempts that differ from the next ones, oldest first."""
    listed = old.pop("earlier", None)
    earlier = listed if isinstance(listed, list) else []
    keys = ("python", "packages", "swift_path", "swift_commit", "cuda", "driver", "gpus")
    if old and any(old.get(key) != new.get(key) for key in keys):
        earlier = [*earlier, old]
    return earlier[-_MOST_EARLIER:]


def main(words: list[str]) -> None:
    """Print the missing modules, then write the versions. A fault while writing is nobody's."""
    run_dir, node, restarts, *modules = words
    sys.stdout.write(" ".join(missing(modules)) + "\n")
    sys.stdout.flush()
    # The training starts whether or not its versions can be kept.
    with contextlib.suppress(Exception):
        write(run_dir, int(node), int(restarts))


if __name__ == "__main__":
    main(sys.argv[1:])
