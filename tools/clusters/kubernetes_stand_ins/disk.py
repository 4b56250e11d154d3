"""Small files that are whole or not there, whoever reads them and whenever."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, text: str) -> None:
    """A file's new content."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)


def write_json(path: Path, value: Any) -> None:
    """The same, of JSON."""
    write(path, json.dumps(value))


def claim(path: Path, text: str) -> bool:
    """Write a file that is not there yet; whether we were the first."""
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
    """A file's content; None where there is none."""
    try:
        return path.read_text()
    except OSError:
        return None


def read_json(path: Path) -> Any:
    """The same, of JSON."""
    text = read(path)
    return None if text is None else json.loads(text)
