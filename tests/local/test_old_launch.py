"""A run directory of an earlier version, whose launch.sh held everything: the commands of today go on with it."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from prl_submit.backends.local.processes import identify

if TYPE_CHECKING:
    from tests.conftest import World

Eventually = Callable[..., None]
#: A local run that failed after a checkpoint, made when launch.sh held everything and there was no
#: launch.lib.sh. @ROOT@ stands for its working directory, @HOST@ for its machine.
ONE_SCRIPT = Path(__file__).parent / "one-launch-script.tar.gz"


@pytest.fixture
def run(world: World) -> Path:
    """That run, as if it had been made in this world."""
    world.output.mkdir()
    with tarfile.open(ONE_SCRIPT) as archive:
        archive.extractall(world.output, filter="data")
    (run,) = world.output.iterdir()
    for path in run.rglob("*"):
        if path.is_file():
            text = path.read_text().replace("@ROOT@", str(world.root))
            path.write_text(text.replace("@HOST@", os.uname().nodename))
    record = json.loads((run / "run.json").read_text())
    me = identify(os.getpid())
    record["process"] |= {"boot": me.boot, "namespace": me.namespace}
    record["directory"]["inode"] = run.stat().st_ino
    (run / "run.json").write_text(json.dumps(record))
    return run


def state_of(world: World, run: Path) -> tuple[str, str]:
    (status,) = world.prl("status", run.name, "--json").json["runs"]
    return status["state"], status["reason"]


def test_its_status(world: World, run: Path) -> None:
    assert not (run / "launch.lib.sh").exists()
    assert state_of(world, run) == ("FAILED", "torchrun exited with 1")
    assert world.prl("list").out.count("FAILED") == 1


def test_it_is_resumed(world: World, run: Path) -> None:
    """From its checkpoint, by the launch.sh of today."""
    done = world.prl("resume", run.name, "--wait", FAKE="step 3 4; step 4 4; checkpoint 4 4")
    assert done.code == 0, done.err
    assert "continues from checkpoint-2" in done.err
    assert state_of(world, run)[0] == "SUCCEEDED"
    ended = json.loads((run / "exit.json").read_text())
    assert (ended["state"], ended["restarts"]) == ("SUCCEEDED", 1)
    assert (run / "launch.lib.sh").exists()
    argv = (run / "argv").read_bytes().decode().split("\0")
    assert argv[argv.index("--resume_from_checkpoint") + 1] == str(run / "checkpoint-2")


def test_a_refused_resume_leaves_it_as_it_was(world: World, run: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    empty = world.root / "empty"
    empty.mkdir()
    done = world.prl("resume", run.name, PATH=str(empty))
    assert done.code == 1
    assert "bash is not on PATH" in done.err
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


def test_its_own_script_runs_and_is_cancelled(
    world: World, run: Path, eventually: Eventually
) -> None:
    """`bash launch.sh` of then."""
    script = world.popen(["bash", run / "launch.sh"], FAKE="touch $run/ready; sleep 60")
    eventually(lambda: (run / "ready").exists())
    assert state_of(world, run) == (
        "RUNNING",
        f"launch.sh was started by hand, as process {script.pid}",
    )
    assert world.prl("cancel", run.name).code == 0
    assert world.finish(script).code == 143
    assert state_of(world, run)[0] == "CANCELLED"
    assert world.alive() == []
