"""cancel.json: the note in the run directory that somebody cancelled the job."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prl_submit.errors import OutputError
from prl_submit.runs.layout import CANCEL
from prl_submit.system.files import write_inside
from prl_submit.system.owners import user_name
from prl_submit.system.reading import decode_json, read_record


def write_cancel(run: Path) -> None:
    """Write cancel.json, from which launch.sh and `status` know that a user wanted the job to end.

    Raises OSError where it cannot be written, even at a second try.
    """
    # launch.sh reads the reason with sed: no quotes or backslashes.
    user = "".join(char for char in user_name() if char.isalnum() or char in " ._-")
    reason = {"reason": f"cancelled by {user}"}
    data = msgspec.json.format(msgspec.json.encode(reason), indent=1)
    try:
        write_inside(run, CANCEL, data)
    except OSError:
        write_inside(run, CANCEL, data)


class CancelNote:
    """cancel.json of one cancellation. If the disk is full the job is ended all the same, and the user is told.

    The note is tried again when the job has ended: by then launch.sh has given back the room that
    it kept for exit.json, and `status` heeds a late note as it heeds an early one.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._fault: OSError | None = None
        self.write()

    def write(self) -> None:
        """Try to write the note."""
        try:
            write_cancel(self._run)
            self._fault = None
        except OSError as error:
            self._fault = error

    def close(self) -> None:
        """Try again where it is not written yet. Raises OutputError."""
        if self._fault is not None:
            self.write()
        if self._fault is not None:
            raise OutputError(
                f"{self._run.name} was told to end, but {CANCEL} cannot be written: "
                f"{self._fault.strerror}; `status` may show another end than CANCELLED",
                "make room, then `prl-submit cancel` once more",
            )


def cancel_reason(run: Path) -> str | None:
    """The words of cancel.json, or None where nobody has cancelled the run."""
    try:
        return str(decode_json(read_record(run / CANCEL))["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "cancelled"
