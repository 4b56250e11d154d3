"""labels.json: the name, the note and the tags that the user gives to a run.

run.json keeps the name under which schedulers know the job. What stands in labels.json changes nothing of
the job, so anybody who may write in the run directory may change it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.errors import PrlSubmitError
from prl_submit.runs.layout import LABELS, LABELS_LOCK, LATEST, LOGS
from prl_submit.system.files import open_inside, write_inside
from prl_submit.system.owners import whose
from prl_submit.system.reading import decode_json, read_record
from prl_submit.system.untrusted_text import one_line

#: The form of a spec's `name`, so that a run can be named without quotes wherever a RUN is expected.
_NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
#: What RUN means otherwise: a run's number, or its directory.
_OTHER_RUN = rf"v?[0-9]+|v[0-9]+-[0-9]{{8}}-[0-9]{{6}}|{LATEST}"
#: Letters of all alphabets, digits, and a few signs; no comma, because lists of tags are separated by commas.
_TAG = r"\w[\w.:/=+@-]{0,39}"
#: The longest note, in characters, and how many tags a run may have.
_NOTE_LENGTH = 500
_MOST_TAGS = 50


class Labels(Struct, frozen=True):
    """What the user says about a run. All texts are on one line and safe to print."""

    name: str | None = None
    note: str | None = None
    tags: list[str] = []


def read_labels(run: Path) -> Labels:
    """The labels of a run directory; none if labels.json is missing, damaged or unreadable.

    Somebody else may have written the file, so what `change_labels` would not write is left out.
    """
    try:
        found: Labels = decode_json(read_record(run / LABELS), Labels)
    except (OSError, ValueError):
        return Labels()
    name = found.name if found.name and name_fault(found.name) is None else None
    tags = [tag for tag in found.tags if tag_fault(tag) is None]
    return Labels(name, _note(found.note or ""), tags[:_MOST_TAGS])


def change_labels(run: Path, change: Callable[[Labels], Labels]) -> Labels:
    """Replace the labels of a run by what `change` makes of them, and return the new ones.

    Two changes at a time are made one after the other. Raises PrlSubmitError if the file cannot be written.
    """
    try:
        with _alone(run):
            labels = change(read_labels(run))
            labels = msgspec.structs.replace(labels, note=_note(labels.note or ""))
            text = msgspec.json.format(msgspec.json.encode(labels), indent=2)
            write_inside(run, LABELS, text + b"\n")
            return labels
    except OSError as error:
        message = f"{run / LABELS}: cannot be written: {error.strerror}{whose(run)}"
        raise PrlSubmitError(message) from None


def write_labels(run: Path, labels: Labels) -> None:
    """Write labels.json. Raises PrlSubmitError if that cannot be done."""
    change_labels(run, lambda _: labels)


def name_fault(name: str) -> str | None:
    """Why a run cannot have this name, in words; None for a good one."""
    if re.fullmatch(_OTHER_RUN, name):
        return "would be taken for the number of a run, or for a job's id"
    if not re.fullmatch(_NAME, name):
        return "lower-case letters, digits and '-', at most 40 characters, no '-' at the ends"
    return None


def tag_fault(tag: str) -> str | None:
    """Why a run cannot have this tag, in words; None for a good one."""
    if re.fullmatch(_TAG, tag):
        return None
    return "letters, digits and . : / = + @ - _, at most 40 characters, a letter or digit first"


def with_tags(labels: Labels, tags: list[str], *, remove: bool) -> Labels:
    """The labels with these tags added or removed; the order of the others stays.

    Raises PrlSubmitError if these are too many.
    """
    if remove:
        kept = [tag for tag in labels.tags if tag not in tags]
    else:
        kept = list(dict.fromkeys([*labels.tags, *tags]))
    if len(kept) > _MOST_TAGS:
        raise PrlSubmitError(f"a run can have {_MOST_TAGS} tags, and these are {len(kept)}")
    return msgspec.structs.replace(labels, tags=kept)


def _note(text: str) -> str | None:
    """The note on one line and at most as long as a note may be; None for an empty one."""
    line = one_line(text)
    return (line if len(line) <= _NOTE_LENGTH else line[: _NOTE_LENGTH - 1] + "…") or None


@contextlib.contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Let nobody else change the labels meanwhile. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        (run / LOGS).mkdir()
    with open(open_inside(run, LABELS_LOCK, os.O_WRONLY | os.O_CREAT), "wb") as lock:
        with contextlib.suppress(OSError):  # this file system has no locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
