"""Small files that a reader finds whole or not at all, never half written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> None:
    """Write a file, replacing an older one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON, replacing an older one."""
    write(path, json.dumps(value))


def claim(path: Path, text: str) -> bool:
    """Write a file unless it exists; True if we wrote it, so only one process gets True."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def read(path: Path) -> str | None:
    """A file's content; None if there is no such file."""
    try:
        return path.read_text()
    except OSError:
        return None


def read_json(path: Path) -> Any:
    """The value in a file of JSON; None if there is no such file."""
    text = read(path)
    return None if text is None else json.loads(text)
