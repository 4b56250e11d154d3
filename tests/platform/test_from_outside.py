"""What users see and do from a machine that has only the disk, with a torchrun that only pretends to train."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.platform.conftest import LONG, MEET, TRAIN, UNTIL_GO, PlatformWorld, verdict, words

Eventually = Callable[..., None]


def test_from_the_queue_to_the_end(platform: PlatformWorld, eventually: Eventually) -> None:
    run, command = platform.prepare(platform.spec())
    assert command == f"bash {run}/launch.sh"
    queued = platform.status()
    assert (queued["state"], queued["reason"]) == (
        "QUEUED",
        "waiting for the platform to start it",
    )
    waits = platform.start("wait", "latest")
    follows = platform.start("logs", "latest", "-f")
    nodes = [platform.paste(0, command, FAKE=UNTIL_GO)]
    eventually(lambda: platform.status()["state"] == "RUNNING", timeout=20)
    eventually(lambda: "waiting for node 1 of 2" in platform.status()["reason"], timeout=20)
    nodes.append(platform.paste(1, command, FAKE=UNTIL_GO))
    eventually(lambda: "on job-master-0, job-worker-0" in platform.status()["reason"], timeout=20)
    eventually(lambda: platform.status()["step"] == 1)
    (listed,) = platform.prl("list", "--json").json["runs"]
    assert (listed["state"], listed["backend"]) == ("RUNNING", "platform")
    (run / "go").touch()
    assert [node.wait(30) for node in nodes] == [0, 0], words(nodes)
    assert platform.finish(waits).code == 0
    followed = platform.finish(follows)
    assert followed.code == 0
    assert followed.out.count("End time of running main") == 2
    assert "End time of running main" in nodes[0].text
    assert platform.status()["state"] == "SUCCEEDED"
    assert platform.alive() == []


def test_cancelled_in_the_queue(platform: PlatformWorld) -> None:
    """A cancelled run is not trained, although the platform starts its command later."""
    run, command = platform.prepare(platform.spec())
    assert platform.prl("cancel", "latest").code == 0
    assert platform.status()["state"] == "CANCELLED"
    nodes = platform.paste_on_all(command, FAKE=TRAIN)
    assert [node.wait(30) for node in nodes] == [143, 143], words(nodes)
    assert "cancel" in nodes[0].text
    assert platform.status()["state"] == "CANCELLED"
    assert not (run / "logging.jsonl").exists()


def test_cancelled_while_it_trains(platform: PlatformWorld, eventually: Eventually) -> None:
    nodes = platform.paste_on_all(platform.pasted(platform.spec()), FAKE=LONG)
    eventually(lambda: platform.status()["step"], timeout=30)
    assert platform.prl("cancel", "latest").code == 0
    assert [node.wait(30) for node in nodes] == [143, 143], words(nodes)
    assert platform.status()["state"] == "CANCELLED"
    assert platform.alive() == []


def test_one_node_fails(platform: PlatformWorld, eventually: Eventually) -> None:
    """The other node ends within 30 s, and both, and exit.json, say which node failed and why."""
    fake = f"{MEET} ((node)) || sleep 1000 & ((node)) || wait; sleep 2; echo 'ValueError: no data'; exit 1"
    nodes = platform.paste_on_all(platform.pasted(platform.spec()), FAKE=fake)
    codes = [nodes[1].wait(60)]
    began = time.monotonic()
    codes.append(nodes[0].wait(60))
    assert time.monotonic() - began < 30
    assert len(set(codes)) == 1, words(nodes)
    assert codes[0] not in (0, 143)
    status = platform.status()
    assert status["state"] == "FAILED"
    assert "node 1 (job-worker-0) failed" in status["reason"]
    assert "ValueError: no data" in status["reason"]


def test_a_node_that_stands_still_for_a_while(
    platform: PlatformWorld, eventually: Eventually
) -> None:
    run, command = platform.prepare(platform.spec())
    nodes = platform.paste_on_all(command, FAKE=UNTIL_GO)
    eventually(lambda: platform.status()["step"] == 1, timeout=30)
    nodes[1].freeze()
    time.sleep(6)
    nodes[1].thaw()
    time.sleep(2)
    (run / "go").touch()
    assert [node.wait(30) for node in nodes] == [0, 0], words(nodes)


def test_lost_and_started_again_too_often(platform: PlatformWorld, eventually: Eventually) -> None:
    """Both nodes are lost: LOST. The same command finds the run, and refuses it because restarts.max is 0."""
    command = platform.pasted(platform.spec(restarts={"max": 0}, platform__silence="6s"))
    nodes = platform.paste_on_all(command, FAKE=LONG)
    eventually(lambda: platform.status()["step"], timeout=60)
    for node in nodes:
        node.kill()
    eventually(lambda: platform.status()["state"] == "LOST", timeout=30)
    assert "no sign of life of node 0 (job-master-0)" in platform.status()["reason"]
    nodes = platform.paste_on_all(command, FAKE=TRAIN)
    codes = [node.wait(60) for node in nodes]
    assert codes[0] == codes[1] != 0, words(nodes)
    assert platform.status()["state"] == "FAILED"
    assert "restarts.max" in platform.status()["reason"]
    assert platform.the_run()


def test_doctor_on_a_node(platform: PlatformWorld) -> None:
    node = platform.paste(1, f"{platform.pasted('doctor')} 2>&1")
    node.wait(60)
    for value in ("WORLD_SIZE", "RANK", "job-master-0", "23456"):
        assert value in node.text


@pytest.mark.parametrize("way", ["prepared", "pasted"])
def test_more_nodes_than_the_spec(platform: PlatformWorld, way: str) -> None:
    """Refused before anything starts, with both numbers and where they come from."""
    spec = platform.spec(resources__nodes=3)
    command = platform.prepare(spec)[1] if way == "prepared" else platform.pasted(spec)
    nodes = platform.paste_on_all(command, FAKE=TRAIN)
    for node in nodes:
        assert node.wait(60) in (2, 78), node.text
        assert "WORLD_SIZE" in node.text
        assert "resources.nodes" in node.text
        assert "3" in node.text
        assert "2" in node.text


@pytest.mark.parametrize("way", ["prepared", "pasted"])
def test_sizes_that_the_spec_does_not_state(platform: PlatformWorld, way: str) -> None:
    spec = platform.spec(resources={"accelerator": "cpu"}, swift__per_device_train_batch_size=1)
    command = platform.prepare(spec)[1] if way == "prepared" else platform.pasted(spec)
    nodes = platform.paste_on_all(command, FAKE=TRAIN)
    assert [node.wait(60) for node in nodes] == [0, 0], words(nodes)
    run = platform.the_run()
    assert verdict(run)["state"] == "SUCCEEDED"
    argv = (run / "argv").read_bytes().split(b"\0")
    assert b"--nnodes=2" in argv
    assert b"--nproc_per_node=1" in argv
