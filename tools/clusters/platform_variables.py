"""The variables that platforms set on each node, with values as the platforms give them.

They are written down from the platforms' documentation and not read from templates/platforms.txt, because
the tests use them to show that prl-submit reads them right.
"""

from __future__ import annotations

from collections.abc import Sequence

#: `{name_i}` is the host name of node i: a word with `{i}` stands for one variable of each node.
PLATFORMS = {
    "pai-dlc": """
        WORLD_SIZE={nodes} RANK={rank} MASTER_ADDR={master} MASTER_PORT=23456 NPROC_PER_NODE={gpus}
    """,
    "aihc": """
        AIHC_JOB_NAME={job} WORLD_SIZE={nodes} RANK={rank} MASTER_ADDR={master} MASTER_PORT=23456
        NPROC_PER_NODE={gpus}
    """,
    "ti-one": """
        WORLD_SIZE={nodes} RANK={rank} INDEX={rank} MASTER_ADDR={master} MASTER_PORT=23456
        GPU_NUM_PER_NODE={gpus} NODE_LIST={all_names_with_gpus}
    """,
    "taiji": "HOST_NUM={nodes} INDEX={rank} CHIEF_IP={master} HOST_GPU_NUM={gpus}",
    "volcengine": """
        MLP_ROLE=worker MLP_TASK_ID={job} MLP_WORKER_NUM={nodes} MLP_ROLE_INDEX={rank} MLP_WORKER_GPU={gpus}
        MLP_WORKER_ALL_HOSTS={all_names} MLP_WORKER_{i}_HOST={name_i} MLP_WORKER_{i}_PORT=2222
    """,
    "modelarts": """
        MA_NUM_HOSTS={nodes} VC_WORKER_NUM={nodes} VC_TASK_INDEX={rank} VC_WORKER_HOSTS={all_names}
        MA_NUM_GPUS={gpus}
    """,
    "arnold": """
        ARNOLD_WORKER_NUM={nodes} ARNOLD_ID={rank} ARNOLD_WORKER_GPU={gpus}
        ARNOLD_WORKER_{i}_HOST={name_i} ARNOLD_WORKER_{i}_PORT=9000,9001,9002
    """,
    "sensecore": """
        SENSECORE_PYTORCH_NNODES={nodes} SENSECORE_PYTORCH_NODE_RANK={rank}
        SENSECORE_ACCELERATE_DEVICE_COUNT={gpus} MASTER_ADDR={master} MASTER_PORT=23456
    """,
    "trainjob": """
        PET_NNODES={nodes} PET_NODE_RANK={rank} PET_NPROC_PER_NODE={gpus}
        PET_MASTER_ADDR={master} PET_MASTER_PORT=29400
    """,
    "skypilot": """
        SKYPILOT_NUM_NODES={nodes} SKYPILOT_NODE_RANK={rank} SKYPILOT_NUM_GPUS_PER_NODE={gpus}
        SKYPILOT_NODE_IPS={lines_of_names}
    """,
    "dstack": """
        DSTACK_NODES_NUM={nodes} DSTACK_NODE_RANK={rank} DSTACK_GPUS_PER_NODE={gpus}
        DSTACK_MASTER_NODE_IP={master} DSTACK_NODES_IPS={lines_of_names}
    """,
    "nnodes": """
        NNODES={nodes} NODE_RANK={rank} MASTER_ADDR={master} MASTER_PORT=29500 NPROC_PER_NODE={gpus}
    """,
}


def variables(
    like: str, rank: int, names: Sequence[str], *, gpus: int = 1, job: str = "job-1"
) -> dict[str, str]:
    """What the platform `like` sets on the node of this rank. `names`: the host names of all nodes, node 0 first."""
    values = {
        "nodes": len(names),
        "rank": rank,
        "master": names[0],
        "gpus": gpus,
        "job": job,
        "all_names": ",".join(names),
        "all_names_with_gpus": ",".join(f"{name}:{gpus}" for name in names),
        "lines_of_names": "\n".join(names),
    }
    found = {}
    for word in PLATFORMS[like].split():
        for i, name in enumerate(names) if "{i}" in word else [(0, names[0])]:
            variable, _, value = word.format(**values, i=i, name_i=name).partition("=")
            found[variable] = value
    return found
