"""exit.json and logs/nodeN.exit.json: how an attempt ended, as launch.sh of each node writes it."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from prl_submit.runs.directory import names_in
from prl_submit.runs.layout import EXIT, LOGS
from prl_submit.system.reading import decode_json, read_record


class ExitRecord(Struct, frozen=True, kw_only=True):
    """exit.json, written by the job."""

    exit_code: int
    started_at: str | None = None
    ended_at: str | None = None
    restarts: int = 0
    node: str | None = None
    reason: str | None = None
    state: str | None = None


def read_exit(path: Path, restarts: int) -> ExitRecord | None:
    """exit.json of this attempt. None if it is missing, damaged, or of an earlier attempt."""
    ended = _decode_exit(path / EXIT)
    return ended if ended is not None and ended.restarts >= restarts else None


def _decode_exit(file: Path) -> ExitRecord | None:
    try:
        ended: ExitRecord = decode_json(read_record(file).decode("utf-8", "replace"), ExitRecord)
    except (OSError, ValueError):
        return None
    return ended


def read_node_exits(path: Path, restarts: int) -> list[tuple[int, ExitRecord]]:
    """The exit.json files of the other nodes, with their node ranks. Those of earlier attempts are left out."""
    found = []
    for name in names_in(path / LOGS):
        match = re.fullmatch(r"node([0-9]{1,9})\.exit\.json", name, re.ASCII)
        record = _decode_exit(path / LOGS / name) if match else None
        if match and record is not None and record.restarts >= restarts:
            found.append((int(match[1]), record))
    return sorted(found, key=lambda item: item[0])
