"""du and prune, with real runs: what is deleted, and above all what is not."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.checkpoint_files import write_checkpoint

if TYPE_CHECKING:
    from tests.conftest import World

STEPS = 'for s in 1 2 3; do printf \'{"reward": 0.%d, "global_step/max_steps": "%d/3"}\\n\' $((4-s)) $s >>"$run/logging.jsonl"; done'


def with_checkpoints(run: Path, *steps: int) -> Path:
    for step in steps:
        write_checkpoint(run, step, 3)
    return run


def ended(world: World, fake: str = STEPS, **over: object) -> Path:
    run, _ = world.run_to_end(fake, **over)
    return with_checkpoints(run, 1, 2, 3)


def left(run: Path) -> list[str]:
    return sorted(path.name for path in run.glob("checkpoint-*"))


def test_prune_needs_an_order(world: World) -> None:
    for words in ((), ("v0",), ("--runs",), ("--runs", "v0", "--keep-last", "1"), ("--dry-run",)):
        done = world.prl("prune", *words)
        assert (done.code, done.out) == (2, ""), words
    assert "--keep-last N, --keep-best N or --keep-every N" in world.prl("prune", "v0").err


def test_checkpoints(world: World) -> None:
    run = ended(world)
    dry = world.prl("prune", "v0", "--keep-last", "1", "--dry-run")
    assert dry.code == 0
    assert dry.out.startswith(f"{run.name}: would delete checkpoint-1, checkpoint-2 (")
    assert left(run) == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    size = json.loads(world.prl("du", "v0", "--json").out)["runs"][0]
    assert (size["checkpoints"], size["run"]) == (3, run.name)
    # The reward falls from step to step, so the first one is the best; the run is named and SUCCEEDED.
    done = world.prl("prune", "v0", "--keep-best", "1", "--json")
    assert done.code == 0, done.err
    (told,) = done.json["runs"]
    assert [item["name"] for item in told["deleted"]] == ["checkpoint-2", "checkpoint-3"]
    assert told["kept"] == [{"name": "checkpoint-1", "why": "reward 0.3"}]
    after = json.loads(world.prl("du", "v0", "--json").out)["runs"][0]
    assert size["total_bytes"] - after["total_bytes"] == done.json["freed_bytes"] > 0
    done = world.prl("prune", "v0", "--keep-best", "1", "--metric", "gold")
    assert (done.code, "has no metric 'gold'; it has reward" in done.err) == (2, True)
    # Of all runs, and of one that did not succeed, the last complete checkpoint stays.
    assert world.prl("prune", "--keep-last", "0").err.endswith("freed nothing\n")
    assert left(run) == ["checkpoint-1"]
    assert world.prl("prune", "v0", "--keep-last", "0").code == 0
    assert left(run) == []


def test_a_failed_run_keeps_what_resume_needs(world: World) -> None:
    run = ended(world, "exit 3")
    (run / "checkpoint-3" / "optimizer.pt").unlink()  # a save that was cut short
    assert world.prl("prune", "v0", "--keep-last", "0").code == 0
    assert left(run) == ["checkpoint-2"]


def test_a_living_run_is_left(world: World) -> None:
    run = with_checkpoints(world.submit("step 1 9; sleep 60"), 1, 2)
    for words in (("v0", "--keep-last", "1"), ("v0", "--runs")):
        done = world.prl("prune", *words)
        assert (done.code, done.out) == (2, "")
        assert f"left as it is: {run.name}: is " in done.err
    assert left(run) == ["checkpoint-1", "checkpoint-2"]
    # A job that vanished may still run somewhere.
    for pid in world_pids(world):
        os.kill(pid, signal.SIGKILL)
    until(lambda: world.states()[run.name] == "LOST")
    done = world.prl("prune", "v0", "--runs")
    assert (done.code, "is LOST, so its job may still run" in done.err) == (2, True)
    lost = ("prune", "v0", "--runs", "--state", "lost")
    assert world.prl(*lost, "--older-than", "1d").out == ""
    for path in (run / "logs/node0.log", run / "logging.jsonl", run / "run.json"):
        os.utime(path, (0, 0))
    done = world.prl(*lost, "--older-than", "1d")
    assert (done.code, run.exists()) == (0, False), done.err
    assert not (world.output / "latest").is_symlink()


def world_pids(world: World) -> list[int]:
    from tests.conftest import marked

    return marked(world.mark)


def until(done: object) -> None:
    deadline = time.monotonic() + 20
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_another_run_begins_from_stays(world: World) -> None:
    first = ended(world)
    path = str(first / "checkpoint-1")
    _second, _ = world.run_to_end(
        "step 4 4", swift__resume_from_checkpoint=path, swift__tuner_type="full"
    )
    done = world.prl("prune", "v0", "--keep-last", "0")
    assert done.code == 0, done.err
    assert left(first) == ["checkpoint-1"]
    assert "checkpoint-1 (v1-" in done.err
    done = world.prl("prune", "v0", "--runs")
    assert (done.code, "is needed by v1-" in done.err) == (2, True)
    # Together with the run that needs it, it may go: the newer run goes first.
    done = world.prl("prune", "v0", "v1", "--runs")
    assert (done.code, list(world.output.glob("v*"))) == (0, []), done.err


def test_filters_and_tags(world: World) -> None:
    good, bad = ended(world), ended(world, "exit 3")
    world.prl("tag", "v0", "keep")
    done = world.prl(
        "prune", "--runs", "--not-tag", "keep", "--state", "FAILED", "--older-than", "1h"
    )
    assert (done.code, done.out) == (0, "")  # both ended just now
    document = json.loads((bad / "exit.json").read_text())
    (bad / "exit.json").write_text(json.dumps(document | {"ended_at": "2026-01-01T00:00:00+00:00"}))
    done = world.prl("prune", "--runs", "--not-tag", "keep", "--older-than", "30d")
    assert (done.code, bad.exists(), good.exists()) == (0, False, True)
    assert os.readlink(world.output / "latest") == good.name
    assert world.prl("prune", "--runs", "--tag", "other").out == ""
    assert world.prl("prune", "--runs", "--older-than", "soon").code == 2


def test_the_folder_of_a_sweep_goes_with_its_last_run(world: World) -> None:
    spec = world.spec(name="lr", sweep={"grid": {"swift.seed": [1, 2]}})
    assert world.prl(spec, "--wait", FAKE=STEPS).code == 0
    (folder,) = (world.output / "sweeps").iterdir()
    dry = world.prl("prune", "lr", "--runs", "--dry-run")
    assert (dry.code, "deleted sweeps/" in dry.err) == (0, False)
    assert world.prl("prune", "v0", "--runs").code == 0
    assert (folder / "sweep.json").exists()
    done = world.prl("prune", "v1", "--runs")
    assert done.code == 0, done.err
    assert f"deleted sweeps/{folder.name} too, because no run of that sweep is left\n" in done.err
    assert not folder.exists()


def test_locks_are_respected(world: World) -> None:
    """A `resume` that starts, and a launch.sh that somebody started by hand, keep prune away."""
    run = ended(world)
    for name, said in (
        ("logs/.resume.lock", "is being resumed"),
        (".node0.lock", "still runs: it holds"),
    ):
        with (run / name).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = world.prl("prune", "v0", "--keep-last", "1")
            assert (done.code, said in done.err) == (2, True), done.err
    assert len(left(run)) == 3


@pytest.mark.parametrize("words", [("--keep-last", "0"), ("--runs",)])
def test_links_are_not_followed(world: World, words: tuple[str, ...]) -> None:
    run, _ = world.run_to_end()
    elsewhere = write_checkpoint(world.root / "elsewhere", 7, 7)
    (run / "checkpoint-7").symlink_to(elsewhere)
    (world.output / "v9-20261122-210000").symlink_to(run)
    assert world.prl("prune", "v9", *words).code == 2
    assert run.exists()
    assert world.prl("prune", "v0", *words).code == 0
    assert (elsewhere / "model.safetensors").exists()


def test_what_a_killed_prune_left(world: World) -> None:
    run = ended(world)
    (run / "checkpoint-1").rename(run / ".pruned-checkpoint-1-0")
    (run / ".pruned-x").symlink_to(world.root)
    done = world.prl("prune", "v0", "--keep-last", "2")
    assert (done.code, ".pruned-checkpoint-1-0" in done.out) == (0, True)
    assert not (run / ".pruned-checkpoint-1-0").exists()
    assert world.root.exists()


def test_resume_and_prune_at_the_same_time(world: World) -> None:
    """One of them comes first: a resume that starts has its checkpoint."""
    for _ in range(2):
        run, _ = world.run_to_end("exit 3")
        with_checkpoints(run, 1, 2)
        resume = world.start("resume", run.name, "--wait", FAKE="step 3 3")
        prune = world.start("prune", run.name, "--runs")
        resumed, pruned = world.finish(resume), world.finish(prune)
        if run.exists():
            assert "continues from checkpoint-2" in resumed.err
            assert left(run)[:2] == ["checkpoint-1", "checkpoint-2"]
            assert (pruned.code, "left as it is" in pruned.err) == (2, True)
        else:
            assert (resumed.code in (2, 3), pruned.code) == (True, 0), resumed.err
            assert world.alive() == []
