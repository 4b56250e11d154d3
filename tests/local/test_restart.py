"""launch.sh started again by a scheduler, or stopped by one: real bash, a torchrun that pretends."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from prl_submit.launch.render import render_library
from prl_submit.runs.checkpoints import last_complete
from tests.conftest import ended, marked
from tests.support.checkpoint_files import SPOILT, write_checkpoint
from tests.support.launching import launch

if TYPE_CHECKING:
    from tests.conftest import Ended, World

Eventually = Callable[..., None]

AGAIN = {"PRL_SUBMIT_RESTARTS": "1"}
TWO: dict[str, Any] = {"resources__nodes": 2, "backend": "slurm"}
FROM = "--resume_from_checkpoint"


def start(world: World, run: Path, fake: str, /, **env: str) -> subprocess.Popen[bytes]:
    return world.popen(["bash", run / "launch.sh"], FAKE=fake, **env)


def go(world: World, run: Path, fake: str = "step 1 1", /, **env: str) -> Ended:
    """To its end."""
    return ended(run, world.finish(start(world, run, fake, **env)).code)


def begin(
    world: World, run: Path, fake: str, eventually: Eventually, node: int = 0, /, **env: str
) -> subprocess.Popen[bytes]:
    """Until its torchrun has written `ready`."""
    ready = run / f"ready{node}"
    process = start(world, run, fake.replace("READY", f"touch $run/ready{node}"), **env)
    eventually(lambda: ready.exists() or process.poll() is not None)
    assert process.poll() is None, (run / "logs" / f"node{node}.log").read_text()
    return process


def words_of(run: Path) -> list[str]:
    """torchrun's words."""
    return (run / "argv").read_bytes().decode().split("\0")[:-1]


def resumed_from(run: Path) -> list[str]:
    """Every checkpoint that torchrun was told to continue from."""
    words = words_of(run)
    after = [words[i + 1] for i, word in enumerate(words) if word == FROM]
    return after + [word.partition("=")[2] for word in words if word.startswith(FROM + "=")]


# --- checkpoints ----------------------------------------------------------------------------------


def state_text(step: int, max_steps: int = 10) -> str:
    """trainer_state.json as transformers writes it."""
    history = [
        {"epoch": i / 4, "loss": 0.5, "step": i, "global_step/max_steps": f"{i}/{max_steps}"}
        for i in range(1, 4)
    ]
    state = {
        "best_metric": None,
        "global_step": step,
        "is_hyper_param_search": False,
        "log_history": history,
        "max_steps": max_steps,
        "stateful_callbacks": {"TrainerControl": {"args": {"should_save": True}, "attributes": {}}},
        "trial_name": None,
    }
    return json.dumps(state, indent=2, sort_keys=True) + "\n"


#: Files of each kind of checkpoint but the random states; a name that ends in / is a folder.
LAYOUTS: dict[str, list[str]] = {
    "plain": "model.safetensors optimizer.pt scheduler.pt training_args.bin".split(),
    "adapter": "adapter_model.safetensors adapter_config.json optimizer.pt scheduler.pt".split(),
    "bin": "pytorch_model.bin optimizer.pt scheduler.pt training_args.bin".split(),
    "sharded": (
        "model-1.safetensors model-2.safetensors model.safetensors.index.json "
        "optimizer.pt scheduler.pt"
    ).split(),
    "sharded_bin": (
        "pytorch_model-1.bin pytorch_model-2.bin pytorch_model.bin.index.json "
        "optimizer.pt scheduler.pt"
    ).split(),
    "fsdp": "pytorch_model_fsdp.bin optimizer.bin scheduler.pt training_args.bin".split(),
    "fsdp2": (
        "pytorch_model_fsdp_0/.metadata optimizer_0/.metadata scheduler.pt trainer_state.json"
    ).split(),
    "deepspeed": "global_step7/ latest zero_to_fp32.py model.safetensors".split(),
    "deepspeed_adapter": "global_step7/ latest adapter_model.safetensors scheduler.pt".split(),
}


def random_states(world_size: int) -> list[str]:
    ranks = [""] if world_size == 1 else [f"_{rank}" for rank in range(world_size)]
    return [f"rng_state{rank}.pth" for rank in ranks]


def save(
    run: Path, name: int | str, world_size: int = 1, layout: str = "plain", max_steps: int = 10
) -> Path:
    """A complete checkpoint."""
    folder = run / f"checkpoint-{name}"
    folder.mkdir(parents=True)
    for file in [*LAYOUTS[layout], *random_states(world_size)]:
        if file.endswith("/"):
            (folder / file).mkdir()
            (folder / file / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_text("x")
        elif file.endswith(".index.json"):
            shards = [n for n in LAYOUTS[layout] if "-" in n]
            tree = {
                "metadata": {"total_size": 2},
                "weight_map": dict(zip("ab", shards, strict=True)),
            }
            (folder / file).write_text(json.dumps(tree, indent=2, sort_keys=True) + "\n")
        else:
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text("x")
    step = int(name) if str(name).isdecimal() else 1
    (folder / "trainer_state.json").write_text(state_text(step, max_steps))
    return folder


# --- a restart ------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "old", "-old"])
def test_restart_continues_from_the_last_complete_checkpoint(
    world: World, given: str | None
) -> None:
    """Whatever was given to begin with, in one word or in two; everything else stays."""
    over = {} if given is None else {"swift__resume_from_checkpoint": given}
    if given:
        (world.root / given).mkdir()
    run = launch(world, restarts=2, restarts__max=3, **over)
    save(run, 9)
    newest = save(run, 10, max_steps=20)
    (save(run, 11) / "optimizer.pt").unlink()
    before = go(world, run)
    assert before.exit["restarts"] == 2
    assert resumed_from(run) == ([given] if given else [])
    rest = [word for word in words_of(run) if word != given and not word.startswith(FROM)]
    job = go(world, run, PRL_SUBMIT_RESTARTS="3")
    assert (job.code, job.exit["restarts"]) == (0, 5)
    assert words_of(run) == [*rest, FROM, str(newest)]
    assert "restart 3: continues from checkpoint-10\n" in job.log


def test_both_forms_at_once_are_dropped(world: World) -> None:
    run = launch(world, restarts__max=1)
    text = (run / "launch.sh").read_text()
    head = "prl_swift_args=(\n"
    assert head in text
    many = f"  {FROM} 'a b' {FROM}=c\n  {FROM}=-d {FROM} e\n  --last word\n  {FROM} f\n"
    (run / "launch.sh").write_text(text.replace(head, head + many))
    save(run, 4)
    assert go(world, run, **AGAIN).code == 0
    words = words_of(run)
    assert resumed_from(run) == [str(run / "checkpoint-4")]
    assert words[words.index("-m") + 2 :][:2] == ["--last", "word"]
    assert not {"a b", "c", "e", "f"} & set(words)


def test_the_first_start_continues_from_what_it_was_given(world: World) -> None:
    """0 restarts: a checkpoint that lies there is none of its own."""
    run = launch(world)
    save(run, 3)
    job = go(world, run, PRL_SUBMIT_RESTARTS="0")
    assert (job.code, job.exit["restarts"], resumed_from(run)) == (0, 0, [])
    assert "restart 0" not in job.log


def step_line(step: int, **more: object) -> str:
    return json.dumps({"loss": "0.5", **more, "global_step/max_steps": f"{step}/20"}) + "\n"


@pytest.mark.parametrize(("saved", "kept"), [(None, 0), (2, 2), (5, 5)])
def test_steps_that_are_trained_again_are_set_aside(
    world: World, saved: int | None, kept: int
) -> None:
    """logging.jsonl has each step once. A line without a step stays with the one before, a cut one does not."""
    run = launch(world, restarts__max=1)
    if saved:
        save(run, saved, max_steps=20)
    lines = [*map(step_line, range(1, 5)), step_line(5, words="世界") + '{"note": 1}\n']
    cut = step_line(6)[:-9]
    (run / "logging.jsonl").write_text("".join(lines) + cut)
    job = go(world, run, "step 9 9", **AGAIN)
    after = (run / "logging.jsonl").read_text()
    first = "".join(lines[:kept])
    assert after.startswith(first)
    assert after.removeprefix(first).count("\n") == 1  # the step that is trained now
    moved = (run / "logs" / "repeated_steps.jsonl").read_text()
    assert moved == "".join(lines[kept:]) + cut + "\n"
    assert f"about steps after {kept}, which are trained again, were moved" in job.log


def test_no_step_is_set_aside_where_nothing_is_repeated(world: World) -> None:
    """The first start, a checkpoint of the last step that was logged, steps that are counted anew."""
    run = launch(world, restarts__max=1, swift__resume_only_model=True)
    text = step_line(1) + step_line(2)
    (run / "logging.jsonl").write_text(text)
    go(world, run, "true", PRL_SUBMIT_RESTARTS="0")
    assert (run / "logging.jsonl").read_text() == text
    save(run, 1, max_steps=20)
    go(world, run, "true", **AGAIN)
    assert (run / "logging.jsonl").read_text() == text
    assert not (run / "logs" / "repeated_steps.jsonl").exists()


@pytest.mark.parametrize("left", [None, "incomplete"])
def test_restart_without_a_complete_checkpoint_begins_again(world: World, left: str | None) -> None:
    run = launch(world, restarts__max=1)
    if left:
        (save(run, 3) / "trainer_state.json").write_text("")
    job = go(world, run, **AGAIN)
    assert (job.code, job.exit["restarts"], resumed_from(run)) == (0, 1, [])
    assert "restart 1: there is no complete checkpoint, the training begins again\n" in job.log


@pytest.mark.parametrize(("most", "again"), [(0, 1), (2, 3)])
def test_one_restart_too_many(world: World, most: int, again: int) -> None:
    run = launch(world, restarts=4, restarts__max=most)
    save(run, 3)
    (run / "exit.json").write_text('{"state": "stale"}')
    job = go(world, run, PRL_SUBMIT_RESTARTS=str(again))
    assert (job.code, job.exit["state"], job.exit["restarts"]) == (1, "FAILED", 4 + again)
    assert job.reason == f"started again {again} times; restarts.max is {most}"
    assert job.reason in job.log
    assert not (run / "argv").exists()


@pytest.mark.parametrize("name", ["with space", "雨 [1]*", "it's $(id)"])
def test_run_directory_with_a_strange_name(world: World, name: str) -> None:
    run = launch(world, run=name, restarts__max=1)
    newest = save(run, 7)
    assert go(world, run, **AGAIN).code == 0
    assert resumed_from(run) == [str(newest)]


# --- stopped after its last step ------------------------------------------------------------------


def test_nothing_is_left_to_train(world: World) -> None:
    """Stopped after its last step, started again: ms-swift would train step 11 of 10."""
    run = launch(world, restarts__max=1)
    save(run, 10, max_steps=10)
    job = go(world, run, "step 11 10", **AGAIN)
    assert (job.code, job.exit["state"]) == (0, "SUCCEEDED")
    assert job.reason == (
        "all 10 steps were trained and saved before this restart; nothing is left to train"
    )
    assert not (run / "argv").exists()


def test_a_restart_whose_upload_was_not_done(world: World) -> None:
    run = launch(world, restarts__max=1, swift__push_to_hub=True, swift__hub_model_id="a/b")
    save(run, 10, max_steps=10)
    job = go(world, run, **AGAIN)
    assert (job.code, job.exit["state"]) == (65, "FAILED")
    assert "what comes after the last save was not done" in job.reason
    (run / "logging.jsonl").write_text('{"last_model_checkpoint": "x", "global_step": 10}\n')
    assert go(world, run, **AGAIN).exit["state"] == "SUCCEEDED"
    assert not (run / "argv").exists()


def test_a_restart_of_a_training_that_was_made_longer(world: World) -> None:
    """Begun from the last checkpoint of a shorter one, and told of more steps: they are trained."""
    first = save(world.root / "run", 10, max_steps=10)
    over: dict[str, Any] = {"swift__resume_from_checkpoint": str(first), "restarts__max": 1}
    run = launch(world, **over)
    assert go(world, run, "step 11 20", **AGAIN).code == 0
    assert resumed_from(run) == [str(first)]
    save(run, 12, max_steps=12)
    longer = launch(world, restarts__max=1, swift__max_steps=20)
    assert go(world, longer, "step 13 20", **AGAIN).code == 0
    assert resumed_from(run) == [str(run / "checkpoint-12")]


def test_another_node_that_crashes_at_its_end_does_not_mind_node_0s_save(world: World) -> None:
    """Its failure would make srun kill node 0 in the middle of it."""
    run = launch(world, **TWO)
    (save(run, 10, max_steps=10) / "optimizer.pt").unlink()
    place = {"NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    done = world.finish(start(world, run, "ended; crash -6 SIGABRT", **place))
    assert done.code == 0
    word = json.loads((run / "logs" / "node1.exit.json").read_text())
    assert (word["exit_code"], word["state"]) == (0, "SUCCEEDED")


@pytest.mark.parametrize(
    ("step", "env"), [(9, AGAIN), (1, AGAIN), (10, {})], ids=["9 of 10", "1 of 10", "no restart"]
)
def test_zero_steps_before_the_last_one(world: World, step: int, env: dict[str, str]) -> None:
    run = launch(world, restarts__max=1)
    save(run, step, max_steps=10)
    job = go(world, run, "exit 0", **env)
    assert (job.code, job.exit["state"]) == (65, "FAILED")
    assert "without one training step" in job.reason


# --- told to stop ---------------------------------------------------------------------------------

STOPS = "trap 'exit 1' TERM INT; READY; sleep 60 & wait"


@pytest.mark.parametrize(
    ("limit", "words"), [("90m", "01:30:00"), ("2d", "2-00:00:00"), (None, "the scheduler")]
)
def test_time_limit_of_the_scheduler(
    world: World, eventually: Eventually, limit: str | None, words: str
) -> None:
    """The marker says why SIGTERM came."""
    run = launch(world, backend="slurm", resources__time_limit=limit)
    process = begin(world, run, STOPS, eventually)
    (run / "logs" / ".time-limit").touch()
    process.terminate()
    job = ended(run, world.finish(process).code)
    assert (job.code, job.exit["state"]) == (124, "TIMEOUT")
    assert job.reason == f"warned by Slurm of the time limit of {words}, and stopped"
    assert job.reason in job.log


def test_sigterm_without_the_marker(world: World, eventually: Eventually) -> None:
    run = launch(world, backend="slurm", resources__time_limit="90m")
    process = begin(world, run, STOPS, eventually)
    process.terminate()
    job = ended(run, world.finish(process).code)
    assert (job.code, job.exit["state"]) == (143, "FAILED")
    assert job.reason == "stopped by signal 15 while training"


def test_sigint_is_no_time_limit(world: World, eventually: Eventually) -> None:
    run = launch(world, backend="slurm", resources__time_limit="90m")
    process = begin(world, run, STOPS, eventually)
    (run / "logs" / ".time-limit").touch()
    process.send_signal(signal.SIGINT)
    job = ended(run, world.finish(process).code)
    assert (job.code, job.exit["state"]) == (130, "CANCELLED")


@pytest.mark.parametrize(("fake", "code"), [("step 1 1", 0), ("exit 3", 3)])
def test_the_marker_alone_is_no_end(world: World, fake: str, code: int) -> None:
    """The training ended by itself in its last minutes."""
    run = launch(world, backend="slurm", resources__time_limit="90m")
    (run / "logs").mkdir()
    (run / "logs" / ".time-limit").touch()
    assert go(world, run, fake).code == code


#: What a step's processes find; job.sbatch sets the count at the first start as well.
STEP = {"PRL_SUBMIT_RESTARTS": "0"}
#: Counts what it hears, and stops at nothing.
COUNTS = (
    "n=0; trap 'n=$((n + 1)); echo $n >$run/heard' TERM INT; echo 0 >$run/heard; READY; "
    "while :; do sleep 0.1; done"
)


@pytest.mark.parametrize(
    ("env", "number", "heard", "code"),
    [
        (STEP, signal.SIGTERM, 1, 143),
        (STEP, signal.SIGINT, 1, 130),
        ({}, signal.SIGTERM, 1, 143),
    ],
)
def test_what_torchrun_hears(
    world: World,
    eventually: Eventually,
    env: dict[str, str],
    number: signal.Signals,
    heard: int,
    code: int,
) -> None:
    """launch.sh alone was told, as by proctrack/cgroup: it passes it on; what outlives the grace is killed."""
    run = launch(world, backend="slurm", restarts__grace="2s")
    process = begin(world, run, COUNTS, eventually, **env)
    began = time.monotonic()
    process.send_signal(number)
    assert world.finish(process, timeout=20).code == code
    assert 1.9 < time.monotonic() - began < 10
    assert (run / "heard").read_text() == f"{heard}\n"
    assert world.alive() == []


def test_a_step_that_slurm_signals(world: World, eventually: Eventually) -> None:
    """Every process, as proctrack/linuxproc does: torchrun hears it once, and has its grace."""
    run = launch(world, backend="slurm", restarts__grace="20s")
    saves = (
        "n=0; trap 'n=$((n + 1)); echo $n >$run/heard' TERM; echo $$ >$run/pid; READY; "
        "while ((n == 0)); do sleep 0.1; done; for i in {1..8}; do sleep 0.1; done; exit 1"
    )
    process = begin(world, run, saves, eventually, **STEP)
    for pid in marked(world.mark):
        os.kill(pid, signal.SIGTERM)
    assert world.finish(process, timeout=15).code == 143
    assert (run / "heard").read_text() == "1\n"


def test_a_local_job_within_somebody_elses_step(world: World, eventually: Eventually) -> None:
    """Typed in `srun --pty bash`: nobody but launch.sh tells torchrun that the time is up."""
    world.environ["SLURM_STEP_ID"] = "0"
    saves = "trap 'echo x >$run/saved; exit 1' TERM; sleep 60 & wait"
    run = world.submit(saves, resources__time_limit="6s", restarts__grace="3s")
    eventually(lambda: (run / "exit.json").exists(), 60)
    assert json.loads((run / "exit.json").read_text())["state"] == "TIMEOUT"
    assert (run / "saved").exists()


def test_a_local_job_within_a_job_that_was_started_again(world: World) -> None:
    world.environ |= AGAIN
    _, verdict = world.run_to_end()
    assert (verdict["state"], verdict["restarts"]) == ("SUCCEEDED", 0)


# --- two nodes ------------------------------------------------------------------------------------


def address(rank: int) -> dict[str, str]:
    """What job.sbatch and srun give a node."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def node_1(run: Path) -> dict[str, Any]:
    found = json.loads((run / "logs" / "node1.exit.json").read_text())
    assert isinstance(found, dict)
    return found


def test_node_1_waits_for_node_0_up_to_the_grace(world: World, eventually: Eventually) -> None:
    run = launch(world, restarts__grace="2s", **TWO)
    process = begin(world, run, STOPS, eventually, 1, **address(1))
    began = time.monotonic()
    process.terminate()
    assert world.finish(process).code == 143
    assert 1.9 < time.monotonic() - began < 8
    assert (node_1(run)["exit_code"], node_1(run)["state"]) == (143, "FAILED")
    assert not (run / "exit.json").exists()


def test_node_1_ends_after_node_0(world: World, eventually: Eventually) -> None:
    """Node 0 still saves; what an earlier attempt left is not taken for its last word."""
    run = launch(world, restarts__grace="30s", **TWO)
    (run / "logs").mkdir()
    (run / "exit.json").write_text('{"state": "stale"}')
    (run / "logs" / "node1.exit.json").write_text('{"state": "stale"}')
    env = address(0)
    saving = "trap 'sleep 1.5; exit 1' TERM; READY; sleep 60 & wait"
    first = begin(world, run, saving, eventually, 0, **env)
    assert not (run / "exit.json").exists()
    assert (run / "logs" / "node1.exit.json").exists()  # node 0 removes its own alone
    second = begin(world, run, STOPS, eventually, 1, **env | {"NODE_RANK": "1"})
    assert not (run / "logs" / "node1.exit.json").exists()
    began = time.monotonic()
    first.terminate()
    second.terminate()
    assert world.finish(second).code == 143
    assert 1.4 < time.monotonic() - began < 10
    assert world.finish(first).code == 143
    assert json.loads((run / "exit.json").read_text())["state"] == "FAILED"
    assert node_1(run)["reason"] == "stopped by signal 15 while training"
    ends = [(run / name).stat().st_mtime for name in ("exit.json", "logs/node1.exit.json")]
    assert ends == sorted(ends)
    assert world.alive() == []


def test_node_1_that_fails_by_itself_waits_for_nobody(world: World) -> None:
    """Node 1 ends at once when its own training fails."""
    run = launch(world, restarts__grace="60s", **TWO)
    done = world.finish(start(world, run, "exit 3", **address(1)), timeout=20)
    assert (done.code, node_1(run)["exit_code"]) == (3, 3)


def test_node_1_that_fails_leaves_the_last_word_of_node_0_alone(world: World) -> None:
    run = launch(world, **TWO)
    (run / "exit.json").write_text("of node 0")
    assert world.finish(start(world, run, "exit 3", **address(1))).code == 3
    assert (run / "exit.json").read_text() == "of node 0"


def test_node_1_knows_of_the_time_limit(world: World, eventually: Eventually) -> None:
    run = launch(world, restarts__grace="1s", resources__time_limit="1h", **TWO)
    process = begin(world, run, STOPS, eventually, 1, **address(1))
    (run / "logs" / ".time-limit").touch()
    process.terminate()
    assert world.finish(process).code == 124
    assert (node_1(run)["state"], node_1(run)["exit_code"]) == ("TIMEOUT", 124)


@pytest.mark.parametrize("rank", [0, 1])
def test_every_node_continues_from_the_same_checkpoint(world: World, rank: int) -> None:
    """World size 2: one random state for each rank of both nodes."""
    run = launch(world, restarts__max=1, **TWO)
    newest = save(run, 4, world_size=2)
    save(run, 5, world_size=1)
    assert world.finish(start(world, run, "step 5 9", **address(rank), **AGAIN)).code == 0
    assert resumed_from(run) == [str(newest)]


# --- the lock -------------------------------------------------------------------------------------


@pytest.fixture
def hold() -> Iterator[Callable[[Path], Callable[[], None]]]:
    """Holds a node's lock as a lost node does; what it returns lets go."""
    opened: list[int] = []

    def take(run: Path) -> Callable[[], None]:
        lock = os.open(run / ".node0.lock", os.O_RDWR | os.O_CREAT, 0o644)
        opened.append(lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lambda: fcntl.flock(lock, fcntl.LOCK_UN)

    yield take
    for lock in opened:
        os.close(lock)


def test_restart_waits_for_a_held_lock(
    world: World, hold: Callable[[Path], Callable[[], None]]
) -> None:
    run = launch(world, restarts__max=1)
    letting_go = threading.Timer(2, hold(run))
    began = time.monotonic()
    letting_go.start()
    try:
        job = go(world, run, **AGAIN)
    finally:
        letting_go.join()
    assert job.code == 0
    assert time.monotonic() - began > 1.9
    assert job.log.count("restarts 1\n") == 1


@pytest.mark.parametrize("env", [{}, {"PRL_SUBMIT_RESTARTS": "0"}])
def test_first_start_waits_for_no_lock(
    world: World, hold: Callable[[Path], Callable[[], None]], env: dict[str, str]
) -> None:
    run = launch(world)
    (run / "exit.json").write_text("of the job that runs")
    hold(run)
    began = time.monotonic()
    done = world.finish(start(world, run, "step 1 1", **env))
    assert time.monotonic() - began < 60  # a restart would wait for 180 s
    assert done.code == 75
    assert f"{run} is in use: its job still runs" in done.err
    assert (run / "exit.json").read_text() == "of the job that runs"
    assert not (run / "argv").exists()


# --- logs of single ranks, names of nodes ---------------------------------------------------------

TELL = 'printf %s "${PET_LOG_DIR-unset}" >$run/told; step 1 1'


@pytest.mark.parametrize(
    ("over", "env"),
    [
        ({}, {"PET_TEE": "3"}),
        ({}, {"PET_REDIRECTS": "3"}),
        ({"environment__env": {"PET_TEE": "3"}}, {}),
        ({"environment__setup": ["export PET_TEE=3"]}, {}),
    ],
    ids=["inherited", "redirects", "env", "setup"],
)
def test_ranks_log_below_the_run(world: World, over: dict[str, Any], env: dict[str, str]) -> None:
    run = launch(world, **over)
    assert go(world, run, TELL, **env).code == 0
    assert (run / "told").read_text() == f"{run}/logs/ranks/node0"


def test_ranks_of_node_1_log_apart(world: World) -> None:
    run = launch(world, **TWO)
    assert world.finish(start(world, run, TELL, PET_TEE="3", **address(1))).code == 0
    assert (run / "told").read_text() == f"{run}/logs/ranks/node1"


@pytest.mark.parametrize("env", [{}, {"PET_TEE": ""}])
def test_ranks_do_not_log_apart_unasked(world: World, env: dict[str, str]) -> None:
    run = launch(world)
    assert go(world, run, TELL, **env).code == 0
    assert (run / "told").read_text() == "unset"


def test_a_log_folder_of_ones_own_without_tee(world: World) -> None:
    run = launch(world)
    assert go(world, run, TELL, PET_LOG_DIR="/of/mine").code == 0
    assert (run / "told").read_text() == "/of/mine"


def test_the_name_of_the_node(world: World) -> None:
    """$HOSTNAME may come from where the job was submitted."""
    run = launch(world)
    job = go(world, run, HOSTNAME="login.elsewhere")
    assert job.exit["node"] == os.uname().nodename
    assert "elsewhere" not in job.log
    job = go(world, run, HOSTNAME="login.elsewhere", SLURMD_NODENAME="n07")
    assert job.exit["node"] == "n07"
    assert " on n07, node 0 of 1" in job.log


# --- one reading of a checkpoint folder ------------------------------------------------------------


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "rng_state.pth"])
def test_a_checkpoint_that_cannot_be_loaded_is_not_chosen(
    world: World, file: str, how: str
) -> None:
    run = launch(world, restarts__max=1)
    before = write_checkpoint(run, 4)
    damaged = write_checkpoint(run, 6) / file
    damaged.write_bytes(SPOILT[how](damaged.read_bytes()))
    job = go(world, run, "step 5 10", **AGAIN)
    assert resumed_from(run) == [str(before)]
    assert "prl-submit: not complete: checkpoint-6: " in job.log
    assert file in job.log


def test_a_save_that_was_not_finished(world: World) -> None:
    """transformers marks a checkpoint that it saves because of SIGTERM until it is whole."""
    run = launch(world, restarts__max=1)
    before = write_checkpoint(run, 4)
    (write_checkpoint(run, 6) / "checkpoint-is-incomplete.txt").write_text("in progress...")
    job = go(world, run, "step 5 10", **AGAIN)
    assert resumed_from(run) == [str(before)]
    assert "checkpoint-is-incomplete.txt" in job.log


class Case(NamedTuple):
    """A run directory with checkpoints, and what was done to them."""

    run: Path
    nodes: int
    nproc: int
    what: str

    @property
    def python(self) -> str:
        """What prl_submit.runs.checkpoints says: a name, or - for none."""
        found = last_complete(self.run, self.nodes * self.nproc)
        return "-" if found is None else found.path.name


def by_bash(library: str, cases: list[Case], root: Path) -> list[str]:
    """What launch.lib.sh's prl_find_checkpoint says of every case, in one bash."""
    loop = (
        f"{library}\nprl_python=({sys.executable})\n"
        "while IFS=$'\\t' read -r prl_nodes prl_nproc_per_node prl_run_dir; do\n"
        "  prl_find_checkpoint\n"
        "  printf '%s\\0' \"${prl_checkpoint:--}\"\n"
        "done\n"
    )
    (root / "differential.sh").write_text(loop)
    done = subprocess.run(
        ["bash", root / "differential.sh"],
        input="".join(f"{case.nodes}\t{case.nproc}\t{case.run}\n" for case in cases).encode(),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    found = done.stdout.decode().split("\0")[:-1]
    assert len(found) == len(cases)
    for case, path in zip(cases, found, strict=True):
        assert path == "-" or Path(path).parent == case.run
    return [path.rpartition("/")[2] for path in found]


def truncations(text: str) -> list[int]:
    """Where a file may end after a kill; INTERRUPTED has the end after an inner brace."""
    return [n for n in range(1, len(text) - 2) if "}" not in text[max(0, n - 2) : n]]


def damage(folder: Path, how: str, file: str, rng: random.Random) -> None:
    """One file of a checkpoint gone, empty or cut short."""
    path = folder / file
    if how == "missing":
        if path.is_dir():
            for inner in path.iterdir():
                inner.unlink()
            path.rmdir()
        else:
            path.unlink()
    elif how == "empty":
        if path.is_dir():
            for inner in path.iterdir():
                inner.unlink()
        else:
            path.write_text("")
    elif how == "cut":
        text = path.read_text()
        path.write_text(text[: rng.choice(truncations(text))])
    elif how == "a file":
        damage(folder, "missing", file, rng)
        path.write_text("")
    elif how == "a folder":
        path.unlink()
        path.mkdir()


WORLDS = [(1, 1), (1, 2), (2, 1), (1, 3), (2, 2)]


def single_damages(root: Path, rng: random.Random) -> Iterator[Case]:
    """Every file of every kind of checkpoint gone or empty, with a whole one before it."""
    number = 0
    for which, (layout, files) in enumerate(LAYOUTS.items()):
        nodes, nproc = WORLDS[which % 3]
        size = nodes * nproc
        every = [*files, *random_states(size), "trainer_state.json"]
        damages = [(how, file) for file in every for how in ("missing", "empty")]
        damages += [("cut", "trainer_state.json"), ("nothing", "")]
        for how, file in damages:
            if how == "empty" and file.endswith(".index.json"):
                continue  # INTERRUPTED has it
            number += 1
            run = root / f"s{number}"
            save(run, 5, size)
            damage(save(run, 10, size, layout), how, file.rstrip("/"), rng)
            yield Case(run, nodes, nproc, f"{layout}: {file} {how}, {size} ranks")


def extras(folder: Path, rng: random.Random) -> str:
    """Something beside the usual files."""
    name = rng.choice(
        "extra.bin extra.pt extra.safetensors scaler.pt training_args.bin optimizer.bin optimizer.pt "
        "latest global_step3 rng_state.pth rng_state_0.pth rng_state_7.pth README.md".split()
    )
    if (folder / name).exists():
        return "nothing more"
    if name == "global_step3" and rng.random() < 0.5:
        (folder / name).mkdir()
        return f"a folder {name}"
    text = rng.choice(["", "x"])
    (folder / name).write_text(text)
    return f"{name} of {len(text)} bytes"


def many_damages(root: Path, rng: random.Random, count: int) -> Iterator[Case]:
    """Several checkpoints of odd names, each damaged or not, for all world sizes."""
    names = "1 2 9 10 007 0 00 99999999999999999999 x 12-merged 3x -4 ٣ +5 0x9".split()
    for number in range(count):
        run = root / f"m{number}"
        nodes, nproc = rng.choice(WORLDS)
        told = []
        for name in rng.sample(names, rng.choice([0, 1, 2, 2, 3])):
            if rng.random() < 0.08:
                run.mkdir(exist_ok=True)
                (run / f"checkpoint-{name}").write_text("a file")
                told.append(f"{name}: a file")
                continue
            layout = rng.choice(list(LAYOUTS))
            size = nodes * nproc if rng.random() < 0.85 else rng.choice([1, 2, 4])
            folder = save(run, name, size, layout)
            done = f"{name}: {layout} of {size} ranks"
            if rng.random() < 0.3:
                done += ", " + extras(folder, rng)
            for _ in range(rng.choice([0, 0, 1, 2])):
                file = rng.choice(sorted(path.name for path in folder.iterdir()))
                ways = ["missing", "empty", "a file", "a folder"]
                if file == "trainer_state.json" and (folder / file).is_file():
                    ways = ["missing", "empty", "cut"]
                elif file.endswith(".index.json"):
                    ways = ["missing"]  # INTERRUPTED has the rest
                elif (folder / file).is_dir():
                    ways = ["missing", "empty", "a file"]
                how = rng.choice(ways)
                if how == "cut" and len((folder / file).read_text()) < 10:
                    continue
                damage(folder, how, file, rng)
                done += f", {file} {how}"
            told.append(done)
        run.mkdir(exist_ok=True)
        yield Case(run, nodes, nproc, "; ".join(told) + f" for {nodes}x{nproc}")


def test_bash_and_python_agree(world: World, tmp_path: Path) -> None:
    """What a scheduler's restart continues from is what `resume` would."""
    rng = random.Random(20)
    root = tmp_path / "runs"
    cases = [*single_damages(root, rng), *many_damages(root, rng, 60)]
    assert len(cases) >= 150
    python = [case.python for case in cases]
    bash = by_bash(render_library(), cases, tmp_path)
    differ = [
        f"{case.what}: bash {theirs}, python {ours}"
        for case, theirs, ours in zip(cases, bash, python, strict=True)
        if theirs != ours
    ]
    assert differ == []
    # Not agreement about nothing: each verdict is frequent.
    assert python.count("checkpoint-5") > 50
    assert python.count("checkpoint-10") > 15
    assert python.count("-") > 10


#: What a kill or a crash may leave of a file, beyond what the cases above have: nobody can load it.
INNER_END = state_text(10).index("},") + 2
INTERRUPTED = [
    ("plain", "trainer_state.json", state_text(10)[:INNER_END]),
    ("sharded", "model.safetensors.index.json", ""),
    ("sharded", "model.safetensors.index.json", '{\n  "metadata": {\n    "total_size": 2\n  },\n'),
    ("sharded", "model.safetensors.index.json", '{\n  "weight_map": {\n    "a": "model-1.safeten'),
]


@pytest.mark.parametrize(
    ("layout", "file", "text"),
    INTERRUPTED,
    ids=["state", "empty index", "index without its map", "index within a name"],
)
def test_a_json_file_cut_short(world: World, layout: str, file: str, text: str) -> None:
    case = Case(world.root / "runs", 1, 1, file)
    (save(case.run, 10, layout=layout) / file).write_text(text)
    assert case.python == "-"
    assert by_bash(render_library(), [case], world.root) == ["-"]


@pytest.mark.parametrize("name", ["a [1]", "a\\b"])
def test_deepspeed_in_a_run_directory_with_a_strange_name(world: World, name: str) -> None:
    case = Case(world.root / name, 1, 2, name)
    save(case.run, 10, 2, "deepspeed")
    assert case.python == "checkpoint-10"
    assert by_bash(render_library(), [case], world.root) == ["checkpoint-10"]
