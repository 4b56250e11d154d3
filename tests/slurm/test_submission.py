"""sbatch is called once; refusals are explained; every value arrives as it was written."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Done
from tests.slurm.conftest import SlurmWorld

Eventually = Callable[..., None]


def jobs_of(world: SlurmWorld) -> list[str]:
    """Ids of all jobs that Slurm remembers of this world, by the place they run in."""
    answer = world.cluster.run(
        "squeue", "--noheader", "--states=all", "--Format=JobID:|,WorkDir:|", timeout=30
    )
    rows = (line.split("|") for line in answer.stdout.split("\n"))
    return [row[0] for row in rows if row[1:2] == [str(world.root)]]


def record_of(run: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((run / "run.json").read_text())
    return data


def test_a_job_from_spec_to_success(any_slurm: SlurmWorld) -> None:
    run, verdict = any_slurm.run_to_end("step 1 1")
    assert verdict["state"] == "SUCCEEDED"
    assert record_of(run)["job_id"] in jobs_of(any_slurm)
    assert any_slurm.states() == {run.name: "SUCCEEDED"}
    (line,) = (run / "logs" / "slurm.log").read_text().splitlines()
    assert f" job {record_of(run)['job_id']} on " in line


@pytest.mark.parametrize(
    ("over", "key", "words"),
    [
        (
            {"slurm__partition": "gpu2"},
            "slurm.partition",
            "did you mean 'gpu'? has: gpu, low, short",
        ),
        ({"slurm__constraint": "foo"}, "slurm.constraint", "Invalid feature specification"),
        ({"slurm__nodelist": "nodex"}, "slurm.nodelist", "Invalid node name specified"),
        ({"slurm__dependency": "afterok:zz"}, "slurm.dependency", "Job dependency problem"),
        ({"slurm__reservation": "none"}, "slurm.reservation", "Requested reservation is invalid"),
        (
            {"resources__time_limit": "5h"},
            "resources.time_limit",
            "05:00:00 is more than partition",
        ),
        ({"resources__memory": "900G"}, "resources.memory", "900G per node are asked for"),
        ({"resources__cpus_per_proc": 99}, "resources.cpus_per_proc", "99 CPUs per node"),
    ],
)
def test_a_refusal_says_what_there_is(
    slurm: SlurmWorld, over: dict[str, Any], key: str, words: str
) -> None:
    done = slurm.prl(slurm.spec(**over))
    assert_refused(slurm, done, key, words)


@pytest.mark.parametrize(("field", "choice"), [("account", "has: "), ("qos", "has: ")])
def test_accounting_enforced(slurm_accounting: SlurmWorld, field: str, choice: str) -> None:
    """An account or QoS that accounting does not know is refused, with the ones it knows."""
    done = slurm_accounting.prl(slurm_accounting.spec(**{f"slurm__{field}": "nope"}))
    assert_refused(
        slurm_accounting, done, f"slurm.{field}", "'nope': Slurm refused the job: Invalid"
    )
    assert choice in done.err


def assert_refused(world: SlurmWorld, done: Done, key: str, words: str) -> None:
    assert (done.code, done.out) == (1, ""), done.err
    assert f"error: {world.root}/job.yaml:1: {key}: " in done.err
    assert words in done.err
    assert not list(world.output.glob("v*"))
    assert jobs_of(world) == []


def test_too_many_gpus_use_up_no_job_id(slurm: SlurmWorld) -> None:
    def next_id() -> int:
        wrapped = slurm.cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=true")
        return int(wrapped.stdout)

    before = next_id()
    over: dict[str, Any] = {"resources__accelerator": "gpu", "resources__nproc_per_node": 5}
    done = slurm.prl(slurm.spec(**over))
    assert_refused(
        slurm, done, "resources.nproc_per_node", "no node of partition gpu has more than 4"
    )
    assert next_id() == before + 1


def test_check_online(slurm: SlurmWorld) -> None:
    """check --online says when Slurm would start the job, or why it would refuse it."""
    done = slurm.prl("check", slurm.spec(), "--online")
    assert done.code == 0
    assert re.search(r"Slurm would start it (now|in \w+) \(20", done.out)
    refused = slurm.prl("check", slurm.spec(slurm__partition="gpu2"), "--online", "--json")
    assert refused.code == 1
    (problem,) = refused.json["problems"]
    assert (problem["key"], problem["line"]) == ("slurm.partition", 1)
    assert not slurm.output.exists()


def test_check_online_where_all_nodes_are_drained(slurm: SlurmWorld) -> None:
    """sbatch prints the same message as for nodes that are too small."""
    nodes = ",".join(slurm.cluster.nodes)
    update = ("scontrol", "update", f"NodeName={nodes}")
    slurm.cluster.run(*update, "State=DRAIN", "Reason=disk failure | rack 3")
    try:
        done = slurm.prl("check", slurm.spec(), "--online")
    finally:
        slurm.cluster.run(*update, "State=RESUME")
    assert done.code == 1
    words = "of the 4 nodes of partition gpu that could run it, 4 drained (disk failure | rack 3)"
    assert words in done.err, done.err
    assert "no node has that many" not in done.err


def test_all_the_memory_of_a_node(slurm: SlurmWorld) -> None:
    fake = "echo mem=$SLURM_MEM_PER_NODE; step 1 1"
    done = slurm.prl(slurm.spec(resources__memory=0), "--follow", FAKE=fake)
    assert done.code == 0, done.err
    job = record_of(slurm.output / "latest")["job_id"]
    shown = slurm.cluster.run("scontrol", "show", "job", job).stdout
    assert "mem=8000M" in shown, shown


def test_a_stopped_controller_is_told_within_3_s(slurm: SlurmWorld) -> None:
    run = slurm.submit("sleep 100")
    slurm.cluster.stop_controller()
    began = time.monotonic()
    slurm.prl("--help")
    slow = 5 * (
        time.monotonic() - began
    )  # what a busy machine takes for a command and those that it calls
    for words in (
        ["submit", "job.yaml"],
        ["status"],
        ["cancel", run.name],
        ["check", "job.yaml", "--online"],
    ):
        began = time.monotonic()
        done = slurm.prl(*words)
        assert time.monotonic() - began < 3 + slow
        assert done.code == 4, (words, done)
        assert "Slurm does not answer: Slurmctld(primary) at " in done.err
    assert [path.name for path in slurm.output.glob("v*")] == [run.name]
    done = slurm.prl("status", "--json")
    assert done.json["runs"][0]["state"] in ("QUEUED", "RUNNING")
    slurm.cluster.start_controller()
    assert slurm.prl("status").code == 0


def test_a_hung_controller_gets_one_job(slurm: SlurmWorld, eventually: Eventually) -> None:
    """sbatch gives up after 10 s, and slurmctld accepts the job when it continues."""
    slurm.cluster.pause_controller()
    process = slurm.start(slurm.spec(), FAKE="step 1 1")
    time.sleep(11)
    slurm.cluster.continue_controller()
    done = slurm.finish(process)
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    assert jobs_of(slurm) == [record_of(run)["job_id"]]
    eventually(lambda: slurm.states() == {run.name: "SUCCEEDED"})


def test_killed_while_sbatch_hangs(slurm: SlurmWorld, eventually: Eventually) -> None:
    """After kill -9 of the submission the run is listed, and `status` finds its job by the token."""
    slurm.cluster.pause_controller()
    process = slurm.start(slurm.spec(), FAKE="sleep 100")
    eventually(lambda: list(slurm.output.glob("v*/run.json")))
    (run,) = slurm.output.glob("v*")
    assert record_of(run)["job_id"] is None
    time.sleep(0.5)
    process.kill()
    process.wait()
    slurm.cluster.continue_controller()
    eventually(lambda: jobs_of(slurm))
    eventually(lambda: slurm.states() == {run.name: "RUNNING"})
    assert jobs_of(slurm) == [record_of(run)["job_id"]]


def test_interrupted_while_sbatch_hangs(slurm: SlurmWorld, eventually: Eventually) -> None:
    """Ctrl-C ends the command at once; its message says that the outcome is not known."""
    slurm.cluster.pause_controller()
    process = slurm.start(slurm.spec(), FAKE="sleep 100")
    eventually(lambda: list(slurm.output.glob("v*/run.json")))
    time.sleep(0.5)
    process.send_signal(2)
    done = slurm.finish(process, timeout=10)
    assert done.code == 130
    assert "is not known yet" in done.err
    assert (slurm.output / "latest" / "run.json").exists()
    slurm.cluster.continue_controller()
    eventually(lambda: set(slurm.states().values()) == {"RUNNING"})
    assert len(jobs_of(slurm)) == 1


def test_forty_at_once(slurm: SlurmWorld, eventually: Eventually) -> None:
    spec = slurm.spec(resources__memory="50M", resources__cpus_per_proc=1)
    started = [slurm.start(spec, FAKE="step 1 1") for _ in range(40)]
    done = [slurm.finish(process, timeout=120) for process in started]
    assert {d.code for d in done} == {0}, done
    runs = [Path(d.out.strip()) for d in done]
    ids = [record_of(run)["job_id"] for run in runs]
    assert len(set(runs)) == len(set(ids)) == 40
    assert sorted(jobs_of(slurm)) == sorted(ids)
    assert sorted(int(run.name[1:].split("-")[0]) for run in runs) == list(range(40))
    eventually(lambda: set(slurm.states().values()) == {"SUCCEEDED"}, timeout=60)


def test_the_spec_beats_sbatch_s_variables(slurm: SlurmWorld) -> None:
    """SBATCH_PARTITION would override the script's line; it is used only if the spec names no partition."""
    spec = slurm.spec(slurm__partition="gpu")
    assert slurm.prl(spec, "--wait", SBATCH_PARTITION="nope", SBATCH_TIMELIMIT="1").code == 0
    done = slurm.prl(slurm.spec(), SBATCH_PARTITION="nope")
    assert done.code == 1
    assert "Invalid partition" in done.err


def test_submitting_from_inside_a_job(slurm: SlurmWorld, eventually: Eventually) -> None:
    """An outer job's SLURM_* must not become this one's."""
    inner = slurm.spec("inner.yaml", resources__memory="60M")
    slurm.submit(
        f"cd {slurm.root} && FAKE='step 1 1' prl-submit {inner} && step 1 1",
        name="outer",
        resources__memory="70M",
    )
    eventually(lambda: list(slurm.states().values()) == ["SUCCEEDED", "SUCCEEDED"], timeout=30)


def test_secrets_are_nowhere(slurm: SlurmWorld, eventually: Eventually) -> None:
    over: dict[str, Any] = {"environment__secrets": ["MY_TOKEN"]}
    done = slurm.prl(
        slurm.spec(**over), FAKE='echo "${#MY_TOKEN}"; sleep 100', MY_TOKEN="s3cr3t-value"
    )
    run = Path(done.out.strip())
    log = run / "logs" / "node0.log"
    eventually(lambda: log.exists() and "\n12\n" in log.read_text())
    job = record_of(run)["job_id"]
    shown = slurm.cluster.run("scontrol", "show", "job", "-dd", job).stdout
    shown += slurm.cluster.run(
        "squeue", "--noheader", "--Format=ALL", f"--jobs={job}", check=False
    ).stdout
    shown += subprocess.run(
        ["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True
    ).stdout
    for file in run.rglob("*"):
        shown += file.read_text(errors="replace") if file.is_file() else ""
    assert "MY_TOKEN" in shown
    assert "s3cr3t-value" not in shown
    assert slurm.prl(slurm.spec(**over)).code == 2


def test_gpus_of_two_jobs_are_disjoint(slurm: SlurmWorld, eventually: Eventually) -> None:
    over: dict[str, Any] = {
        "resources__accelerator": "gpu",
        "resources__nproc_per_node": 2,
        "slurm__nodelist": slurm.cluster.nodes[1],
    }
    fake = 'echo "GPUS=$CUDA_VISIBLE_DEVICES"; sleep 100'
    runs = []
    for name in ("one", "two"):
        done = slurm.prl(slurm.spec(name=name, **over), FAKE=fake, PRL_PREFLIGHT="off")
        assert done.code == 0, done.err
        runs.append(Path(done.out.strip()))

    def seen() -> list[str]:
        texts = [
            (run / "logs" / "node0.log").read_text()
            for run in runs
            if (run / "logs" / "node0.log").exists()
        ]
        return sorted(
            line[5:] for text in texts for line in text.splitlines() if line.startswith("GPUS=")
        )

    eventually(lambda: len(seen()) == 2)
    assert seen() == ["0,1", "2,3"]
