"""Real trainings whose nodes are killed, stopped, cancelled and started again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prl_submit.runs.checkpoints import last_complete
from tests.platform.conftest import PlatformWorld, real, steps, verdict
from tools.clusters.platform_nodes import Node

pytestmark = pytest.mark.training
Eventually = Callable[..., None]
STEPS = 30
#: How long a node may live after another one was lost.
OTHERS_END_S = 30


def settings(*more: str) -> list[str]:
    own = ["swift.eval_strategy=no", "restarts.max=3", "platform.silence=12s", "platform.wait=2m"]
    return real(*own, *more)


def saved_step(run: Path) -> int:
    """The step of the last complete checkpoint of two ranks; 0 if there is none."""
    last = last_complete(run, 2)
    return last.step if last else 0


def ends_soon(node: Node) -> int:
    """The exit code of a node that ends because another one was lost."""
    began = time.monotonic()
    code = node.wait(120)
    assert time.monotonic() - began < OTHERS_END_S, node.text[-3000:]
    return code


def test_lost_nodes_and_the_same_command_again(
    clone: PlatformWorld, eventually: Eventually
) -> None:
    """Node 1 is lost, then node 0. Each time both are started again and go on; at last the run ends well, once."""
    steps_of_it = [f"swift.max_steps={STEPS}", "swift.save_steps=2"]
    run, command = clone.prepare(*settings(*steps_of_it), "--backend", "platform")
    assert clone.status()["state"] == "QUEUED"

    nodes = clone.paste_on_all(command)
    eventually(lambda: saved_step(run) >= 2, timeout=120)
    nodes[1].kill()
    assert ends_soon(nodes[0]) != 0
    lost = clone.status()
    assert lost["state"] == "FAILED"
    assert "node 1 (job-worker-0) was lost: no sign of life" in lost["reason"]

    first = saved_step(run)
    nodes = clone.paste_on_all(command)
    eventually(lambda: saved_step(run) >= first + 2, timeout=120)
    clone.nodes.unplug(nodes[0])  # node 1 is not told that its connections are closed
    nodes[0].kill()
    assert ends_soon(nodes[1]) != 0
    eventually(lambda: clone.status()["state"] == "LOST", timeout=30)
    assert "no sign of life of node 0 (job-master-0)" in clone.status()["reason"]

    second = saved_step(run)
    assert first < second < STEPS
    nodes = clone.paste_on_all(command)
    assert [node.wait(200) for node in nodes] == [0, 0], nodes[0].text[-3000:]
    assert (verdict(run)["state"], verdict(run)["restarts"]) == ("SUCCEEDED", 2)
    assert steps(run) == list(range(1, STEPS + 1))
    log = (run / "logs" / "node0.log").read_text()
    assert f"continues from checkpoint-{first}" in log
    assert f"continues from checkpoint-{second}" in log

    ended = (run / "exit.json").read_bytes()
    nodes = clone.paste_on_all(command)
    assert [node.wait(30) for node in nodes] == [0, 0]
    assert (run / "exit.json").read_bytes() == ended
    assert clone.the_run() == run


def test_stopped_saved_continued_and_cancelled(
    clone: PlatformWorld, eventually: Eventually
) -> None:
    """SIGTERM to both nodes saves a checkpoint; the same command goes on from it; `cancel` ends the run for good.

    Long steps, because each rank looks for itself, at the ends of a step, whether it is to save.
    """
    slow = [
        *("swift.max_steps=100000", "swift.save_steps=100000", "swift.enable_jit_checkpoint=true"),
        *("swift.gradient_accumulation_steps=48", "swift.steps_per_generation=16"),
        "restarts.grace=110s",
    ]
    command = clone.pasted(*settings(*slow), "--backend", "platform")
    nodes = clone.paste_on_all(command)
    eventually(lambda: list(clone.output.glob("v*")), timeout=60)
    run = clone.the_run()
    eventually(lambda: clone.status()["step"], timeout=200)
    assert clone.status()["state"] == "RUNNING"
    assert "job-master-0, job-worker-0" in clone.status()["reason"]
    for node in nodes:
        node.terminate()
    codes = [node.wait(120) for node in nodes]
    assert codes == [143, 143], nodes[0].text[-3000:]
    first = saved_step(run)
    assert 0 < first < 100000

    nodes = clone.paste_on_all(command)
    log = run / "logs" / "node0.log"
    eventually(lambda: f"continues from checkpoint-{first}" in log.read_text(), timeout=60)
    eventually(lambda: steps(run)[-1] == first + 1, timeout=200)
    assert clone.prl("cancel", "latest").code == 0
    assert [node.wait(150) for node in nodes] == [143, 143]
    assert clone.status()["state"] == "CANCELLED"
    assert clone.the_run() == run
    assert steps(run) == list(range(1, len(steps(run)) + 1))

    nodes = clone.paste_on_all(command)
    assert [node.wait(60) for node in nodes] == [143, 143]
    assert clone.status()["state"] == "CANCELLED"
    assert clone.the_run() == run
