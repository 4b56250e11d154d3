"""Paths as users write them: in a spec, on the command line, and in PRL_OUTPUT_ROOT."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def expanded(path: str, home: str) -> str:
    """The path with the home directory for its `~`."""
    return home + path[1:] if path == "~" or path.startswith("~/") else path


def absolute(path: str, base: str, home: str) -> str:
    """The path, read from the folder `base`; `~` is the home directory `home`."""
    return os.path.normpath(os.path.join(base, expanded(path, home)))


def as_typed(path: str) -> str:
    """A path of the command line, which may be in quotes, so that the shell left its `~` alone."""
    return os.path.abspath(os.path.expanduser(path))


def output_root(option: str | None) -> Path:
    """The output root of commands that have no spec. `option`: what --output-root says."""
    from pathlib import Path

    return Path(as_typed(option or os.environ.get("PRL_OUTPUT_ROOT") or "output"))
