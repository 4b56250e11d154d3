"""Variables of platforms, and what bash reads in them."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from prl_submit.launch.platforms import COLUMNS
from prl_submit.launch.render import render_library

#: Two nodes, the second of them, as each platform's documentation says. Not made from the table, which they test.
ROWS: dict[str, dict[str, str]] = {
    "PAI-DLC": {
        "WORLD_SIZE": "2",
        "RANK": "1",
        "MASTER_ADDR": "dlc18isgeayd-master-0",
        "MASTER_PORT": "23456",
        "NPROC_PER_NODE": "8",
    },
    "AIHC": {
        "WORLD_SIZE": "2",
        "RANK": "1",
        "MASTER_ADDR": "job-x-master-0",
        "MASTER_PORT": "23456",
        "NPROC_PER_NODE": "8",
        "AIHC_JOB_NAME": "job-x",
    },
    "TI-ONE": {
        "WORLD_SIZE": "2",
        "RANK": "1",
        "MASTER_ADDR": "10.0.0.4",
        "MASTER_PORT": "23456",
        "GPU_NUM_PER_NODE": "8",
        "NODE_LIST": "10.0.0.4:8,10.0.0.5:8",
        "INDEX": "1",
    },
    "Taiji": {"HOST_NUM": "2", "INDEX": "1", "CHIEF_IP": "10.0.0.4", "HOST_GPU_NUM": "8"},
    "Volcengine": {
        "MLP_WORKER_NUM": "2",
        "MLP_ROLE_INDEX": "1",
        "MLP_WORKER_0_HOST": "10.128.97.74",
        "MLP_WORKER_0_PRIMARY_HOST": "192.168.0.4",
        "MLP_WORKER_0_PORT": "2222",
        "MLP_WORKER_GPU": "8",
        "MLP_TASK_ID": "t-20210924211641-nznsh",
    },
    "ModelArts": {
        "MA_NUM_HOSTS": "2",
        "VC_WORKER_NUM": "2",
        "VC_TASK_INDEX": "1",
        "VC_WORKER_HOSTS": "job-worker-0.job,job-worker-1.job",
        "MA_NUM_GPUS": "8",
        "MA_VJ_NAME": "ma-job-1",
    },
    "Arnold": {
        "ARNOLD_WORKER_NUM": "2",
        "ARNOLD_ID": "1",
        "ARNOLD_WORKER_0_HOST": "10.1.2.3",
        "ARNOLD_WORKER_0_PORT": "9100,9101,9102",
        "ARNOLD_WORKER_GPU": "8",
    },
    "SenseCore": {
        "SENSECORE_PYTORCH_NNODES": "2",
        "SENSECORE_PYTORCH_NODE_RANK": "1",
        "MASTER_ADDR": "pt-x-master-0",
        "MASTER_PORT": "29500",
        "SENSECORE_ACCELERATE_DEVICE_COUNT": "8",
        "WORLD_SIZE": "16",
        "RANK": "1",
    },
    "Kubeflow": {
        "PET_NNODES": "2",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": "tj-node-0-0.tj",
        "PET_MASTER_PORT": "29400",
        "PET_NPROC_PER_NODE": "8",
    },
    "SkyPilot": {
        "SKYPILOT_NUM_NODES": "2",
        "SKYPILOT_NODE_RANK": "1",
        "SKYPILOT_NODE_IPS": "10.0.0.4\n10.0.0.5",
        "SKYPILOT_NUM_GPUS_PER_NODE": "8",
        "SKYPILOT_TASK_ID": "sky-2026-11-30-12-00-00-000000_train_1",
    },
    "dstack": {
        "DSTACK_NODES_NUM": "2",
        "DSTACK_NODE_RANK": "1",
        "DSTACK_MASTER_NODE_IP": "10.0.0.4",
        "DSTACK_GPUS_PER_NODE": "8",
    },
    "NNODES": {
        "NNODES": "2",
        "NODE_RANK": "1",
        "MASTER_ADDR": "10.0.0.4",
        "MASTER_PORT": "29500",
        "NPROC_PER_NODE": "8",
    },
}


class OfBash(NamedTuple):
    """What `prl_see_platform` sets. `values` and `variables` are in the order of COLUMNS."""

    platform: str
    values: tuple[str, ...]
    variables: tuple[str, ...]
    faults: tuple[str, ...]


Case = tuple[Mapping[str, str], Sequence[str]]


def seen_by_bash(folder: Path, cases: Sequence[Case]) -> list[OfBash]:
    """What one bash sees in each environment. A case: the variables, and the six names of the spec."""
    (folder / "launch.lib.sh").write_text(render_library(), encoding="utf-8")
    script = folder / "cases.sh"
    script.write_bytes("\n".join([_HEAD, *map(_call, cases)]).encode("utf-8", "surrogateescape"))
    done = subprocess.run(
        ["/bin/bash", str(script)],
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd=folder,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    found = done.stdout.split(b"\0\n\0")
    assert found.pop() == b""
    return [_answer(text.decode("utf-8").split("\0")) for text in found]


_HEAD = f"""prl_run_dir=. prl_workdir=. prl_token=t prl_nodes=1 prl_node_rank=0 prl_swift_args=()
. ./launch.lib.sh
set +e
prl_print() {{
  set -e
  prl_see_platform
  printf '%s\\0' "$prl_platform" "${{prl_seen[@]}}" "${{prl_seen_in[@]}}" ${{prl_seen_faults[@]+"${{prl_seen_faults[@]}}"}}
  printf '\\n\\0'
}}
(({len(COLUMNS)} == 6))"""


def _call(case: Case) -> str:
    variables, names = case
    assign = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    words = " ".join(map(shlex.quote, names))
    return f"({' '.join(assign)}\nprl_platform_names=({words}); prl_print)"


def _answer(texts: list[str]) -> OfBash:
    width = len(COLUMNS)
    return OfBash(
        texts[0],
        tuple(texts[1 : 1 + width]),
        tuple(texts[1 + width : 1 + 2 * width]),
        tuple(texts[1 + 2 * width :]),
    )
