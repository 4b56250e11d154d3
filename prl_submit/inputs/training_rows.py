"""How many rows a training has, and so how many steps.

ms-swift drops rows that it cannot use, such as one with an empty list of messages. So the rows are looked at
too, and the number is rough if there is such a row.
"""

from __future__ import annotations

import os

import msgspec
from msgspec import Raw, Struct

from prl_submit.inputs.data import parse_entry, training_rows_of
from prl_submit.inputs.paths import made_by_setup
from prl_submit.inputs.rows import Count, count_rows
from prl_submit.rules.job import DoubtfulError, Job
from prl_submit.rules.number_of_steps import StepCount, stated_steps, steps_on
from prl_submit.system.reading import open_regular
from prl_submit.system.shared_results import shared

#: So many bytes of a file are counted. The rest is estimated from the file's size.
_COUNTED_BYTES = 64_000_000
#: The rows in so many bytes are looked at. The rest is only counted.
_LOOKED_AT_BYTES = 4_000_000
#: The roles that ms-swift knows (4.6.0 dataset/preprocessor/core).
_ROLES = frozenset({
    "system", "user", "assistant", "tool", "tool_call", "tool_response", "human", "gpt", "bot",
    "function_call", "function_response", "observation", "observations",
})  # fmt: skip
_BOM = b"\xef\xbb\xbf"


class _Message(Struct):
    """A message of a conversation, in one of the two forms that ms-swift reads."""

    role: str = ""
    sender: str = msgspec.field(default="", name="from")
    content: Raw = Raw(b"null")
    value: Raw = Raw(b"null")


class _Row(Struct):
    """A row of a data file. Without messages it has other columns, such as `query`."""

    messages: list[_Message] | msgspec.UnsetType = msgspec.UNSET


class Rows(Struct, frozen=True):
    """The rows of a file. `is_rough`: not all were counted, or ms-swift may drop some."""

    count: int
    is_rough: bool = False


def training_steps(job: Job, workdir: str) -> StepCount | None:
    """The steps of a training; None if they cannot be known here: streamed rows, data of a hub, packing.

    `workdir`: an absolute path.
    """
    try:
        stated = stated_steps(job)
        if stated is not None:
            return stated
        rows = training_rows(job, workdir) if _counts_rows(job) else None
        count = steps_on(job, rows.count) if rows is not None else None
    except DoubtfulError:
        return None
    if rows is None or count is None:
        return None
    return StepCount(count.steps, count.is_rough or rows.is_rough)


def _counts_rows(job: Job) -> bool:
    """True if the rows of the data files decide how many steps there are."""
    mixed = job.get("interleave_prob", None) is not None
    return not (mixed or job.get("streaming", False) or job.many("cached_dataset"))


def training_rows(job: Job, workdir: str) -> Rows | None:
    """The rows that are trained in an epoch; None if a file is not here or cannot be counted."""
    found = []
    for entry in map(str, job.many("dataset")):
        path, sample = parse_entry(entry, workdir)
        if path is None or made_by_setup(job, path, workdir):
            return None
        counted = rows_of_file(path)
        if counted is None or not counted.count:
            return None
        found.append((counted, sample))
    if not found:
        return None
    count = training_rows_of(job, [(rows.count, sample) for rows, sample in found])
    return Rows(count, any(rows.is_rough for rows, _ in found) or _may_change(job, workdir))


def _may_change(job: Job, workdir: str) -> bool:
    """True if the user's own code may make other rows from the files."""
    if job.many("custom_dataset_info"):
        return True
    if not job.has_plugins:
        return False
    from prl_submit.inputs.plugins import registers_datasets

    return registers_datasets(job, workdir)


@shared
def rows_of_file(path: str) -> Rows | None:
    """The rows of a data file; None if they cannot be counted."""
    if os.path.splitext(path)[1] in (".json", ".jsonl"):
        try:
            lines = _rows_of_lines(path)
        except OSError:
            return None
        if lines is not None:
            return lines
    return _of_count(count_rows(path, 1 << 40))


def _of_count(count: Count | None) -> Rows | None:
    """Rows in a csv file or in a JSON array, which are not looked at one by one."""
    return None if count is None else Rows(count.rows, is_rough=True)


def _rows_of_lines(path: str) -> Rows | None:
    """The rows of a file with one JSON object on each line; None if it is another file. Raises OSError."""
    count = read = 0
    is_rough = False
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        while read < _COUNTED_BYTES and (line := file.readline(_COUNTED_BYTES)):
            text = line if read else line.removeprefix(_BOM)
            read += len(line)
            if not text.strip():
                continue
            count += 1
            if read <= _LOOKED_AT_BYTES or count == 1:
                used = _is_used(text)
                if used is None:
                    return None
                is_rough = is_rough or not used
    if read < size:
        return Rows(int(count * size / read), is_rough=True)
    return Rows(count, is_rough)


def _is_used(line: bytes) -> bool | None:
    """False if ms-swift may drop the row; None if the line is not one JSON object.

    Source: ms-swift 4.6.0 dataset/preprocessor/core `_check_messages`.
    """
    try:
        messages = _DECODER.decode(line).messages
    except msgspec.ValidationError:
        return False
    except ValueError:
        return None
    if messages is msgspec.UNSET:
        return b"null" not in line
    return bool(messages) and all(map(_is_whole, messages))


_DECODER = msgspec.json.Decoder(_Row)


def _is_whole(message: _Message) -> bool:
    """True for a message with a role that ms-swift knows, and a content."""
    content = message.value if message.sender else message.content
    return (message.role or message.sender) in _ROLES and bytes(content) != b"null"
