"""Link the torch of this Python's environment into another one: `python tools/link_torch.py VENV`.

Hard links cost neither time nor disk, and the other environment outlives this one. Both must be of the
same Python version.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path

#: Distributions that hold torch's binaries; what else torch requires is small.
NAMES = ("torch", "triton", "nvidia-", "cuda-")


def is_binary(distribution: Distribution) -> bool:
    """True if the distribution is torch or one of the large ones it requires."""
    name = distribution.metadata["Name"].lower()
    return name in NAMES or name.startswith(tuple(item for item in NAMES if item.endswith("-")))


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the target lies on another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def main(venv: Path) -> int:
    """Link every file, and write torchrun anew: its first line names the interpreter."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = venv / "lib" / version / "site-packages"
    if not packages.is_dir():
        print(f"{venv} is not of {version}: torch is installed there again")
        return 1
    own = Path(sysconfig.get_path("purelib"))
    for distribution in filter(is_binary, distributions(path=[str(own)])):
        for file in distribution.files or ():
            source = Path(os.path.normpath(str(distribution.locate_file(file))))
            if source.is_file() and source.is_relative_to(own):
                link(source, packages / source.relative_to(own))
            elif source.is_file() and source.parent == Path(sys.executable).parent:
                script = source.read_text(encoding="utf-8").partition("\n")[2]
                target = venv / "bin" / source.name
                target.write_text(f"#!{venv / 'bin' / 'python'}\n{script}", encoding="utf-8")
                target.chmod(0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
