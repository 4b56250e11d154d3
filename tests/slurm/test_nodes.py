"""Several nodes, containers, and what a job gets of its allocation."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.slurm.conftest import SlurmWorld
from tools.clusters.slurm import SlurmCluster

Eventually = Callable[..., None]
#: Each node says what torchrun is told, in a file of its own.
TELL = 'printf "%s\\n" "$@" >$run/words$NODE_RANK; [[ $NODE_RANK == 1 ]] || step 1 1'


def job_of(run: Path) -> int:
    return int(json.loads((run / "run.json").read_text())["job_id"])


def words(run: Path, rank: int) -> dict[str, str]:
    """torchrun's options on one node."""
    lines = (run / f"words{rank}").read_text().splitlines()
    return dict(line[2:].split("=", 1) for line in lines if line.startswith("--") and "=" in line)


def test_the_nodes_meet_at_a_free_port(slurm: SlurmWorld, eventually: Eventually) -> None:
    """The port is derived from the job id; if it is in use, the next one is taken. No node name resolves here."""
    run = slurm.submit(TELL, resources__nodes=2, slurm__extra={"hold": True})
    port = 20_000 + job_of(run) % 10_000
    with socket.create_server(("127.0.0.1", port)):
        slurm.cluster.run("scontrol", "release", str(job_of(run)))
        assert slurm.prl("wait", "latest").code == 0
    first, second = words(run, 0), words(run, 1)
    assert first["master_addr"] == second["master_addr"] == "127.0.0.1"
    assert first["master_port"] == second["master_port"] == str(port + 1)
    assert (first["node_rank"], second["node_rank"]) == ("0", "1")
    assert first["nnodes"] == second["nnodes"] == "2"


def test_cpus_and_memory_reach_the_step(slurm: SlurmWorld) -> None:
    over: dict[str, Any] = {"resources__cpus_per_proc": 3, "resources__memory": "300M"}
    fake = "echo cpus=$SLURM_CPUS_PER_TASK mem=$SLURM_MEM_PER_NODE of $SLURM_CPUS_ON_NODE; step 1 1"
    done = slurm.prl(slurm.spec(**over), "--follow", FAKE=fake)
    assert done.code == 0, done.err
    assert "\ncpus=3 mem=300 of 3\n" in done.out


def test_a_node_that_ends_early_ends_no_other(
    tmp_path: Path, new_cluster: Callable[..., SlurmCluster]
) -> None:
    """With a site's WaitTime, srun would kill node 0 during its last save."""
    world = SlurmWorld(tmp_path, new_cluster(nodes=2, conf_extra="WaitTime=2"))
    try:
        fake = "[[ $NODE_RANK == 0 ]] || { ended; crash -6 SIGABRT; }; sleep 6; step 1 1"
        done = world.prl(world.spec(resources__nodes=2), "--wait", FAKE=fake)
    finally:
        world.close()
    assert done.code == 0, done.err


def test_apptainer_is_started_in_the_step(slurm: SlurmWorld) -> None:
    """apptainer cannot be installed here; a script of that name records its arguments and runs the command."""
    stand_in = slurm.root / "bin" / "apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f"#!/bin/bash\nprintf '%s\\n' \"$@\" >{slurm.root}/words\n"
        'while [[ $1 != *.sif ]]; do shift; done; shift; exec "$@"\n'
    )
    stand_in.chmod(0o755)
    container = {
        "image": "/images/swift 4.sif",
        "runtime": "apptainer",
        "mounts": ["/数据:/data:ro"],
    }
    path = f"{stand_in.parent}:{slurm.environ['PATH']}"
    done = slurm.prl(
        slurm.spec(environment__container=container), "--wait", FAKE="step 1 1", PATH=path
    )
    assert done.code == 0, done.err
    run = Path(done.out.strip())
    assert (slurm.root / "words").read_text().splitlines() == [
        *("exec", "--bind", f"{slurm.root}:{slurm.root}", "--bind", "/数据:/data:ro"),
        *("/images/swift 4.sif", "bash", f"{run}/launch.sh"),
    ]
