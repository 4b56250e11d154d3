"""The folders for a user's prl-submit files, after the XDG Base Directory Specification."""

from __future__ import annotations

import os
from collections.abc import Mapping


def xdg_folder(environ: Mapping[str, str], variable: str, otherwise: str) -> str:
    """The folder `prl-submit` below the folder that a variable such as XDG_CACHE_HOME names.

    If the variable is not set: below `otherwise` (such as `.cache`) in the home directory.
    """
    root = environ.get(variable, "")
    if not os.path.isabs(root):  # the specification says to ignore a relative path
        root = os.path.join(environ.get("HOME") or os.path.expanduser("~"), otherwise)
    return os.path.join(root, "prl-submit")
