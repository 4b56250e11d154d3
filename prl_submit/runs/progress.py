"""How far a training is, from ms-swift's logging.jsonl or from its printed log."""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from prl_submit.runs.layout import LOGS, STEPS, kept_file, node_log
from prl_submit.system.files import tail_bytes

#: ms-swift 4.6.0 trainers/patcher.py `add_train_message`: "3/100" on every logged line.
_PROGRESS = re.compile(rb'"global_step/max_steps": *"([0-9]{1,15})/([0-9]{1,15})"')
#: The same in the log that ms-swift prints, for runs whose logging.jsonl is only on the pods' volume.
_PRINTED = re.compile(rb"'global_step/max_steps': *'([0-9]{1,15})/([0-9]{1,15})'")
#: Bytes to read from the end at first. The last line may be long, because it repeats the whole log history.
_TAIL = 8_192
#: Bytes to read from the end at most. In a file of ms-swift the last progress is not further from the end.
_FURTHEST = 64 << 20


class Progress(Struct, frozen=True):
    """The last logged step, the number of steps, and when it was logged (seconds since the epoch).

    All are None before the first step. The time is the file's, so it is by the file server's clock.
    """

    step: int | None = None
    max_steps: int | None = None
    logged_at: float | None = None


def read_progress(run_dir: Path) -> Progress:
    """The last progress in logging.jsonl, or in the copied log of node 0 if that is further."""
    known = _last(run_dir / STEPS, _PROGRESS)
    if not os.path.exists(kept_file(run_dir / LOGS, 0)):
        return known
    told = _last(node_log(run_dir / LOGS, 0), _PRINTED)
    return max(known, told, key=lambda progress: progress.step or -1)


def _last(path: Path, pattern: re.Pattern[bytes]) -> Progress:
    size = _TAIL
    while True:
        data = tail_bytes(path, size)
        found = pattern.findall(data)
        if found:
            return Progress(int(found[-1][0]), int(found[-1][1]), _changed(path))
        if len(data) < size or size >= _FURTHEST:
            return Progress()
        size = min(size * 16, _FURTHEST)


def _changed(path: Path) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None
