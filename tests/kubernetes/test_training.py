"""Real ms-swift through a real Kubernetes API: one training in two replicas."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PROJECT
from tests.kubernetes.conftest import IMAGE, KubernetesWorld

pytestmark = pytest.mark.training
PATIENCE_S = 500


def test_one_training_in_two_replicas(kube: KubernetesWorld) -> None:
    shutil.copytree(
        PROJECT / "jobs", kube.root / "jobs", ignore=shutil.ignore_patterns("__pycache__")
    )
    make = [sys.executable, "jobs/make_tiny_model.py", "models/tiny-qwen2"]
    subprocess.run(make, cwd=kube.root, check=True, capture_output=True)
    settings = [
        f"environment.venv={sys.prefix}",
        "environment.setup=[]",
        "resources.nodes=2",
        "resources.nproc_per_node=1",
        "resources.memory=6G",
        f"kubernetes.image={IMAGE}",
        f"kubernetes.volumes=[{{hostPath: {kube.root}, mountPath: {kube.root}}}]",
    ]
    if not may_everybody_enter(sys.prefix):  # the image is this machine's own file system
        user = "{runAsUser: 0, runAsGroup: 0, runAsNonRoot: false}"
        settings.append(f"kubernetes.extra={{pod: {{spec: {{securityContext: {user}}}}}}}")
    words = [word for setting in settings for word in ("--set", setting)]
    process = kube.start("jobs/mr_cpu.yaml", "--backend", "k8s", *words, "--follow")
    done = kube.finish(process, timeout=PATIENCE_S)
    assert done.code == 0, done.out[-3000:] + done.err
    (run,) = kube.output.glob("v*")
    for rank, name in enumerate(("master-0", "worker-0")):
        log = (run / "logs" / f"node{rank}.log").read_text()
        line = f"rank: {rank}, local_rank: 0, world_size: 2, local_world_size: 1"
        assert line in log
        assert f"[{name}] [INFO:swift] rank: {rank}, local_rank: 0, world_size: 2" in done.out
    assert json.loads((run / "exit.json").read_text())["state"] == "SUCCEEDED"
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(os.listdir(run / "checkpoint-4"))
    status = kube.status(run)
    assert (status["state"], status["step"], status["max_steps"]) == ("SUCCEEDED", 4, 4)


def may_everybody_enter(path: str) -> bool:
    """True if every user may enter each folder above it."""
    real = os.path.realpath(path)
    folders = [real]
    while folders[-1] != "/":
        folders.append(os.path.dirname(folders[-1]))
    return all(os.stat(folder).st_mode & 0o005 == 0o005 for folder in folders)
