"""Where a user's files of ours lie (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from collections.abc import Mapping


def xdg_folder(environ: Mapping[str, str], variable: str, otherwise: str) -> str:
    """`prl-submit` below what `variable` names; below `otherwise` in the home where it is not set."""
    root = environ.get(variable, "")
    if not os.path.isabs(root):  # the specification: a relative one is to be ignored
        root = os.path.join(environ.get("HOME") or os.path.expanduser("~"), otherwise)
    return os.path.join(root, "prl-submit")
