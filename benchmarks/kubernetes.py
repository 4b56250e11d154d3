"""How long prl-submit's commands take on a Kubernetes cluster of their own, beside the API's own answers.

usage: python -m benchmarks.kubernetes [--rounds N]     exit 1 if a budget is exceeded
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.base import ROOT, Command, in_turn, install
from benchmarks.table import Row, follow, report
from tests.conftest import make_environment
from tests.kubernetes.proxy import counting
from tools.clusters.kubernetes import KubernetesCluster, available

RUNS = 500
#: The runs of a sweep, and in how many milliseconds their PyTorchJobs must be there.
SWEPT = 64
SWEEP_MS = 10_000
#: So many milliseconds more than `render` may `submit` take.
SUBMIT_MS = 400
STATUS_MS = 1000
LINES = 20
LINE_MS = 300
IMAGE = "registry.example/ms-swift:4.6"
#: The pauses are random, so that lines do not come in step with the looks of `logs -f`.
FAKE = f"""
for i in {{1..{LINES}}}; do sleep 0.$((RANDOM % 300 + 300)); echo "at $EPOCHREALTIME"; done
step 1 1
"""
BASE = {
    "name": "lines",
    "backend": "kubernetes",
    "resources": {"accelerator": "cpu"},
    "swift": {"rlhf_type": "grpo", "model": "org/name", "dataset": ["org/data"]}
    | {"num_generations": 2, "per_device_train_batch_size": 2},
}


class Site(NamedTuple):
    """A cluster, a namespace in it, and the prl-submit that submits there."""

    folder: Path
    program: Path
    cluster: KubernetesCluster
    namespace: str
    rounds: int

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig whose context names the namespace."""
        return self.folder / "kubeconfig"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of all measured commands."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def medians(self, commands: Mapping[str, Command]) -> dict[str, float]:
        """The median time of each command, in milliseconds."""
        results = in_turn(commands, self.rounds, self.environ, lambda: None)
        return {name: statistics.median(s for s, _ in runs) * 1e3 for name, runs in results.items()}

    def call(self, *words: str | Path) -> str:
        """Run a command; what it prints. Ends the program if the command fails."""
        done = subprocess.run(
            words, cwd=ROOT, env=self.environ, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"{words} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def spec(self, name: str, volume: Path, fake: str, **over: object) -> Path:
        """Write a job whose torchrun only runs `fake`, with its output root on the volume; the spec's path."""
        venv = self.folder / "fake"
        if not venv.exists():
            make_environment(venv)
        output = self.folder / name
        for folder in (output, volume):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        spec = BASE | {
            "output": str(output),
            "environment": {"venv": str(venv), "env": {"FAKE": fake}},
            "kubernetes": {
                "image": IMAGE,
                "volumes": [{"hostPath": str(volume), "mountPath": str(output)}],
            },
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(spec | over))
        return path


def submission(site: Site) -> Iterator[Row]:
    """`submit` beside `render` and kubectl. The training operator is stopped, so that no job runs."""
    site.cluster.stop_operator()
    spec = site.spec("submitted", site.folder / "submitted", "step 1 1")
    found = site.medians(
        {
            "render": [site.program, "render", spec],
            "kubectl": ["kubectl", "get", "pods"],
            "submit": [site.program, spec],
        }
    )
    yield Row("render", found["render"])
    yield Row("kubectl get pods", found["kubectl"])
    yield Row("submit", found["submit"], found["render"] + SUBMIT_MS)
    site.cluster.heal([site.namespace])


def sweeping(site: Site) -> Iterator[Row]:
    """A whole sweep: its directories and its PyTorchJobs, one list for its states, and its end."""
    site.cluster.stop_operator()
    grid = {"swift.seed": list(range(1, SWEPT + 1))}
    spec = site.spec("swept", site.folder / "swept", "step 1 1", sweep={"grid": grid})
    root = ["--output-root", str(site.folder / "swept")]
    path = f"/apis/kubeflow.org/v1/namespaces/{site.namespace}/pytorchjobs"
    orders: dict[str, Command] = {
        f"submit of a sweep of {SWEPT}": [site.program, spec],
        f"status of a sweep of {SWEPT}": [site.program, "status", "lines", *root],
        f"cancel of a sweep of {SWEPT}": [site.program, "cancel", "lines", *root],
    }
    for order, (name, command) in enumerate(orders.items()):
        started = time.perf_counter()
        site.call(*command)
        taken = (time.perf_counter() - started) * 1e3
        left = len(site.cluster.api.get(path)["items"])
        if left != (0 if order == 2 else SWEPT):
            sys.exit(f"{name}: there are {left} jobs")
        yield Row(name, taken, SWEEP_MS)
    site.cluster.heal([site.namespace])


def following(site: Site, name: str, volume: Path) -> Iterator[Row]:
    """How long a line takes from the job that writes it to the terminal of `logs -f`."""
    run = site.call(site.program, site.spec(name, volume, FAKE))
    delays = list(follow([site.program, "logs", "-f", run], site.environ))
    if len(delays) != LINES:
        sys.exit(f"{len(delays)} of {LINES} lines were followed")
    yield Row(
        f"a line on the follower's terminal, {name}: median of {LINES}", statistics.median(delays)
    )
    yield Row(f"a line on the follower's terminal, {name}: worst of {LINES}", max(delays), LINE_MS)


def asking(site: Site) -> Iterator[Row]:
    """`status` of many running jobs, beside the one list that it requests."""
    site.cluster.stop_operator()
    spec = site.spec("many", site.folder / "many", "step 1 1")
    many = """
import sys
from prl_submit.cli import main
for _ in range(int(sys.argv[2])):
    try:
        main(["submit", sys.argv[1]])
    except SystemExit as end:
        if end.code:
            sys.exit(end.code)
"""
    site.call(site.program.with_name("python"), "-c", many, spec, str(RUNS))
    path = f"/apis/kubeflow.org/v1/namespaces/{site.namespace}/pytorchjobs"
    api = site.cluster.api
    names = [job["metadata"]["name"] for job in api.get(path)["items"]]
    running = {
        "status": {
            "conditions": [{"type": "Running", "status": "True"}],
            "replicaStatuses": {"Master": {"active": 1}},
        }
    }
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: api.merge(f"{path}/{name}/status", running), names))
    command: Command = [site.program, "status", "--output-root", site.folder / "many"]
    with counting(site.kubeconfig) as requests:
        listed = site.call(*command)
    if listed.count(" RUNNING ") != RUNS:
        sys.exit(f"{listed.count(' RUNNING ')} of {RUNS} runs are running")
    started = time.perf_counter()
    size = len(json.dumps(api.get(path)))
    alone = (time.perf_counter() - started) * 1e3
    found = site.medians({"status": command})
    yield Row(f"status of {RUNS} runs: requests", len(requests), 1, "")
    yield Row(f"the list of {RUNS} jobs alone, {size / 1e6:.0f} MB", alone)
    yield Row(f"status of {RUNS} runs", found["status"], STATUS_MS)


def main() -> int:
    """Measure and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if lack := available():
        print(f"not measured: {lack}")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        program = install(folder / "venv", "kubernetes") / "prl-submit"
        with KubernetesCluster.start(folder / "cluster") as cluster:
            namespace = cluster.new_namespace()
            site = Site(folder, program, cluster, namespace, rounds)
            cluster.write_kubeconfig(site.kubeconfig, namespace)
            return report(
                [
                    *submission(site),
                    *sweeping(site),
                    *following(site, "volume here", folder / "volume here"),
                    *following(site, "volume elsewhere", folder / "volume"),
                    *asking(site),
                ]
            )


if __name__ == "__main__":
    sys.exit(main())
