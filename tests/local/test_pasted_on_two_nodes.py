"""The pasted command on two nodes, which are two processes here: the real command and the real launch.sh."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.local.test_platform_nodes import ENDS, TRAINS

if TYPE_CHECKING:
    from tests.conftest import Done, World

Eventually = Callable[..., None]
#: The handshake, a meeting and an end on a machine that is busy.
LONG = 90


class Command:
    """The same command on both nodes. `spec`: the spec of both."""

    def __init__(self, world: World, **over: Any) -> None:
        self.world = world
        over = {"resources__nodes": 2, "resources__nproc_per_node": 1} | over
        self.spec = world.spec(backend="platform", **over)
        self._bin = world.root / "node"
        self._bin.mkdir(exist_ok=True)
        self._program("uname", 'echo "$FAKE_HOST"')
        self._program("getent", "exit 0")

    def _program(self, name: str, line: str) -> None:
        (self._bin / name).write_text(f"#!/bin/bash\n{line}\n")
        (self._bin / name).chmod(0o755)

    def start(
        self, rank: int, fake: str, *words: object, **environ: str
    ) -> subprocess.Popen[bytes]:
        """The command on one node. `words`: more words of it."""
        told = {
            "PATH": f"{self._bin}:{self.world.environ['PATH']}",
            "FAKE_HOST": f"n{rank}",
            "NNODES": "2",
            "NODE_RANK": str(rank),
            "MASTER_ADDR": socket.gethostname(),
        }
        return self.world.start(self.spec, *words, FAKE=fake, **told | environ)

    def both(self, fake: str, *words: object, **environ: str) -> list[subprocess.Popen[bytes]]:
        """Node 1, and then node 0."""
        return [self.start(rank, fake, *words, **environ) for rank in (1, 0)]

    def end(self, processes: list[subprocess.Popen[bytes]]) -> list[Done]:
        """Wait for the end of all."""
        return [self.world.finish(process, LONG) for process in processes]

    def runs(self) -> list[Path]:
        """The runs that have a record."""
        return sorted(path.parent for path in self.world.output.glob("v*/run.json"))


@pytest.fixture
def command(world: World) -> Command:
    return Command(world)


def codes(done: list[Done]) -> list[int]:
    return [each.code for each in done]


def exit_of(run: Path) -> dict[str, Any]:
    ended: dict[str, Any] = json.loads((run / "exit.json").read_text(encoding="utf-8"))
    return ended


def test_one_run_and_the_same_command_once_more(command: Command, eventually: Eventually) -> None:
    """Node 1 comes first. When all has ended well, nothing is trained again, on any node."""
    early = command.start(1, ENDS, "--set", "swift.beta=0.5", PRL_MAX_GRAD_NORM="0.7")
    eventually(lambda: list(command.world.output.glob(".nodes/*/ask.1.*")))
    late = command.start(0, ENDS, "--set", "swift.beta=0.5", PRL_MAX_GRAD_NORM="0.7")
    done = command.end([early, late])
    assert codes(done) == [0, 0], done
    (run,) = command.runs()
    assert exit_of(run)["state"] == "SUCCEEDED"
    words = [(run / f"argv{rank}.0").read_text().splitlines() for rank in (0, 1)]
    assert [f"--node_rank={rank}" in words[rank] for rank in (0, 1)] == [True, True]
    assert [word[word.index("--max_grad_norm") + 1] for word in words] == ["0.7", "0.7"]
    before = (run / "exit.json").read_bytes()
    again = command.end(command.both("exit 9", "--set", "swift.beta=0.5", PRL_MAX_GRAD_NORM="0.7"))
    assert codes(again) == [0, 0], again
    assert all(f"{run.name} SUCCEEDED" in each.err for each in again)
    assert (command.runs(), (run / "exit.json").read_bytes()) == ([run], before)
    eventually(lambda: not (command.world.output / ".nodes").exists())


def test_a_spec_that_differs_is_told_to_both(command: Command) -> None:
    """Node 0 trains nothing, because it lacks the other node."""
    processes = [command.start(1, "exit 9", PRL_BETA="0.7"), command.start(0, "exit 9")]
    one, zero = command.end(processes)
    assert (one.code, zero.code) == (78, 78), (one, zero)
    host = socket.gethostname()
    words = (
        f"the spec on node 1 ({host}) is not the one on node 0 ({host}); they differ in: swift.beta"
    )
    assert words in one.err
    assert "start the same command" in one.err
    (run,) = command.runs()
    assert words in exit_of(run)["reason"]
    assert "0.7" not in one.err


def test_killed_and_the_same_command_again(world: World, eventually: Eventually) -> None:
    """kill -9 of a node in mid-training ends the other one; the same commands go on in the same run."""
    command = Command(world, restarts__max=1, platform__silence="6s")
    processes = command.both(TRAINS)
    eventually(lambda: list(world.output.glob("v*/met.0")), LONG)
    processes[0].kill()
    processes[0].communicate()
    assert command.end(processes[1:])[0].code != 0
    (run,) = command.runs()
    assert "node 1" in exit_of(run)["reason"]
    done = command.end(command.both(ENDS))
    assert codes(done) == [0, 0], done
    assert command.runs() == [run]
    assert (exit_of(run)["state"], exit_of(run)["restarts"]) == ("SUCCEEDED", 1)
    assert f"goes on in {run.name}" in done[1].err


def test_a_node_that_never_comes(world: World) -> None:
    """Node 0 names node 1; node 1 alone names node 0, the folder and its host."""
    command = Command(world, platform__wait="8s")
    zero = command.end([command.start(0, "exit 9")])[0]
    assert zero.code != 0
    (run,) = command.runs()
    assert "node 1" in exit_of(run)["reason"]
    one = command.end([command.start(1, "exit 9")])[0]
    assert one.code == 1
    assert f"node 1 of 2 ({socket.gethostname()}) waited 8s (platform.wait) for node 0" in one.err
    assert f"{world.output}/.nodes/" in one.err


def test_sigterm_to_both(command: Command, eventually: Eventually) -> None:
    processes = command.both(TRAINS)
    eventually(lambda: list(command.world.output.glob("v*/met.0")), LONG)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert codes(command.end(processes)) == [143, 143]
    (run,) = command.runs()
    assert exit_of(run)["state"] == "FAILED"
