"""What `check` says of a job for a platform, and what a plan leaves open."""

from __future__ import annotations

from typing import Any

import pytest

from prl_submit.launch.render import render_environment
from prl_submit.planning.explained import shown
from prl_submit.planning.plan import Planned
from prl_submit.spec.traits import BACKENDS
from tests.support.plans import planned

SWIFT = "swift: {rlhf_type: grpo, model: m/m, dataset: [a.jsonl], reward_funcs: [format]"
STATED = "resources: {nodes: 2, nproc_per_node: 8}\n"


def job(more: str = "", swift: str = "", **layers: Any) -> Planned:
    """A job for a platform; `more`: further lines of its spec, `swift`: further arguments."""
    spec = f"name: x\nbackend: platform\n{more}{SWIFT}{swift}}}\n"
    return planned(spec, **layers)


def found(made: Planned) -> list[tuple[str | None, str, str]]:
    return [(problem.key, problem.severity, problem.message) for problem in made.problems]


@pytest.mark.parametrize(
    "more", ["", STATED, "platform: {nodes: MY_N, node_rank: MY_R, wait: 2h}\n"]
)
def test_nothing_is_wrong(more: str) -> None:
    assert found(job(more)) == []


@pytest.mark.parametrize(
    ("more", "key", "severity", "message"),
    [
        ("platform: {silence: 5s}\n", "platform.silence", "error", "at least 6s, found 5s"),
        ("platform: {wait: 0s}\n", "platform.wait", "error", "expected a time such as"),
        (
            "platform: {nodes: MY_N, node_rank: MY_N}\n",
            "platform.node_rank",
            "error",
            "is the variable MY_N, and so is platform.nodes",
        ),
        (
            "resources: {time_limit: 20m}\n",
            "resources.time_limit",
            "warning",
            "00:20:00 may end while the nodes still wait for each other",
        ),
        (
            "environment: {container: {image: a/b}}\n",
            "environment.container",
            "warning",
            "the platform starts the container",
        ),
        ("environment: {modules: [cuda]}\n", "environment.modules", "warning", "few containers"),
        (
            "resources: {nproc_per_node: 2}\nlocal: {cuda_visible_devices: '0,1,2'}\n",
            "local.cuda_visible_devices",
            "error",
            "has 3 GPUs for 2 processes",
        ),
    ],
)
def test_what_is_wrong(more: str, key: str, severity: str, message: str) -> None:
    ((found_key, found_severity, text),) = found(job(more))
    assert (found_key, found_severity) == (key, severity)
    assert message in text


@pytest.mark.parametrize(
    "more",
    [
        "resources: {nodes: 1, time_limit: 20m}\n",
        "resources: {time_limit: 31m}\n",
        "resources: {time_limit: 20m}\nplatform: {wait: 10m}\n",
        "local: {cuda_visible_devices: '0,1,2'}\n",  # for a number of processes that nobody knows yet
    ],
)
def test_what_is_right(more: str) -> None:
    assert found(job(more)) == []


def test_names_of_variables_are_names() -> None:
    ((key, severity, message),) = found(job("platform: {nodes: '$MY_N'}\n"))
    assert (key, severity) == ("platform.nodes", "error")
    assert "the name of an environment variable" in message


def test_unknown_keys_get_a_suggestion() -> None:
    (problem,) = job("platform: {node_ranks: X}\n").problems
    assert "node_rank" in (problem.hint or "")


# ------------------------------------------------------------------ the size that a spec leaves open
BATCH = ", num_generations: 8, per_device_train_batch_size: 3"


def test_the_batch_is_checked_as_soon_as_the_size_is_known() -> None:
    assert found(job(swift=BATCH)) == []
    assert found(job("resources: {nproc_per_node: 8}\n", swift=BATCH)) == []  # nodes are open
    assert found(job("resources: {nodes: 1}\n", swift=BATCH)) == []
    ((key, severity, message),) = found(
        job("resources: {nodes: 1, nproc_per_node: 2}\n", swift=BATCH)
    )
    assert (key, severity) == ("swift.num_generations", "error")
    assert "8" in message


def test_other_backends_have_the_default_size() -> None:
    for name in sorted(set(BACKENDS) - {"platform"}):
        made = planned(f"name: x\nbackend: {name}\n{SWIFT}}}\n")
        assert made.plan.unstated == []


@pytest.mark.parametrize(
    ("more", "unstated"),
    [
        ("", ["resources.nodes", "resources.nproc_per_node"]),
        ("resources: {nodes: 2}\n", ["resources.nproc_per_node"]),
        ("resources: {nproc_per_node: 8}\n", ["resources.nodes"]),
        ("resources: {nodes: 1, nproc_per_node: 1}\n", []),
        ("resources: {nodes: null}\n", ["resources.nodes", "resources.nproc_per_node"]),
    ],
)
def test_what_the_plan_leaves_open(more: str, unstated: list[str]) -> None:
    made = job(more)
    assert made.plan.unstated == unstated
    values = {value.key: value for value in made.values}
    for key in ("resources.nodes", "resources.nproc_per_node"):
        assert (values[key].source == "platform") == (key in unstated)
        assert (shown(values[key].value) == "-") == (key in unstated)


def test_variables_state_it() -> None:
    made = job(environ={"PRL_NPROC_PER_NODE": "4", "PRL_NODES": "2"})
    assert made.plan.unstated == []
    assert made.plan.world_size == 8


def test_the_seed_commands() -> None:
    environ = {
        "PRL_CUDA_VISIBLE_DEVICES": "2,3",
        "PRL_NPROC_PER_NODE": "2",
        "PRL_PER_DEVICE_TRAIN_BATCH_SIZE": "4",
        "PRL_NUM_GENERATIONS": "8",
        "PRL_NUM_INFER_WORKERS": "2",
    }
    made = job("resources: {nodes: 1}\n", ", use_vllm: true", environ=environ)
    assert found(made) == []
    assert made.plan.unstated == []
    assert ["--vllm_mode", "colocate"] in made.plan.arguments
    assert "export CUDA_VISIBLE_DEVICES=2,3\n" in render_environment(made.plan)


def test_a_number_of_workers_is_believed_until_the_platform_tells_its_own() -> None:
    made = job(swift=", use_vllm: true", environ={"PRL_NUM_INFER_WORKERS": "4"})
    assert found(made) == []
    assert ["--vllm_mode", "colocate"] in made.plan.arguments
    made = job(STATED, ", use_vllm: true", environ={"PRL_NUM_INFER_WORKERS": "4"})
    assert [key for key, _, _ in found(made)] == ["swift.num_infer_workers"]


def test_plan_json_does_not_name_a_size_that_is_not_known() -> None:
    assert job().plan.torchrun == ["torchrun"]
    assert job(STATED).plan.torchrun == ["torchrun", "--nnodes=2", "--nproc_per_node=8"]
