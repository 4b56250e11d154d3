"""Resolving paths that users write: in a spec, on the command line, and in PRL_OUTPUT_ROOT."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def expanded(path: str, home: str) -> str:
    """The path with `~` at its beginning replaced by the home directory."""
    return home + path[1:] if path == "~" or path.startswith("~/") else path


def absolute(path: str, base: str, home: str) -> str:
    """The absolute path. Relative paths start at the folder `base`, and `~` means the folder `home`."""
    return os.path.normpath(os.path.join(base, expanded(path, home)))


def as_typed(path: str) -> str:
    """The absolute path of a path on the command line. If it was in quotes, the shell left its `~` alone."""
    return os.path.abspath(os.path.expanduser(path))


def output_root(option: str | None) -> Path:
    """The output root for commands without a spec. `option`: the value of --output-root."""
    from pathlib import Path

    return Path(as_typed(option or os.environ.get("PRL_OUTPUT_ROOT") or "output"))
