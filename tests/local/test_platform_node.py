"""A prepared run whose launch.sh is started by hand, as a platform of one node starts it: states, cancel, restarts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from prl_submit.runs.layout import EXIT
from tests.conftest import World, eventually
from tests.local.test_platform_nodes import ENDS, TRAINS, Nodes, begun

#: Until the test says so.
WAITS = "step 1 2; until [[ -e $run/go ]]; do sleep 0.1; done; step 2 2; ended"
HOST = socket.gethostname()


def prepare(world: World, **over: Any) -> Path:
    """Prepare a run that is lost after six silent seconds; its directory."""
    usual: dict[str, Any] = {"platform": {"silence": "6s"}, "resources__nproc_per_node": 1}
    done = world.prl(world.spec(backend="platform", **usual | over))
    assert done.code == 0, done.err
    return Path(done.out.strip())


def start(world: World, run: Path, fake: str = WAITS) -> subprocess.Popen[bytes]:
    """The pasted command, as the platform starts it."""
    return world.popen(["bash", run / "launch.sh"], FAKE=fake)


def told(world: World, run: Path) -> tuple[str, str | None, int]:
    (found,) = world.prl("status", run, "--json").json["runs"]
    return found["state"], found["reason"], found["restarts"]


def is_training(world: World, run: Path) -> bool:
    return told(world, run)[:2] == ("RUNNING", f"on {HOST}")


def test_from_queued_to_succeeded_and_never_again(world: World) -> None:
    run = prepare(world)
    assert told(world, run) == ("QUEUED", "waiting for the platform to start it", 0)
    waiting = world.start("wait", run)
    job = start(world, run)
    eventually(lambda: is_training(world, run), 30)
    (run / "go").touch()
    assert world.finish(job).code == 0
    assert world.finish(waiting).code == 0
    assert told(world, run)[0] == "SUCCEEDED"
    before = (run / EXIT).read_bytes()
    again = world.finish(start(world, run))
    assert again.code == 0
    assert (run / EXIT).read_bytes() == before
    assert told(world, run)[0] == "SUCCEEDED"


def test_cancelled_from_another_machine(world: World) -> None:
    """`cancel` writes a file, and launch.sh ends the training."""
    run = prepare(world)
    job = start(world, run)
    eventually(lambda: is_training(world, run), 30)
    done = world.prl("cancel", run, "--wait")
    assert done.code == 0, done.err
    assert world.finish(job).code == 143
    assert told(world, run)[0] == "CANCELLED"
    assert world.finish(start(world, run)).code == 143
    assert told(world, run)[0] == "CANCELLED"


def test_killed_and_started_again(world: World) -> None:
    run = prepare(world, restarts__max=1)
    job = start(world, run)
    eventually(lambda: is_training(world, run), 30)
    os.kill(job.pid, signal.SIGKILL)
    assert world.finish(job).code == -signal.SIGKILL
    eventually(lambda: told(world, run)[0] == "LOST", 30)
    state, reason, _ = told(world, run)
    assert (reason or "").startswith(f"no sign of life of node 0 ({HOST}) for ")
    began = time.monotonic()
    assert world.prl("status", run).code == 0
    assert time.monotonic() - began < 3  # what is known needs no second look
    again = start(world, run)
    eventually(lambda: told(world, run) == ("RUNNING", f"on {HOST}", 1), 30)
    (run / "go").touch()
    assert world.finish(again).code == 0
    assert told(world, run)[0] == "SUCCEEDED"
    assert state == "LOST"


#: Read by each Python that is started with this folder in PYTHONPATH.
WRONG_CLOCK = """\
import os, time
right = time.time
time.time = lambda: right() + 3600 * float(os.environ["HOURS"])
"""


@pytest.mark.parametrize("hours", ["-3", "3"])
def test_what_a_machine_with_a_wrong_clock_sees(world: World, hours: str) -> None:
    """The living run is RUNNING, and the dead one is LOST."""
    folder = world.root / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK)
    run = prepare(world)
    job = start(world, run)
    eventually(lambda: is_training(world, run), 30)

    def seen() -> str:
        done = world.prl("status", run, "--json", PYTHONPATH=str(folder), HOURS=hours)
        return str(done.json["runs"][0]["state"])

    assert seen() == "RUNNING"
    os.kill(job.pid, signal.SIGKILL)
    world.finish(job)
    eventually(lambda: seen() == "LOST", 30)


def test_lost_and_resumed(world: World) -> None:
    """`resume` of a lost run leaves no cancel.json, which would forbid the new start."""
    run = prepare(world)
    job = start(world, run, f"step 1 2; checkpoint 1 2; {WAITS}")
    eventually(lambda: is_training(world, run), 30)
    os.kill(job.pid, signal.SIGKILL)
    world.finish(job)
    eventually(lambda: told(world, run)[0] == "LOST", 30)
    done = world.prl("resume", run)
    assert done.code == 0, done.err
    assert told(world, run) == ("QUEUED", "waiting for the platform to start it", 1)
    assert not (run / "cancel.json").exists()
    again = start(world, run, "step 2 2; checkpoint 2 2; ended")
    assert world.finish(again).code == 0
    assert told(world, run)[::2] == ("SUCCEEDED", 1)
    refused = world.prl("resume", run)
    assert refused.code == 2
    assert "at its last step already" in refused.err


def test_cancelled_while_a_setup_line_runs(world: World) -> None:
    run = prepare(world, environment={"venv": "venv", "setup": ["sleep 100"]})
    job = start(world, run)
    eventually(lambda: told(world, run)[0] == "RUNNING", 30)
    assert world.prl("cancel", run).code == 0
    assert world.finish(job, 40).code == 143
    assert told(world, run)[0] == "CANCELLED"


def test_failed_resumed_and_followed(world: World) -> None:
    """Nobody states nodes and processes: launch.sh takes the platform's, and `resume` finds them."""
    run = prepare(world, resources={"accelerator": "cpu"})
    variables = {"MLP_WORKER_NUM": "1", "MLP_WORKER_GPU": "1", "MLP_TASK_ID": "t-7"}
    first = "step 1 2; checkpoint 1 2; echo 'ValueError: too bad' >&2; exit 1"
    job = world.popen(["bash", run / "launch.sh"], FAKE=first, **variables)
    assert world.finish(job).code == 1
    assert told(world, run)[0] == "FAILED"
    (found,) = world.prl("status", "t-7", "--json").json["runs"]  # the platform's own id
    assert (found["state"], found["job_id"]) == ("FAILED", "t-7")
    assert "ValueError: too bad" in found["reason"]
    done = world.prl("resume", run)
    assert done.code == 0, done.err
    assert "continues from checkpoint-1" in done.err
    assert f"bash {run}/launch.sh" in done.err.splitlines()
    assert told(world, run) == ("QUEUED", "waiting for the platform to start it", 1)
    following = world.start("logs", run, "-f", "--tail", "0")
    last = "step 2 2; checkpoint 2 2; ended"
    again = world.popen(
        ["bash", run / "launch.sh"], FAKE=last, **variables | {"MLP_TASK_ID": "t-8"}
    )
    assert world.finish(again).code == 0
    done = world.finish(following)
    assert done.code == 0
    assert "End time of running main" in done.out
    (found,) = world.prl("status", run, "--json").json["runs"]
    assert (found["state"], found["restarts"], found["job_id"]) == ("SUCCEEDED", 1, "t-8")


def test_a_form_that_was_wrong_at_first(world: World) -> None:
    """The same line trains when the form is right, and status follows."""
    run = prepare(world, resources__nodes=1)
    two = {"NNODES": "2", "NODE_RANK": "0", "MASTER_ADDR": HOST}
    refused = world.finish(world.popen(["bash", run / "launch.sh"], FAKE=WAITS, **two))
    assert refused.code == 78
    state, reason, _ = told(world, run)
    assert (state, reason) == (
        "FAILED",
        "resources.nodes in the spec is 1, but the platform has started 2 (NNODES=2): change the "
        "spec or the platform's form",
    )
    job = start(world, run)
    eventually(lambda: is_training(world, run), 30)
    (run / "go").touch()
    assert world.finish(job).code == 0
    assert told(world, run)[0] == "SUCCEEDED"


def test_restarts_that_are_used_up(world: World) -> None:
    """The words say what to do, and it works."""
    run = prepare(world)
    assert world.finish(start(world, run, "step 1 2; checkpoint 1 2; exit 3")).code == 3
    refused = world.finish(start(world, run))
    assert refused.code == 1
    words = f"restarts.max is 0, and used up: `prl-submit resume {run.name}` continues from"
    assert words in refused.out
    state, reason, _ = told(world, run)
    assert (state, words in (reason or "")) == ("FAILED", True)
    assert world.prl("resume", run.name).code == 0
    assert told(world, run)[0] == "QUEUED"
    job = start(world, run)
    eventually(lambda: is_training(world, run), 30)
    (run / "go").touch()
    assert world.finish(job).code == 0


def test_cancel_forbids_the_next_start_of_a_failed_run(world: World) -> None:
    run = prepare(world, restarts__max=2)
    assert world.finish(start(world, run, "exit 3")).code == 3
    assert told(world, run)[0] == "FAILED"
    done = world.prl("cancel", run)
    assert done.code == 0, done.err
    assert "it could be started again, which is forbidden now" in done.err
    assert world.finish(start(world, run)).code == 143
    assert told(world, run)[0] == "FAILED"


def test_cancel_of_a_run_that_nothing_can_start_again(world: World) -> None:
    run = prepare(world)
    assert world.finish(start(world, run, "exit 3")).code == 3
    done = world.prl("cancel", run)
    assert done.err.strip() == f"{run.name} had already ended: FAILED"
    assert not (run / "cancel.json").exists()


def test_the_shared_disk_at_another_path(world: World) -> None:
    """A new folder at the old path would be inside the container, and lost with it."""
    run = prepare(world)
    elsewhere = world.root / "mounted elsewhere"
    world.output.rename(elsewhere)
    done = world.finish(start(world, elsewhere / run.name))
    assert done.code == 78
    assert f"run directory {run} is not on {HOST}" in done.err
    assert not world.output.exists()


# ------------------------------------------------------------------ two nodes
def two_nodes(world: World, **over: Any) -> Nodes:
    """The nodes of a prepared run."""
    nodes = Nodes(world)
    nodes.run = prepare(world, resources__nodes=2, **over)
    return nodes


def test_two_nodes_are_named_as_they_come(world: World) -> None:
    nodes = two_nodes(world)
    late = nodes.start(1, ENDS)
    eventually(lambda: told(world, nodes.run)[:2] == ("RUNNING", "waiting for node 0 of 2"), 30)
    first = nodes.start(0, TRAINS)
    eventually(lambda: told(world, nodes.run)[:2] == ("RUNNING", "on n0, n1"), 40)
    assert world.prl("cancel", nodes.run, "--wait").code == 0
    assert [done.code for done in nodes.end([first, late])] == [143, 143]
    assert told(world, nodes.run)[0] == "CANCELLED"


def test_node_1_of_two_is_killed(world: World) -> None:
    nodes = two_nodes(world)
    processes = nodes.both(TRAINS)
    begun(nodes, eventually)
    waiting = world.start("wait", nodes.run)
    os.kill(processes[1].pid, signal.SIGKILL)
    done = world.finish(waiting)
    assert (done.code, "FAILED" in done.err) == (1, True)
    codes = [done.code for done in nodes.end(processes)]
    assert codes[0] not in (0, -9)
    state, reason, _ = told(world, nodes.run)
    assert (state, reason) == ("FAILED", "node 1 (n1) was lost: no sign of life")


def test_node_0_of_two_is_killed_and_both_are_started_again(world: World) -> None:
    nodes = two_nodes(world, restarts__max=1)
    processes = nodes.both(TRAINS)
    begun(nodes, eventually)
    os.kill(processes[0].pid, signal.SIGKILL)
    nodes.end(processes)
    eventually(lambda: told(world, nodes.run)[0] == "LOST", 30)
    _, reason, _ = told(world, nodes.run)
    assert (reason or "").startswith("no sign of life of node 0 (n0) for ")
    assert (reason or "").endswith("; node 1: node 0 (n0) was lost: no sign of life")
    again = nodes.both(ENDS)
    eventually(lambda: told(world, nodes.run)[::2] == ("RUNNING", 1), 40)
    assert [done.code for done in nodes.end(again)] == [0, 0]
    assert told(world, nodes.run)[::2] == ("SUCCEEDED", 1)
