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

    Raises OSError if two tries to write it fail.
    """
    # launch.sh reads the reason with sed, which would stumble over quotes and backslashes.
    user = "".join(char for char in user_name() if char.isalnum() or char in " ._-")
    reason = {"reason": f"cancelled by {user}"}
    data = msgspec.json.format(msgspec.json.encode(reason), indent=1)
    try:
        write_inside(run, CANCEL, data)
    except OSError:
        write_inside(run, CANCEL, data)


class CancelNote:
    """Writes cancel.json. If the disk is full, the job is cancelled all the same, and `close` tries again.

    `close` is called when the job has ended. Then there may be room, because launch.sh has removed the file
    with which it reserved room for exit.json. `status` reads the note whenever it was written.
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
        """If the note could not be written, try again. Raises OutputError if that fails too."""
        if self._fault is not None:
            self.write()
        if self._fault is not None:
            raise OutputError(
                f"{self._run.name} was told to end, but {CANCEL} cannot be written: "
                f"{self._fault.strerror}; `status` may show another end than CANCELLED",
                "make room, then `prl-submit cancel` once more",
            )


def cancel_reason(run: Path) -> str | None:
    """The reason in cancel.json; None if nobody has cancelled the run."""
    try:
        return str(decode_json(read_record(run / CANCEL))["reason"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "cancelled"
