"""Run directories of a platform, as submit and launch.sh leave them, made without either."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from prl_submit.runs.directory import Run
from prl_submit.runs.layout import CANCEL, EXIT, LOGS, alive_file, starts_file
from prl_submit.runs.record import PlatformJob
from tests.support.records import make_run

TOKEN = "t"


def platform_run(path: Path, **fields: Any) -> Run:
    """A prepared run whose nodes may be silent for three minutes."""
    usual = {"backend": "platform", "job_id": None, "place": PlatformJob(silence=180)}
    run = make_run(path, **usual | {"token": TOKEN} | fields)
    (path / LOGS).mkdir(exist_ok=True)
    return run


def alive(run: Run, node: int = 0, *, age: float = 1.0, **fields: Any) -> None:
    """The sign of life of a node, written `age` seconds ago by the clock of this machine."""
    usual = {
        "token": TOKEN,
        "attempt": 0,
        "beat": 1,
        "node": node,
        "host": f"n{node}",
        "doing": "training",
        "platform": "by hand",
        "job": None,
        "nodes": 2,
        "nproc_per_node": 8,
    }
    attempt = fields.get("attempt", 0)
    starts_file(run.path, node, fields.get("token", TOKEN)).write_text("x\n" * (attempt + 1))
    file = alive_file(run.path, node)
    file.write_text(json.dumps(usual | fields) + "\n")
    touch(file, age)


def touch(file: Path, age: float) -> None:
    """Let a file be `age` seconds old."""
    then = time.time() - age
    os.utime(file, (then, then))


def ended(run: Run, node: int = 0, *, code: int = 0, restarts: int = 0, **fields: Any) -> None:
    """The exit file of a node."""
    state = "SUCCEEDED" if code == 0 else "FAILED"
    usual = {"exit_code": code, "state": state, "restarts": restarts, "node": f"n{node}"}
    name = EXIT if node == 0 else f"{LOGS}/node{node}.exit.json"
    (run.path / name).write_text(json.dumps(usual | {"reason": None} | fields))


def cancelled(run: Run) -> None:
    """cancel.json."""
    (run.path / CANCEL).write_text('{"reason": "cancelled by ann"}')
