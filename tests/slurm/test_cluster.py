"""The cluster that the other tests use: it works as Slurm does, breaks when a test wants it, and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.clusters import slurm_configuration
from tools.clusters.processes import SlurmError
from tools.clusters.slurm import PortTakenError, SlurmCluster
from tools.clusters.slurm_configuration import ACCOUNT, QOS, cgroups_allow

if TYPE_CHECKING:
    from tests.slurm.conftest import SlurmWorld

Eventually = Callable[..., None]
NewCluster = Callable[..., SlurmCluster]


@pytest.fixture
def cluster(slurm_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """The session's cluster; it is repaired after the test."""
    try:
        yield slurm_cluster
    finally:
        slurm_cluster.heal()


def submit(cluster: SlurmCluster, script: str, *options: str) -> str:
    """Submit a batch job; its id."""
    argv = ("sbatch", "--parsable", "-o", "out.%j", *options, "--wrap", script)
    return cluster.run(*argv).stdout.strip().split(";")[0]


def output(cluster: SlurmCluster, job: str) -> str:
    """What it printed so far."""
    file = cluster.root / f"out.{job}"
    return file.read_text() if file.exists() else ""


def state(cluster: SlurmCluster, job: str) -> str:
    """The job's state, as slurmctld shows it."""
    return cluster.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").stdout.strip()


def living(root: Path) -> list[str]:
    """The command lines of processes that use a folder, found independently of the cluster's own code."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            text = command + (folder / "environ").read_bytes()
            zombie = "\nState:\tZ" in (folder / "status").read_text()
        except OSError:
            continue
        if f"{root}/".encode() in text and not zombie and folder.name != str(os.getpid()):
            found.append(command.replace(b"\0", b" ").decode(errors="replace").strip())
    return found


def test_a_job_runs_and_its_exit_code_comes_back(cluster: SlurmCluster) -> None:
    done = cluster.run("sbatch", "--wait", "-o", "out.%j", "--wrap", "exit 7", check=False)
    assert done.returncode == 7
    assert "disabled" in cluster.run("sacct", check=False).stderr


def test_two_jobs_on_a_node_get_different_gpus(
    cluster: SlurmCluster, eventually: Eventually
) -> None:
    script = "echo $CUDA_VISIBLE_DEVICES; sleep 60"
    jobs = [submit(cluster, script, "-w", cluster.nodes[1], "--gres=gpu:2") for _ in range(2)]
    eventually(lambda: all(output(cluster, job).endswith("\n") for job in jobs))
    assert sorted(output(cluster, job) for job in jobs) == ["0,1\n", "2,3\n"]


def test_a_job_outlives_a_controller_that_is_gone_and_one_that_hangs(
    cluster: SlurmCluster, eventually: Eventually
) -> None:
    job = submit(cluster, "sleep 60")
    eventually(lambda: state(cluster, job) == "RUNNING")
    cluster.stop_controller()
    assert "is DOWN" in cluster.run("scontrol", "ping", check=False).stdout
    cluster.start_controller()
    assert state(cluster, job) == "RUNNING"
    cluster.pause_controller()
    begin = time.monotonic()
    assert "timed out" in cluster.run("squeue", check=False).stderr
    assert time.monotonic() - begin > 2
    cluster.continue_controller()
    assert state(cluster, job) == "RUNNING"


def test_jobs_that_ignore_signals_are_cancelled_quickly(
    cluster: SlurmCluster, eventually: Eventually
) -> None:
    job = submit(cluster, "trap '' TERM; echo; while :; do sleep 1; done")
    submit(cluster, "sleep 60", "--array=1-50", "--gres=gpu:4")
    submit(cluster, "true", "--hold")
    eventually(lambda: output(cluster, job))
    begin = time.monotonic()
    cluster.cancel_all()
    assert time.monotonic() - begin < 4  # KillWait alone is 5
    assert not cluster.jobs()


def test_a_job_of_low_priority_is_preempted(cluster: SlurmCluster, eventually: Eventually) -> None:
    whole = ("--nodes=4", "--gres=gpu:4")
    low = submit(cluster, "echo; sleep 60", "-p", "low", *whole)
    eventually(lambda: output(cluster, low))
    high = submit(cluster, "sleep 60", *whole)
    eventually(lambda: state(cluster, high) == "RUNNING")
    assert state(cluster, low) == "PENDING"
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", low).stdout


def test_a_node_without_power_fails_its_job(
    new_cluster: NewCluster, eventually: Eventually
) -> None:
    cluster = new_cluster(nodes=2, slurmd_timeout=2, message_timeout=2)
    lost = submit(cluster, "echo; sleep 61", "--no-requeue", "-w", "node2")
    kept = submit(cluster, "echo; sleep 62", "--no-requeue", "-w", "node1")
    eventually(lambda: output(cluster, lost) and output(cluster, kept))
    cluster.kill_node("node2")
    assert [line for line in living(cluster.root) if line.startswith("sleep")] == ["sleep 62"]
    eventually(lambda: state(cluster, lost) == "NODE_FAIL", timeout=20)
    assert state(cluster, kept) == "RUNNING"
    cluster.start_node("node2")
    after = submit(cluster, "true", "-w", "node2")
    eventually(lambda: state(cluster, after) == "COMPLETED")


def test_what_a_test_broke_is_repaired(cluster: SlurmCluster) -> None:
    submit(cluster, "sleep 60", "-w", cluster.nodes[2])
    cluster.run("scontrol", "update", f"NodeName={cluster.nodes[0]}", "State=DRAIN", "Reason=test")
    cluster.kill_node(cluster.nodes[2])
    cluster.stop_controller(crash=True)
    cluster.heal()
    assert cluster.states() == dict.fromkeys(cluster.nodes, "idle")
    assert not cluster.jobs()


def test_accounting_knows_a_finished_job(
    accounting_cluster: SlurmCluster, eventually: Eventually
) -> None:
    job = submit(accounting_cluster, "exit 3", f"--account={ACCOUNT}", f"--qos={QOS}")
    query = ("sacct", "-X", "-n", "-P", "-j", job, "-o", "State,ExitCode,Account")
    eventually(lambda: accounting_cluster.run(*query).stdout == f"FAILED|3:0|{ACCOUNT}\n")


@pytest.mark.parametrize("option", ["--account=nobody", "--qos=never"])
def test_unknown_accounts_are_refused(accounting_cluster: SlurmCluster, option: str) -> None:
    with pytest.raises(SlurmError, match=r"Invalid (account|qos)"):
        submit(accounting_cluster, "true", option)


def test_jobs_outlive_the_database(
    accounting_cluster: SlurmCluster, eventually: Eventually
) -> None:
    accounting_cluster.stop_database()
    assert accounting_cluster.run("sacct", check=False).returncode == 1
    job = submit(accounting_cluster, "true")
    eventually(lambda: state(accounting_cluster, job) == "COMPLETED")
    accounting_cluster.start_database()
    query = ("sacct", "-X", "-n", "-P", "-j", job, "-o", "State")
    eventually(lambda: accounting_cluster.run(*query).stdout == "COMPLETED\n", timeout=20)


@pytest.mark.skipif(cgroups_allow() is not None, reason=str(cgroups_allow()))
def test_a_job_over_its_memory_is_killed(new_cluster: NewCluster, eventually: Eventually) -> None:
    cluster = new_cluster(nodes=1, cgroup_memory=True)
    group = Path(f"/sys/fs/cgroup/memory/slurm_{cluster.nodes[0]}")
    job = submit(cluster, f"{sys.executable} -c 'len(b\"x\" * (300 << 20))'", "--mem=64M")
    eventually(lambda: state(cluster, job) == "OUT_OF_MEMORY")
    assert group.exists()
    cluster.stop()
    assert not group.exists()


def test_two_clusters_side_by_side_and_nothing_is_left(
    new_cluster: NewCluster, eventually: Eventually
) -> None:
    one, two = new_cluster(nodes=1), new_cluster(nodes=2)
    job = submit(one, "trap '' TERM; setsid sleep 61 & echo; sleep 62")
    eventually(lambda: output(one, job))
    assert one.jobs() == [job]
    assert two.jobs() == []
    assert {"sleep 61", "sleep 62"} < set(living(one.root))
    one.stop()
    assert living(one.root) == []
    job = submit(two, "true")
    eventually(lambda: state(two, job) == "COMPLETED")
    two.stop()
    assert living(two.root) == []


def test_killed_tests_leave_no_daemons(
    tmp_path_factory: pytest.TempPathFactory, eventually: Eventually
) -> None:
    root = tmp_path_factory.mktemp("slurm")
    starter = f"""
import pathlib, time
from tools.clusters.slurm import SlurmCluster
cluster = SlurmCluster.start(pathlib.Path({str(root)!r}), nodes=1)
cluster.run("sbatch", "--wrap", "echo >started; sleep 60")
time.sleep(60)
"""
    project = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", starter], cwd=project) as process:
        eventually(lambda: (root / "started").exists())
        process.send_signal(signal.SIGKILL)
    eventually(lambda: living(root) == [])


def test_a_bad_configuration_is_shown(new_cluster: NewCluster) -> None:
    with pytest.raises(SlurmError, match="NoSuchThing"):
        new_cluster(nodes=1, conf_extra="NoSuchThing=1")


@pytest.mark.parametrize("daemon", ["controller", "node"])
def test_a_taken_port_is_told_apart(
    tmp_path_factory: pytest.TempPathFactory, cluster: SlurmCluster, daemon: str
) -> None:
    root = tmp_path_factory.mktemp("slurm")
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        ports = (port, port + 1) if daemon == "controller" else (port + 1, port)
        layout = cluster.layout._replace(
            root=root, nodes=("node1",), controller_port=ports[0], node_ports=ports[1:]
        )
        with SlurmCluster(layout) as other, pytest.raises(PortTakenError):
            other.bring_up()


def test_a_world_talks_to_its_cluster(any_slurm: SlurmWorld) -> None:
    listed = any_slurm.finish(any_slurm.popen(["sinfo", "-h", "-p", "gpu", "-o", "%D %T"]))
    assert listed.out == "4 idle\n"
    any_slurm.finish(any_slurm.popen(["sbatch", "--wrap", "sleep 60"]))
    assert len(any_slurm.cluster.jobs()) == 1
    any_slurm.close()
    assert any_slurm.cluster.jobs() == []


@pytest.fixture
def without_mariadb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has Slurm and slurmdbd, but no MariaDB: the daemons are looked for in one folder."""
    for program in (*slurm_configuration.PROGRAMS, "slurmdbd"):
        (tmp_path / program).symlink_to(slurm_configuration.find_program(program))
    monkeypatch.setattr(slurm_configuration, "PATH", str(tmp_path))


@pytest.mark.usefixtures("without_mariadb")
def test_a_cluster_without_accounting_needs_no_mariadb(new_cluster: NewCluster) -> None:
    cluster = new_cluster(nodes=1)
    assert cluster.states() == {"node1": "idle"}


@pytest.mark.usefixtures("without_mariadb")
def test_accounting_says_in_a_sentence_that_mariadb_is_missing(new_cluster: NewCluster) -> None:
    with pytest.raises(SlurmError) as caught:
        new_cluster(nodes=1, accounting=True)
    assert str(caught.value) == (
        "Slurm's accounting needs mariadbd, mariadb, mariadb-install-db, not installed here:"
        " sudo tools/install-slurm.sh"
    )
