"""Sweeps as job arrays of the real Slurm."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.slurm.conftest import SlurmWorld
from tools.clusters.slurm import SlurmCluster

Eventually = Callable[..., None]

#: So small that many tasks fit onto one node.
SMALL: dict[str, Any] = {"resources__memory": "20M", "resources__cpus_per_proc": 1}
#: Each run writes down its task.
TELLS = 'echo "$SLURM_ARRAY_TASK_ID" >$run/task; '


def sweep_of(count: int, **keys: Any) -> dict[str, Any]:
    """The section `sweep` for so many runs."""
    return {"grid": {"swift.seed": list(range(1, count + 1))}, **keys}


def submit(world: SlurmWorld, fake: str, *words: object, **over: Any) -> list[Path]:
    """Submit a sweep; its run directories, by index."""
    done = world.prl(world.spec(**over), *words, FAKE=fake)
    assert done.code == 0, done.err
    told = json.loads((Path(done.out.strip()) / "sweep.json").read_text())
    return [world.output / run["run"] for run in told["runs"]]


def record_of(run: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((run / "run.json").read_text())
    return data


def job_of(run: Path) -> str:
    job: str = record_of(run)["job_id"]
    return job


def states(world: SlurmWorld) -> list[str]:
    """The states of the runs by their numbers."""
    return [run["state"] for run in listed(world)]


def listed(world: SlurmWorld) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = world.prl("status", "fake", "--json").json["runs"]
    return runs


def counted(world: SlurmWorld, *programs: str) -> Path:
    """Put wrappers around Slurm's commands into PATH; the file that gets a line for each call."""
    log = world.root / "calls"
    folder = world.root / "wrappers"
    folder.mkdir()
    for name in programs:
        text = f'#!/bin/sh\necho {name} "$@" >>{log}\nexec {shutil.which(name)} "$@"\n'
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    world.environ["PATH"] = f"{folder}:{world.environ['PATH']}"
    return log


def test_a_sweep_is_one_array(any_slurm: SlurmWorld, eventually: Eventually) -> None:
    """Each task is its run's: log, job id, exit code. At most two run at a time."""
    calls = counted(any_slurm, "sbatch")
    busy = any_slurm.root / "busy"
    busy.mkdir()
    fake = (
        f"{TELLS} touch {busy}/$SLURM_ARRAY_TASK_ID; ls {busy} | wc -l >$run/at_once; sleep 1; "
        f"rm {busy}/$SLURM_ARRAY_TASK_ID; step 1 1; [[ $SLURM_ARRAY_TASK_ID != 3 ]] || exit 7"
    )
    runs = submit(any_slurm, fake, sweep=sweep_of(5, max_parallel=2), **SMALL)
    assert len(calls.read_text().splitlines()) == 1
    array = job_of(runs[0]).partition("_")[0]
    assert [job_of(run) for run in runs] == [f"{array}_{number}" for number in range(1, 6)]
    assert any_slurm.prl("wait", "fake").code == 1
    assert states(any_slurm) == ["SUCCEEDED", "SUCCEEDED", "FAILED", "SUCCEEDED", "SUCCEEDED"]
    assert [(run / "task").read_text().strip() for run in runs] == ["1", "2", "3", "4", "5"]
    assert max(int((run / "at_once").read_text()) for run in runs) == 2
    assert json.loads((runs[2] / "exit.json").read_text())["exit_code"] == 7
    for run in runs:
        (line,) = [x for x in (run / "logs" / "slurm.log").read_text().splitlines() if " on " in x]
        assert f" job {job_of(run)} on " in line
        assert (run / "logs" / ".job").read_text().strip() == job_of(run)
    names = any_slurm.prl("status", array, "--json").json["runs"]
    assert [run["job_id"] for run in names] == [job_of(run) for run in runs]


def test_an_array_for_each_request(slurm: SlurmWorld, eventually: Eventually) -> None:
    """Of four runs one may run at a time, so the second array waits for the first."""
    section = {"grid": {"resources.cpus_per_proc": [1, 2], "swift.seed": [1, 2]}, "max_parallel": 1}
    over = SMALL | {"resources__cpus_per_proc": 1}
    runs = submit(slurm, "sleep 1; step 1 1", sweep=section, **over)
    arrays = [job_of(run).partition("_")[0] for run in runs]
    assert arrays[0] == arrays[1] != arrays[2] == arrays[3]
    words = "waits for its turn: the sweep runs at most 1 at a time"
    eventually(lambda: sum(words in (run["reason"] or "") for run in listed(slurm)) == 3)
    assert slurm.prl("wait", "fake").code == 0
    started = [run["started_at"] for run in listed(slurm)]
    assert started == sorted(started)


def test_out_of_time_only_the_task_starts_again(slurm: SlurmWorld, eventually: Eventually) -> None:
    """Slurm gives the last task the id of the whole array, but only that task is stopped and put back."""
    fake = (
        "[[ $PRL_SUBMIT_RESTARTS == 0 ]] || { step 2 2; exit 0; }; "
        "trap 'touch $run/heard; exit 1' TERM; step 1 2; checkpoint 1 2; while :; do sleep 0.2; done"
    )
    runs = submit(slurm, fake, sweep=sweep_of(2), restarts__max=2, **SMALL)
    last = job_of(runs[1])
    eventually(lambda: all((r / "checkpoint-1" / "rng_state.pth").exists() for r in runs))
    raw = slurm.cluster.run("squeue", "-h", "-j", last, "-o", "%A").stdout.strip()
    assert raw == last.partition("_")[0]
    slurm.cluster.run("scancel", "--batch", "--signal=USR1", last)  # Slurm's warning
    eventually(lambda: states(slurm)[1] == "SUCCEEDED", timeout=60)
    first, second = listed(slurm)
    assert (first["state"], first["restarts"], second["restarts"]) == ("RUNNING", 0, 1)
    assert [(run / "heard").exists() for run in runs] == [False, True]
    assert "continues from checkpoint-1" in (runs[1] / "logs" / "node0.log").read_text()
    assert slurm.prl("cancel", runs[0], "--wait").code == 0
    assert states(slurm) == ["CANCELLED", "SUCCEEDED"]


def test_one_scancel_ends_the_sweep(any_slurm: SlurmWorld, eventually: Eventually) -> None:
    """Those that run and those that never began."""
    calls = counted(any_slurm, "scancel", "squeue")
    runs = submit(any_slurm, "step 1 9; sleep 300", sweep=sweep_of(6, max_parallel=2), **SMALL)
    eventually(lambda: states(any_slurm).count("RUNNING") == 2)
    eventually(lambda: all((run / "logs" / "node0.log").exists() for run in runs[:2]))
    calls.unlink()
    assert any_slurm.prl("cancel", "fake").code == 0
    ended = [line for line in calls.read_text().splitlines() if line.startswith("scancel")]
    array = job_of(runs[0]).partition("_")[0]
    assert ended == [f"scancel {array}_[1-6]"]
    assert any_slurm.prl("wait", "fake").code == 1
    assert states(any_slurm) == ["CANCELLED"] * 6
    assert not (runs[5] / "logs" / "slurm.log").exists()
    assert any_slurm.cluster.jobs() == []


def test_the_rest_of_a_sweep_is_a_new_array(slurm: SlurmWorld, eventually: Eventually) -> None:
    """`resume SWEEP` starts what has not succeeded: with new ids, in the same directories."""
    fake = "[[ $SLURM_ARRAY_TASK_ID != 2 || -e $run/2nd ]] || { touch $run/2nd; exit 3; }; step 1 1"
    runs = submit(slurm, fake, sweep=sweep_of(3), **SMALL)
    assert slurm.prl("wait", "fake").code == 1
    before = [job_of(run) for run in runs]
    done = slurm.prl("resume", "fake", "--wait", FAKE=fake)
    assert done.code == 0, done.err
    after = [job_of(run) for run in runs]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] != before[1]
    assert after[1].endswith("_2")
    assert states(slurm) == ["SUCCEEDED"] * 3


def test_a_run_of_a_sweep_by_hand(slurm: SlurmWorld, eventually: Eventually) -> None:
    """`sbatch job.sbatch` of one run is a job of its own, which `status` follows."""
    runs = submit(slurm, "step 1 1", sweep=sweep_of(2), **SMALL)
    assert slurm.prl("wait", "fake").code == 0
    slurm.environ["SLURM_ARRAY_TASK_ID"] = "9"  # as in the shell of a task
    process = slurm.popen(["sbatch", "--parsable", runs[1] / "job.sbatch"], FAKE="sleep 300")
    job = slurm.finish(process).out.strip()
    eventually(lambda: [r["state"] for r in listed(slurm)] == ["SUCCEEDED", "RUNNING"])
    assert listed(slurm)[1]["job_id"] == job
    assert slurm.prl("cancel", job, "--wait").code == 0
    assert states(slurm) == ["SUCCEEDED", "CANCELLED"]


def test_a_hung_controller_gets_one_array(slurm: SlurmWorld, eventually: Eventually) -> None:
    """The submission is killed while sbatch waits; `status` finds the tasks by the array's token."""
    slurm.cluster.pause_controller()
    spec = slurm.spec(sweep=sweep_of(3), **SMALL)
    process = slurm.start(spec, FAKE="sleep 300")

    def ordered() -> bool:
        files = list(slurm.output.glob("v*/run.json"))
        return len(files) == 3 and all(json.loads(f.read_text())["array"] for f in files)

    eventually(ordered)
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    slurm.cluster.continue_controller()
    eventually(lambda: states(slurm) == ["RUNNING"] * 3, timeout=30)
    runs = sorted(slurm.output.glob("v*"))
    assert [job_of(run).partition("_")[2] for run in runs] == ["1", "2", "3"]
    assert slurm.prl("resume", "fake").code in (0, 1)
    assert len(slurm.cluster.jobs()) == 3


def test_a_site_with_small_arrays_and_with_none(
    new_cluster: Callable[..., SlurmCluster], tmp_path: Path
) -> None:
    """MaxArraySize 4: the numbers of tasks are 0 to 3. 0: there are no arrays, and the waiting queue submits."""
    world = SlurmWorld(tmp_path, new_cluster(nodes=1))
    try:
        limit_arrays(world.cluster, 4)
        runs = submit(world, "step 1 1", sweep=sweep_of(6), **SMALL)
        assert [job_of(run).partition("_")[2] for run in runs] == ["1", "2", "3", "0", "1", "2"]
        assert world.prl("wait", "fake").code == 0
        assert len({job_of(run).partition("_")[0] for run in runs}) == 2
        limit_arrays(world.cluster, 0)
        runs = submit(world, "step 1 1", sweep=sweep_of(2, max_parallel=1), **SMALL)
        assert world.prl("wait", "fake").code == 0
        assert [job_of(run).isdecimal() for run in runs] == [True, True]
    finally:
        world.close()


def limit_arrays(cluster: SlurmCluster, size: int) -> None:
    """Change MaxArraySize, which slurmctld reads when it starts."""
    text = re.sub(r"MaxArraySize=\d+", f"MaxArraySize={size}", cluster.conf.read_text())
    cluster.conf.write_text(text)
    cluster.stop_controller()
    cluster.start_controller()


def test_a_thousand_runs(slurm: SlurmWorld) -> None:
    """One sbatch, one squeue, one scancel; and no task is missing in any of them."""
    calls = counted(slurm, "sbatch", "squeue", "scancel", "sacct")
    slurm.cluster.run("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    try:
        runs = submit(slurm, "step 1 1", sweep=sweep_of(1000, max_parallel=8), **SMALL)
        assert [job_of(run).partition("_")[2] for run in runs] == [str(n) for n in range(1, 1001)]
        assert len(slurm.cluster.jobs()) == 1000
        for run in runs[1::2]:
            os.rename(run / "run.json", run / "hidden")  # so `cancel` takes every other task
        assert slurm.prl("cancel", "fake").code == 0
        for run in runs[1::2]:
            os.rename(run / "hidden", run / "run.json")
        assert states(slurm) == ["CANCELLED", "QUEUED"] * 500
        assert slurm.prl("cancel", "fake").code == 0
        assert states(slurm) == ["CANCELLED"] * 1000
    finally:
        slurm.cluster.run("scontrol", "update", "PartitionName=gpu", "State=UP")
    lines = calls.read_text().splitlines()
    assert sum(line.startswith("sbatch") for line in lines) == 1
    assert sum(line.startswith("scancel") for line in lines) == 2
