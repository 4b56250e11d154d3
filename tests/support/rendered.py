"""What `prl-submit render --all` prints."""

from __future__ import annotations

import re
from pathlib import Path


def files_in(text: str) -> dict[str, str]:
    """The text of each file by its name."""
    parts = re.split(r"^==> (\S+) <==\n", text, flags=re.MULTILINE)
    assert parts[0] == ""
    # An empty line is between two files.
    texts = [part.removesuffix("\n") for part in parts[2:-1:2]] + parts[-1:]
    return dict(zip(parts[1::2], texts, strict=True))


def write_files(folder: Path, text: str) -> Path:
    """Write each of the files into a folder; its launch.sh."""
    for name, each in files_in(text).items():
        (folder / name).write_bytes(each.encode("utf-8"))
    return folder / "launch.sh"
