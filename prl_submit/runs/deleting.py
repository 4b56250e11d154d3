"""Delete checkpoints and whole runs, so that a kill half-way leaves nothing that looks whole.

A folder is renamed first: nobody takes `.pruned-…` for a checkpoint or a run. Then its content is removed.
What a killed `prune` left is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from prl_submit.errors import PrlSubmitError
from prl_submit.runs.directory import names_in
from prl_submit.system.files import open_inside

#: The beginning of the name of a folder that is being deleted.
PRUNED = ".pruned-"


def delete_folder(parent: Path, name: str) -> None:
    """Delete a folder in a run directory or an output root, with all that is in it.

    Raises OSError, also if it is a symbolic link: then nothing is deleted. Links inside are removed and not
    followed.
    """
    folder = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(None, "is no folder, so it is not deleted", str(parent / name))
        gone = f"{PRUNED}{name}-{os.urandom(4).hex()}"
        os.rename(name, gone, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
    shutil.rmtree(parent / gone)


def leftovers(parent: Path) -> list[str]:
    """What an earlier `prune` began to delete in a folder and did not finish."""
    return sorted(name for name in names_in(parent) if name.startswith(PRUNED))


def delete_leftovers(parent: Path) -> None:
    """Delete them. What cannot be deleted stays."""
    for name in leftovers(parent):
        if not (parent / name).is_symlink():
            shutil.rmtree(parent / name, ignore_errors=True)


@contextlib.contextmanager
def without_jobs(run: Path) -> Iterator[None]:
    """Hold the locks by which launch.sh of each node claims the run directory.

    Raises PrlSubmitError if a launch.sh holds one, as one that somebody started by hand; and OSError.
    """
    with contextlib.ExitStack() as held:
        for name in names_in(run):
            if name.startswith(".node") and name.endswith(".lock"):
                lock = held.enter_context(os.fdopen(open_inside(run, name, os.O_WRONLY), "wb"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise PrlSubmitError(f"its launch.sh still runs: it holds {name}") from None
                except OSError:
                    pass  # this file system has no locks
        yield
