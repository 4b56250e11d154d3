"""The lock of a run directory: one process alone may start an attempt of the run, or cancel it while it waits."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from prl_submit.errors import PrlSubmitError
from prl_submit.runs import layout
from prl_submit.runs.directory import Run, names_in
from prl_submit.system.files import open_inside


class BusyError(PrlSubmitError):
    """Somebody else holds the lock of the run."""


def _refuse_links(run: Run) -> None:
    """Raise PrlSubmitError for a symbolic link in the run directory: launch.sh would write through it."""
    beside = (layout.EXIT, layout.EXIT_PART, layout.STEPS, layout.COMPLETIONS, layout.LOGS)
    for folder, names in ((run.path, beside), (run.path / layout.LOGS, None)):
        for name in names_in(folder) if names is None else names:
            if (folder / name).is_symlink():
                raise PrlSubmitError(
                    f"{folder / name}: is a symbolic link, through which nothing is written",
                    "remove it, if you know where it leads",
                )


@contextlib.contextmanager
def exclusive(run: Run) -> Iterator[None]:
    """Let nobody else start or resume the run meanwhile. Raises BusyError, PrlSubmitError for links, and OSError."""
    _refuse_links(run)
    with locked(run):
        yield


@contextlib.contextmanager
def locked(run: Run) -> Iterator[None]:
    """The lock of `exclusive` alone, for a run whose directory was looked at before. Raises BusyError, OSError."""
    if not os.path.lexists(run.path / layout.LOGS):
        with contextlib.suppress(FileExistsError):  # somebody else has just made it
            (run.path / layout.LOGS).mkdir()
    lock = open_inside(run.path, layout.RESUME_LOCK, os.O_WRONLY | os.O_CREAT)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{run.name} is being resumed by somebody else") from None
        except OSError:
            pass  # this file system has no locks: the user must see to it that nobody else resumes the run
        yield
    finally:
        os.close(lock)
