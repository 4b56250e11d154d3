"""A sweep on this machine: the waiting queue gives each run its GPUs; a real queue, real launch.sh, real kills."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from prl_submit.backends.local.gpu_pool import gpus_in_use
from prl_submit.backends.local.processes import is_alive
from prl_submit.backends.waiting.queue_file import read_queue
from prl_submit.runs.record import LocalProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import World

    Eventually = Callable[..., None]

SEEDS = int(os.environ.get("PRL_TEST_SEEDS", "1"))
#: Notes which GPUs the run sees, and goes on until the test makes a file.
UNTIL_TOLD = (
    'echo "$CUDA_VISIBLE_DEVICES" >$run/gpus; step 1 1; '
    "until [[ -e $run/../go ]]; do sleep 0.05; done; ended"
)


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """One test at a time: queues share the GPUs of the machine, and all tests name theirs alike."""
    with (Path(tempfile.gettempdir()) / "prl-tests-gpus.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def gpus(world: World, count: int, **environ: str) -> None:
    """Let nvidia-smi list so many GPUs."""
    folder = world.root / "smi"
    folder.mkdir(exist_ok=True)
    lines = "".join(f"echo 'GPU {n}: NVIDIA H100 (UUID: GPU-{n})'\n" for n in range(count))
    (folder / "nvidia-smi").write_text(f"#!/bin/bash\n{lines}")
    (folder / "nvidia-smi").chmod(0o755)
    world.environ |= {"PATH": f"{folder}:{world.environ['PATH']}", **environ}


def sweep(world: World, grid: dict[str, list[Any]], file: str = "lr.yaml", **over: Any) -> Path:
    """A spec of a sweep on GPUs."""
    section = {**({"grid": grid} if grid else {}), **over.pop("sweep", {})}
    usual = {"name": "lr", "resources__accelerator": "gpu", "swift__num_generations": 2}
    return world.spec(file, sweep=section, **usual | over)


def runs_of(world: World) -> list[Path]:
    found = (path for path in world.output.glob("v*") if path.is_dir())
    return sorted(found, key=lambda path: int(path.name[1:].partition("-")[0]))


def reasons(world: World, name: str = "lr") -> list[str]:
    """`STATE reason` of each run."""
    runs = world.prl("status", name, "--json").json["runs"]
    return [f"{run['state']} {run['reason'] or ''}".strip() for run in runs]


def trainings(run: Path) -> int:
    """How often launch.sh of the run has begun."""
    log = run / "logs" / "node0.log"
    return log.read_text().count(", node 0 of 1, restarts ") if log.exists() else 0


def queue_of(world: World) -> LocalProcess:
    (folder,) = world.output.glob("sweeps/lr-*")
    queue = read_queue(folder)
    assert queue is not None
    return queue.process


def test_each_run_gets_gpus_of_its_own(world: World, eventually: Eventually) -> None:
    gpus(world, 4)
    values = {"resources.nproc_per_node": [1, 2, 4, 1], "swift.seed": [1, 2, 3, 4]}
    spec = sweep(world, {}, sweep={"zip": values})
    done = world.prl(spec, FAKE=UNTIL_TOLD)
    assert done.code == 0, done.err
    assert "they wait in a queue on this machine, which must stay up\n  queue:   " in done.err
    first, second, third, fourth = runs_of(world)
    eventually(lambda: (fourth / "gpus").exists() and (second / "gpus").exists(), 60)
    eventually(lambda: reasons(world)[2].startswith("QUEUED waiting for 4"))
    assert (
        reasons(world)[2]
        == 'QUEUED waiting for 4 free GPUs: 3 of 4 runs of the sweep "lr" are running'
    )
    seen = {path.name: (path / "gpus").read_text().strip() for path in (first, second, fourth)}
    assert list(seen.values()) == ["0", "1,2", "3"]
    assert {"0", "1", "2", "3"} <= gpus_in_use()
    (world.output / "go").touch()
    assert world.prl("wait", "lr").code == 0
    assert (third / "gpus").read_text().strip() == "0,1,2,3"
    assert [trainings(run) for run in runs_of(world)] == [1, 1, 1, 1]
    assert "CUDA_VISIBLE_DEVICES=" not in (first / "launch.sh").read_text()
    log = next(world.output.glob("sweeps/lr-*/queue.log")).read_text()
    assert f"{second.name} was started on GPU 1,2: job " in log


def test_two_sweeps_and_a_job_share_the_machine(world: World, eventually: Eventually) -> None:
    gpus(world, 4, CUDA_VISIBLE_DEVICES="3,2,1,0")
    alone = world.spec("alone.yaml", resources__accelerator="gpu", local__cuda_visible_devices="2")
    assert world.prl(alone, FAKE=UNTIL_TOLD).code == 0
    for name in ("lr", "other"):
        spec = sweep(world, {"swift.seed": [1, 2, 3]}, f"{name}.yaml", name=name)
        assert world.prl(spec, FAKE=UNTIL_TOLD).code == 0
    eventually(lambda: len(list(world.output.glob("v*/gpus"))) == 4, 60)
    time.sleep(1.5)
    seen = [path.read_text().strip() for path in world.output.glob("v*/gpus")]
    assert sorted(seen) == ["0", "1", "2", "3"]
    waiting = [words for name in ("lr", "other") for words in reasons(world, name) if name in words]
    assert len(waiting) == 3  # GPUs for three of six; either sweep may have got all of them
    assert all(words.startswith("QUEUED waiting for a free GPU: ") for words in waiting)
    (world.output / "go").touch()
    assert world.prl("wait", "lr", "other").code == 0


def test_a_run_that_never_fits_is_refused(world: World) -> None:
    gpus(world, 4)
    chosen = {"local__cuda_visible_devices": "0,1"}
    done = world.prl(sweep(world, {"resources.nproc_per_node": [1, 4]}, **chosen))
    assert done.code in (1, 2)
    assert "4 GPUs are needed, one per process" in done.err
    assert runs_of(world) == []
    assert list(world.output.glob("sweeps/*")) == []


def test_max_parallel_and_the_cpu(world: World, eventually: Eventually) -> None:
    cpu: dict[str, Any] = {"resources__accelerator": "cpu"}
    assert world.prl(sweep(world, {"swift.seed": [1, 2]}, **cpu), FAKE=UNTIL_TOLD).code == 0
    words = "QUEUED waiting for its turn (one at a time on the CPU, without max_parallel)"
    eventually(
        lambda: reasons(world)[1] == f'{words}: 1 of 2 runs of the sweep "lr" is running', 20
    )
    most: dict[str, Any] = {"sweep": {"max_parallel": 2}, "name": "two"}
    spec = sweep(world, {"swift.seed": [1, 2, 3]}, **cpu, **most)
    assert world.prl(spec, FAKE=UNTIL_TOLD).code == 0
    words = (
        'QUEUED waiting for its turn (max_parallel 2): 2 of 3 runs of the sweep "two" are running'
    )
    eventually(lambda: reasons(world, "two")[2] == words, 60)
    (world.output / "go").touch()
    assert world.prl("wait", "lr", "two").code == 0


def test_cancel_of_a_sweep_and_resume(world: World, eventually: Eventually) -> None:
    gpus(world, 1)
    spec = sweep(world, {"swift.seed": [1, 2, 3]})
    assert world.prl(spec, FAKE="step 1 1; sleep 60").code == 0
    eventually(lambda: reasons(world)[0].startswith("RUNNING"), 60)
    queue = queue_of(world)
    done = world.prl("cancel", "lr")
    assert done.code == 0, done.err
    assert {reason.partition(" ")[0] for reason in reasons(world)} == {"CANCELLED"}
    eventually(lambda: not is_alive(queue))
    assert [trainings(run) for run in runs_of(world)] == [1, 0, 0]
    assert world.prl("resume", "lr", FAKE="step 1 1; ended").code == 0
    assert world.prl("wait", "lr").code == 0
    assert [trainings(run) for run in runs_of(world)] == [2, 1, 1]


def test_ctrl_c_after_the_queue_has_started_all(world: World, eventually: Eventually) -> None:
    gpus(world, 2)
    process = world.start(sweep(world, {"swift.seed": [1, 2]}), "--wait", FAKE=UNTIL_TOLD)
    eventually(lambda: len(list(world.output.glob("v*/gpus"))) == 2, 60)
    queue = queue_of(world)
    eventually(lambda: not is_alive(queue))
    process.send_signal(signal.SIGINT)
    done = world.finish(process)
    assert done.code == 130
    assert "\ninterrupted: lr goes on\n" in done.err
    assert {reason.partition(" ")[0] for reason in reasons(world)} == {"RUNNING"}


@pytest.mark.parametrize("flag", ["--wait", "--follow"])
def test_sigterm_to_the_waiting_command_ends_runs_and_queue(
    world: World, eventually: Eventually, flag: str
) -> None:
    """How a container platform stops what it started: the first run has ended, two train, two wait."""
    gpus(world, 2)
    spec = sweep(world, {"swift.seed": [1, 2, 3, 4, 5]})
    fake = "step 1 1; [[ $run == *v0-* ]] && { ended; exit 0; }; touch $run/ready; sleep 60"
    process = world.start(spec, flag, FAKE=fake)
    eventually(lambda: len(list(world.output.glob("v*/ready"))) == 2, 60)
    queue = queue_of(world)
    process.terminate()
    done = world.finish(process, timeout=60)
    assert done.code == 1, done.err
    assert "got SIGTERM: 2 runs that waited are cancelled\n" in done.err
    assert "got SIGTERM: handed on to 2 of the jobs, waiting for their end\n" in done.err
    states = [reason.partition(" ")[0] for reason in reasons(world)]
    assert states == ["SUCCEEDED", "FAILED", "FAILED", "CANCELLED", "CANCELLED"]
    assert [trainings(run) for run in runs_of(world)] == [1, 1, 1, 0, 0]
    eventually(lambda: not is_alive(queue))
    assert world.alive() == []


def test_resume_while_the_queue_lives_takes_its_runs_over(
    world: World, eventually: Eventually
) -> None:
    gpus(world, 1)
    fake = f"[[ $run == *v0-* && ! -e $run/../go ]] && exit 3; {UNTIL_TOLD}"
    assert world.prl(sweep(world, {"swift.seed": [1, 2, 3]}), FAKE=fake).code == 0
    eventually(
        lambda: [r.partition(" ")[0] for r in reasons(world)][:2] == ["FAILED", "RUNNING"], 20
    )
    before = queue_of(world)
    done = world.prl("resume", "lr", FAKE=fake)
    assert done.code == 0, done.err
    assert queue_of(world) != before
    assert not is_alive(before)
    assert [reason.partition(" ")[0] for reason in reasons(world)] == [
        "QUEUED",
        "RUNNING",
        "QUEUED",
    ]
    (world.output / "go").touch()
    assert world.prl("wait", "lr").code == 0
    assert [trainings(run) for run in runs_of(world)] == [2, 1, 1]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_kills_at_random_moments(world: World, seed: int) -> None:
    """The submitter and the queues are killed again and again: each run trains once, and none is forgotten."""
    chance = random.Random(seed)  # moments, no secrets
    gpus(world, 2)
    spec = sweep(world, {"swift.seed": [1, 2, 3, 4, 5, 6]})
    submitter = world.start(spec, FAKE="step 1 1; sleep 0.3; ended")
    deadline = time.monotonic() + 20
    while not list(world.output.glob("sweeps/lr-*/sweep.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(chance.random() * 0.3)
    submitter.kill()
    world.finish(submitter)
    for _ in range(30):
        time.sleep(chance.random() * 1.2)
        if set(world.states().values()) == {"SUCCEEDED"}:
            break
        for folder in world.output.glob("sweeps/lr-*"):
            queue = read_queue(folder)
            if queue is not None and is_alive(queue.process):
                os.kill(queue.process.pid, signal.SIGKILL)
        world.prl("resume", "lr", FAKE="step 1 1; sleep 0.3; ended")
    assert world.prl("wait", "lr").code == 0
    assert len(runs_of(world)) == 6
    assert [trainings(run) for run in runs_of(world)] == [1] * 6
    records = [json.loads((run / "run.json").read_text()) for run in runs_of(world)]
    assert all(record["restarts"] == 0 for record in records)


def test_a_run_that_was_cancelled_while_the_queue_lives(
    world: World, eventually: Eventually
) -> None:
    gpus(world, 1)
    assert world.prl(sweep(world, {"swift.seed": [1, 2, 3]}), FAKE=UNTIL_TOLD).code == 0
    assert world.prl("cancel", "v1").code == 0
    assert reasons(world)[1].startswith("CANCELLED cancelled by ")
    assert world.prl("resume", "lr", FAKE=UNTIL_TOLD).code == 0
    words = 'QUEUED waiting for a free GPU: 1 of 3 runs of the sweep "lr" is running'
    eventually(lambda: reasons(world)[1] == words)
    (world.output / "go").touch()
    assert world.prl("wait", "lr").code == 0
    assert [trainings(run) for run in runs_of(world)] == [1, 1, 1]


def test_a_sweep_after_a_run_and_a_run_after_a_sweep(world: World) -> None:
    gpus(world, 2)
    alone = world.spec("alone.yaml", name="alone")
    assert world.prl(alone, FAKE=UNTIL_TOLD).code == 0
    spec = sweep(world, {"swift.seed": [1, 2]})
    assert world.prl(spec, "--after", "alone", FAKE="step 1 1; ended").code == 0
    last = world.spec("last.yaml", name="last")
    assert world.prl(last, "--after", "lr", FAKE="step 1 1; ended").code == 0
    assert reasons(world) == ['QUEUED waiting for v0: no run of the sweep "lr" is running'] * 2
    assert reasons(world, "last") == ["QUEUED waiting for v1 and v2"]
    (world.output / "go").touch()
    assert world.prl("wait", "last").code == 0
    assert set(world.states().values()) == {"SUCCEEDED"}


def test_one_run_of_a_sweep_is_resumed_through_the_queue(world: World) -> None:
    gpus(world, 1)
    fake = (
        'echo "$CUDA_VISIBLE_DEVICES" >>$run/gpus; [[ -e $run/checkpoint-1 || $run == *v1-* ]] && '
        "{ step 2 2; ended; exit 0; }; checkpoint 1 2; step 1 2; exit 3"
    )
    assert world.prl(sweep(world, {"swift.seed": [1, 2]}), FAKE=fake).code == 0
    assert world.prl("wait", "lr").code == 1
    done = world.prl("resume", "v0", "--wait", FAKE=fake)
    assert done.code == 0, done.err
    assert "continues from checkpoint-1" in done.err
    first, second = runs_of(world)
    assert (first / "gpus").read_text().split() == ["0", "0"]
    assert [trainings(first), trainings(second)] == [2, 1]
