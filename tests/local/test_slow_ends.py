"""No final verdict while a process of the job lives, and none that changes: jobs that end slowly."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prl_submit.backends.local import processes
from prl_submit.runs.states import FINISHED

if TYPE_CHECKING:
    from tests.conftest import World

    Eventually = Callable[..., None]

#: A training that takes two seconds to save when it is told to end.
SAVES = """
trap 'sleep 2; echo saved; exit 1' TERM INT
step 1 9; touch "$run/ready"
while :; do sleep 0.1; done
"""
#: One that leaves a process behind, which takes no notice of SIGTERM.
LEAVES = """
(trap '' TERM; exec sleep 300) &
step 1 1; touch "$run/ready"
"""


class Looks:
    """What `status` says, again and again, and whether a process of the job lived after it had said so."""

    def __init__(self, world: World, run: Path) -> None:
        self._world = world
        self._run = run
        record = json.loads((run / "run.json").read_text())
        self._mark = processes.mark_of(record["token"], run)
        self.said: list[dict[str, Any]] = []
        self.too_early: list[str] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        ends = 0
        while ends < 4:
            (status,) = self._world.prl("status", self._run.name, "--json").json["runs"]
            if status["state"] in FINISHED:
                ends += 1
                self.too_early += [str(pid) for pid in self._left()]
            status.pop("last_step_at")
            self.said.append(status)

    def _left(self) -> list[int]:
        """What launch.sh has started. Itself, whose last act exit.json is, may take a moment to be gone."""
        assert self._mark
        launcher = f"{processes.TOKEN_VARIABLE}={self._mark.of_launcher}".encode()
        found = processes.marked(self._mark)
        return [pid for pid in found if launcher not in (processes.environment(pid) or ())]

    def ended(self) -> dict[str, Any]:
        """The one end that was told."""
        self._thread.join(60)
        assert self.too_early == []
        ends = [status for status in self.said if status["state"] in FINISHED]
        assert len(ends) == 4
        assert all(status == ends[0] for status in ends)
        return ends[0]


def _cancel(world: World, run: Path) -> None:
    assert world.prl("cancel", run.name).code == 0


def _terminate(world: World, run: Path) -> None:
    os.kill(json.loads((run / "run.json").read_text())["process"]["pid"], signal.SIGTERM)


def _nothing(world: World, run: Path) -> None:
    """It ends by itself."""


@pytest.mark.parametrize(
    ("fake", "limit", "act", "state"),
    [
        (SAVES, "1h", _cancel, "CANCELLED"),
        (SAVES, "1h", _terminate, "FAILED"),
        (SAVES, "3s", _nothing, "TIMEOUT"),
        (LEAVES, "1h", _nothing, "SUCCEEDED"),
        (LEAVES + "exit 3", "1h", _nothing, "FAILED"),
    ],
)
def test_a_slow_end(
    world: World,
    eventually: Eventually,
    fake: str,
    limit: str,
    act: Callable[[World, Path], None],
    state: str,
) -> None:
    run = world.submit(fake, restarts__grace="20s", resources__time_limit=limit)
    eventually(lambda: (run / "ready").exists())
    looks = Looks(world, run)
    time.sleep(0.3)
    act(world, run)
    ended = looks.ended()
    assert ended["state"] == state
    assert looks.said[0]["state"] == "RUNNING"
    assert world.prl("wait", run.name).code == (0 if state == "SUCCEEDED" else 1)
