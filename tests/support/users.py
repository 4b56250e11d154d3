"""Other users of this machine, in tests that root runs."""

from __future__ import annotations

from pathlib import Path


def let_others_pass(folder: Path) -> None:
    """Let every user enter the folders above `folder`: pytest makes its own for one user alone.

    Folders that can be entered already, such as /tmp with its sticky bit, stay as they are.
    """
    for above in folder.parents:
        mode = above.stat().st_mode
        if not mode & 0o001:
            above.chmod(mode | 0o055)
