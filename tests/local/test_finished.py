"""A training that is whole is SUCCEEDED, however its processes ended; one that is not never is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ended
from tests.support.launching import launch

if TYPE_CHECKING:
    from tests.conftest import Ended, World

Eventually = Callable[..., None]

#: All is saved, and something goes on: plots, a tracker's upload, a rank that does not come back.
SAVED = (
    "step 1 2; step 2 2; checkpoint 2 2; trap 'exit 1' TERM INT; touch $run/ready; sleep 60 & wait"
)
#: As with enable_jit_checkpoint: the last step is saved because of the signal.
SAVES = "step 2 2; trap 'checkpoint 2 2; exit 1' TERM INT; touch $run/ready; sleep 60 & wait"
UNSAVED = "step 2 2; checkpoint 1 2; trap 'exit 1' TERM INT; touch $run/ready; sleep 60 & wait"


def begin(
    world: World, fake: str, eventually: Eventually, env: dict[str, str] | None = None, **over: Any
) -> tuple[subprocess.Popen[bytes], Path]:
    """launch.sh, once its torchrun has got to `ready`."""
    run = launch(world, **over)
    process = world.popen(["bash", run / "launch.sh"], FAKE=fake, **(env or {}))
    eventually(lambda: (run / "ready").exists() or process.poll() is not None)
    assert process.poll() is None, (run / "logs" / "node0.log").read_text()
    return process, run


def stop(world: World, process: subprocess.Popen[bytes], run: Path, number: int) -> Ended:
    process.send_signal(number)
    return ended(run, world.finish(process).code)


@pytest.mark.parametrize("fake", [SAVED, SAVES], ids=["saved before", "saved on the signal"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_when_every_step_is_saved(
    world: World, eventually: Eventually, fake: str, number: signal.Signals
) -> None:
    """A training stopped after its last save is SUCCEEDED."""
    job = stop(world, *begin(world, fake, eventually), number)
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")
    assert job.reason.startswith("all 2 steps are trained and saved; then: ")
    assert job.reason in job.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_before_the_last_save(
    world: World, eventually: Eventually, number: signal.Signals
) -> None:
    """A training stopped before its last save is not SUCCEEDED."""
    job = stop(world, *begin(world, UNSAVED, eventually), number)
    assert (job.code, job.exit["state"]) == (
        128 + number,
        "FAILED" if number == signal.SIGTERM else "CANCELLED",
    )


def test_the_last_checkpoint_of_an_earlier_attempt_is_no_proof(
    world: World, eventually: Eventually
) -> None:
    """By hand once more in the same directory: this time it was stopped before its first step."""
    first = world.popen(["bash", launch(world) / "launch.sh"], FAKE="step 2 2; checkpoint 2 2")
    assert world.finish(first).code == 0
    process, run = begin(world, "trap 'exit 1' TERM; touch $run/ready; sleep 60 & wait", eventually)
    assert stop(world, process, run, signal.SIGTERM).exit["state"] == "FAILED"


@pytest.mark.parametrize("backend", ["local", "slurm"])
def test_time_limit_when_every_step_is_saved(
    world: World, eventually: Eventually, backend: str
) -> None:
    """Its own time limit, and the scheduler's warning; so no scheduler starts it again either."""
    limit = "2s" if backend == "local" else "90m"
    over: dict[str, Any] = {"backend": backend, "resources__time_limit": limit, "restarts__max": 1}
    process, run = begin(world, SAVED, eventually, **over)
    if backend == "slurm":
        (run / "logs" / ".time-limit").touch()
        process.terminate()
    job = ended(run, world.finish(process).code)
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")
    assert "the time limit of" in job.reason


def test_cancelled_when_every_step_is_saved(world: World, eventually: Eventually) -> None:
    run = world.submit(SAVED)
    eventually(lambda: (run / "ready").exists())
    assert world.prl("cancel", run.name).code == 0
    (status,) = world.prl("status", run.name, "--json").json["runs"]
    assert (status["state"], status["exit_code"]) == ("SUCCEEDED", 0)
    assert "all 2 steps are trained and saved; then: cancelled by " in status["reason"]


def test_stopped_during_the_upload(world: World, eventually: Eventually) -> None:
    over: dict[str, Any] = {"swift__push_to_hub": True, "swift__hub_model_id": "a/b"}
    job = stop(world, *begin(world, SAVED, eventually, **over), signal.SIGTERM)
    assert (job.code, job.exit["state"]) == (143, "FAILED")


def test_the_signal_came_when_torchrun_had_ended_well(world: World, eventually: Eventually) -> None:
    """Nothing is saved in the end (save_strategy no), but torchrun says 0 and the loop came to its end."""
    line = '{"train_runtime": 1, "global_step/max_steps": "2/2"}'
    fake = f"trap '' TERM; step 2 2; echo '{line}' >>$run/logging.jsonl; touch $run/ready; sleep 1"
    over: dict[str, Any] = {"swift__save_strategy": "no"}
    job = stop(world, *begin(world, fake, eventually, **over), signal.SIGTERM)
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("how", ["crash -15 SIGTERM -6 SIGABRT", "stopped"])
def test_another_node(world: World, eventually: Eventually, saved: bool, how: str) -> None:
    """Node 1 looks for the same proof, in which ranks of both nodes had a part."""
    two: dict[str, Any] = {"resources__nodes": 2, "backend": "slurm", "restarts__grace": "1s"}
    place = {"NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    both = "checkpoint 2 2; cd $run/checkpoint-2; mv rng_state.pth rng_state_0.pth"
    both += "; cp rng_state_0.pth rng_state_1.pth" if saved else ""
    rest = "trap 'exit 1' TERM; touch $run/ready; sleep 60 & wait" if how == "stopped" else how
    if how == "stopped":
        process, run = begin(world, f"{both}; {rest}", eventually, place, **two)
        process.terminate()
        code = world.finish(process).code
    else:
        run = launch(world, **two)
        process = world.popen(["bash", run / "launch.sh"], FAKE=f"{both}; {rest}", **place)
        code = world.finish(process).code
    word = json.loads((run / "logs" / "node1.exit.json").read_text())
    assert (word["exit_code"], word["state"] == "SUCCEEDED") == (code, saved)
    assert (code == 0) is saved


# --- what an attempt leaves to the next -----------------------------------------------------------


def test_a_line_that_a_kill_cut_short(world: World) -> None:
    """The next attempt's first line is a line of its own."""
    script = world.script()
    for name in ("logging.jsonl", "completions.jsonl"):
        (script.parent / name).write_text('{"loss": 1}\n{"loss": 0.')
    fake = "step 1 1; echo '{}' >>$run/completions.jsonl"
    assert world.finish(world.popen(["bash", script], FAKE=fake)).code == 0
    lines = (script.parent / "logging.jsonl").read_text().splitlines()
    assert [line.startswith("{") for line in lines] == [True] * 3
    assert json.loads(lines[2])["global_step/max_steps"] == "1/1"
    assert (script.parent / "completions.jsonl").read_text().splitlines()[2] == "{}"


def test_slurm_warns_of_the_time_limit(world: World, eventually: Eventually) -> None:
    """Why it is not started again is said by `status` alone, which knows it for a killed job too."""
    fake = "step 1 9; trap 'exit 1' TERM; touch $run/ready; sleep 60 & wait"
    over: dict[str, Any] = {"backend": "slurm", "resources__time_limit": "1h", "restarts__max": 2}
    process, run = begin(world, fake, eventually, **over)
    (run / "logs" / ".time-limit").touch()
    process.terminate()
    job = ended(run, world.finish(process).code)
    assert job.exit["state"] == "TIMEOUT"
    assert job.reason == "warned by Slurm of the time limit of 01:00:00, and stopped"


def test_launch_sh_is_killed_on_slurm(world: World, eventually: Eventually) -> None:
    """Slurm leaves the children of a killed step on some sites; here none is left."""
    fake = "trap 'touch $run/told; exit 1' TERM; touch $run/ready; while :; do sleep 0.1; done"
    process, run = begin(world, fake, eventually, backend="slurm")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    eventually(lambda: world.alive() == [], timeout=20)
    assert (run / "told").exists()


# --- a worker of Kubernetes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "ends"), [(0, "SUCCEEDED"), (1, "FAILED")], ids=["succeeded", "failed"]
)
def test_a_worker_that_starts_again_when_node_0_has_ended(
    world: World, code: int, ends: str
) -> None:
    """Nobody will come to the meeting point; it held its GPUs for half an hour."""
    over: dict[str, Any] = {"backend": "kubernetes", "resources__nodes": 2, "restarts__max": 2}
    volume = {"pvc": "data", "mount": str(world.root)}
    run = launch(world, kubernetes__image="x", kubernetes__volumes=[volume], **over)
    env = {"NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    env |= {"PRL_SUBMIT_POD": "w", "PRL_SUBMIT_RESTARTS": "1"}
    word = {"exit_code": code, "state": ends, "started_at": "x", "ended_at": "y", "restarts": 0}
    (run / "exit.json").write_text(json.dumps(word | {"node": "m", "reason": None}))
    (run / "logs").mkdir()
    for node in (0, 1):
        (run / "logs" / f".starts{node}.{world.mark}").write_text("a\n" * (node + 1))
    done = world.finish(world.popen(["bash", run / "launch.sh"], **env), timeout=40)
    own = json.loads((run / "logs" / "node1.exit.json").read_text())
    assert (own["exit_code"], own["state"]) == (done.code, ends)
    assert own["reason"].startswith("node 0 ")


def closing(step: int, max_steps: int) -> str:
    """The line that ms-swift logs behind its training loop."""
    text = f'{{"train_runtime": 1.5, "global_step/max_steps": "{step}/{max_steps}"}}'
    return f"echo '{text}' >>$run/logging.jsonl"


def test_ranks_that_were_told_to_stop_and_exit_0(world: World) -> None:
    """Real ms-swift with enable_jit_checkpoint: SIGTERM to its ranks ends the loop, exit code 0."""
    fake = f"step 7 30; checkpoint 7 30; {closing(7, 30)}"
    job = world.by_hand(fake)
    assert (job.code, job.exit["state"]) == (65, "FAILED")
    assert job.reason.startswith("ended at step 7 of 30, and nothing in the spec stops it early")


def test_a_training_that_stops_early_as_it_was_told(world: World) -> None:
    fake = f"step 7 30; checkpoint 7 30; {closing(7, 30)}"
    job = world.by_hand(fake, swift__early_stop_interval=3)
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")
    assert job.reason == "stopped early, at step 7 of 30"


def test_a_training_that_came_to_its_end(world: World) -> None:
    job = world.by_hand(f"step 30 30; checkpoint 30 30; {closing(30, 30)}")
    assert (job.code, job.exit["state"], job.exit["reason"]) == (0, "SUCCEEDED", None)


@pytest.mark.parametrize(
    "name",
    [
        ".node0.lock",
        "exit.json.part",
        "logging.jsonl",
        "logs/node0.log",
        "logs/attempts.jsonl",
        "logs/.began0",
        "logs",
    ],
)
def test_launch_sh_writes_through_no_link(world: World, tmp_path: Path, name: str) -> None:
    script = world.script()
    run = script.parent
    target = tmp_path / "precious"
    if name == "logs":
        target.mkdir()
    else:
        (run / "logs").mkdir()
        target.write_text("PRECIOUS")
    (run / name).symlink_to(target)
    done = world.finish(world.popen(["bash", script]))
    assert done.code == 78
    assert "is a symbolic link, through which nothing is written" in done.err
    assert list(target.iterdir()) == [] if name == "logs" else target.read_text() == "PRECIOUS"


def test_a_loop_that_a_setup_line_left_behind(world: World) -> None:
    """A monitor in the background is a copy of launch.sh's shell: it ends with the job."""
    loop = "monitor() { while true; do date >>mon.txt; sleep 0.2 || true; done; }; monitor &"
    run, ended_ = world.run_to_end(
        "step 2 4; checkpoint 2 4; exit 3", environment__setup=[loop], restarts__grace="1s"
    )
    assert ended_["state"] == "FAILED"
    assert world.alive() == []
    assert world.prl("resume", run.name, "--wait", FAKE="step 4 4; checkpoint 4 4").code == 0
