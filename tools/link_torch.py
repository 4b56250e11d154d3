"""Link the torch of this Python's environment into another one: `python tools/link_torch.py VENV`.

Hard links take no time and no disk space, and the other environment still works if this one is removed.
Both environments must have the same version of Python.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib.metadata import Distribution, distributions
from pathlib import Path

#: The distributions with torch's binaries. The other packages that torch requires are small.
NAMES = ("torch", "triton", "nvidia-", "cuda-")


def is_binary(distribution: Distribution) -> bool:
    """True if the distribution is torch or one of the large ones it requires."""
    name = distribution.metadata["Name"].lower()
    return name in NAMES or name.startswith(tuple(item for item in NAMES if item.endswith("-")))


def link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy if the target is on another disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def main(venv: Path) -> int:
    """Link every file. Scripts such as torchrun are copied with the other environment's Python in line 1."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = venv / "lib" / version / "site-packages"
    if not packages.is_dir():
        print(f"{venv} does not have {version}, so pip will install torch there")
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
