"""How the nodes of a job find each other and the run, with a torchrun that only pretends to train."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.platform.conftest import LONG, NAMES, TRAIN, PlatformWorld, verdict, words

Eventually = Callable[..., None]


@pytest.fixture(params=["prepared", "pasted"])
def command_of(request: pytest.FixtureRequest, platform: PlatformWorld) -> Callable[..., str]:
    """A function that makes the command to paste, by both ways. Its options: keys of the spec."""

    def make(**over: Any) -> str:
        spec = platform.spec(**over)
        if request.param == "prepared":
            return platform.prepare(spec)[1]
        return platform.pasted(spec)

    return make


def test_the_masters_name_is_late(
    new_platform: Callable[..., PlatformWorld], tmp_path: Path
) -> None:
    worlds = []
    for way in ("prepared", "pasted"):
        (tmp_path / way).mkdir()
        worlds.append(new_platform(tmp_path / way, late=[NAMES[0]], shared=[tmp_path]))
    prepared, pasted = worlds
    of_prepared = prepared.paste_on_all(prepared.prepare(prepared.spec())[1], FAKE=TRAIN)
    of_pasted = pasted.paste_on_all(pasted.pasted(pasted.spec()), FAKE=TRAIN)
    time.sleep(8)
    for world, nodes in ((prepared, of_prepared), (pasted, of_pasted)):
        assert not any(node.ended for node in nodes), words(nodes)
        world.nodes.resolve(NAMES[0])
    for world, nodes in ((prepared, of_prepared), (pasted, of_pasted)):
        assert [node.wait(60) for node in nodes] == [0, 0], words(nodes)
        assert verdict(world.the_run())["state"] == "SUCCEEDED"


def test_a_node_is_missing(command_of: Callable[..., str], platform: PlatformWorld) -> None:
    command = command_of(platform__wait="4s")
    node = platform.paste(0, command, FAKE=TRAIN)
    assert node.wait(60) not in (0, 143), node.text
    assert "node 1" in node.text
    status = platform.status()
    assert status["state"] == "FAILED"
    assert "node 1" in status["reason"]


def test_node_0_is_missing(command_of: Callable[..., str], platform: PlatformWorld) -> None:
    command = command_of(platform__wait="4s")
    node = platform.paste(1, command, FAKE=TRAIN)
    assert node.wait(40) not in (0, 143), node.text
    assert "node 0" in node.text


def test_the_disk_is_not_shared(platform: PlatformWorld) -> None:
    """Both nodes say who is missing, where they looked, and ask whether the disk is shared."""
    command = platform.pasted(platform.spec(platform__wait="4s"))
    nodes = [
        platform.paste(0, command, FAKE=TRAIN),
        platform.paste(1, command, FAKE=TRAIN, private=[platform.output]),
    ]
    assert all(node.wait(60) not in (0, 143) for node in nodes)
    for node, other in zip(nodes, (1, 0), strict=True):
        assert f"node {other}" in node.text
        assert str(platform.output) in node.text
        assert "share" in node.text


def test_an_earlier_job_with_the_same_variables(
    platform: PlatformWorld, eventually: Eventually
) -> None:
    """Killed nodes leave their handshake behind. The nodes of a new job, of which node 1 comes first, join none of it."""
    spec = platform.spec()
    old = platform.paste_on_all(platform.pasted(spec), FAKE=LONG)
    eventually(lambda: platform.status()["step"], timeout=60)
    stale = platform.the_run()
    for node in old:
        node.kill()
    command = platform.pasted(spec, "--new-run")
    early = platform.paste(1, command, FAKE=TRAIN)
    time.sleep(2)
    late = platform.paste(0, command, FAKE=TRAIN)
    assert [early.wait(60), late.wait(60)] == [0, 0], words([early, late])
    (run,) = set(platform.output.glob("v*")) - {stale}
    assert verdict(run)["state"] == "SUCCEEDED"
    assert not (stale / "exit.json").exists()
