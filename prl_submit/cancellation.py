"""Who orders a cancellation, and the note of it in the run directory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from prl_submit.files import write_atomic
from prl_submit.runs import CANCEL


def user_name(uid: int | None = None) -> str:
    """The login name of a user, by default our own; `uid N` where it has none."""
    import pwd

    number = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's bare uid
        return f"uid {number}"


def write_cancel(run: Path) -> None:
    """cancel.json, by which launch.sh and `status` know that somebody wanted the end."""
    # launch.sh reads the reason with sed: no quotes or backslashes.
    user = "".join(char for char in user_name() if char.isalnum() or char in " ._-")
    reason = {"reason": f"cancelled by {user}"}
    with contextlib.suppress(OSError):  # a full disk must not keep a job alive
        write_atomic(run / CANCEL, msgspec.json.format(msgspec.json.encode(reason), indent=1))


def cancel_reason(run: Path) -> str | None:
    """The words of cancel.json, or None where nobody has cancelled the run."""
    try:
        return str(msgspec.json.decode((run / CANCEL).read_bytes())["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "cancelled"
