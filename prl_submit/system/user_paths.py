"""Folders as users name them on the command line and in PRL_OUTPUT_ROOT."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it takes a twentieth of the time of `check`, which has no use for it
    from pathlib import Path


def absolute(text: str) -> str:
    """A folder as the user means it: `~` is the home directory, in quotes too."""
    return os.path.abspath(os.path.expanduser(text))


def output_root(option: str | None) -> Path:
    """The output root of commands that have no spec. `option`: what --output-root says."""
    from pathlib import Path

    return Path(absolute(option or os.environ.get("PRL_OUTPUT_ROOT") or "output"))
