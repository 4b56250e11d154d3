"""The numbers of nodes and processes that a spec leaves to the platform: from its variables, or open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from prl_submit.backends.platform.job_size import differences, size_of_nodes
from prl_submit.backends.platform.variables import see_platform
from prl_submit.planning.plan import Planned
from prl_submit.prepare import errors_of, plan_spec
from prl_submit.runs.plan_file import dump_spec
from prl_submit.spec.sections import JobSpec, Local, Platform, Resources
from prl_submit.spec.traits import BACKENDS
from tests.support.plans import planned
from tests.support.platform_variables import ROWS

SPEC = """\
name: x
backend: platform
swift: {model: m, rlhf_type: grpo, dataset: [a/hub-set], reward_funcs: [accuracy], num_generations: 4}
"""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of a platform or of prl-submit, and no profile."""
    for name in list(os.environ):
        if name.startswith("PRL_") or name in {key for row in ROWS.values() for key in row}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def plan_here(
    monkeypatch: pytest.MonkeyPatch,
    environ: Mapping[str, str],
    *sets: str,
    spec: str = SPEC,
    backend: str | None = None,
    is_node: bool = True,
) -> Planned:
    """The plan of a spec on a machine with these variables."""
    Path("job.yaml").write_text(spec, encoding="utf-8")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return plan_spec(
        "job.yaml", backend=backend, sets=sets, profile=None, output_root=None, is_node=is_node
    )


def rows_of(made: Planned) -> dict[str, tuple[object, str, str | None]]:
    keys = ("resources.nodes", "resources.nproc_per_node")
    return {v.key: (v.value, v.source, v.detail) for v in made.values if v.key in keys}


def test_without_variables_the_size_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan_here(monkeypatch, {}, "swift.num_generations=3")
    assert made.plan.unstated == ["resources.nodes", "resources.nproc_per_node"]
    assert errors_of(made) == []
    assert {value[:2] for value in rows_of(made).values()} == {(None, "platform")}


def test_on_a_node_the_variables_state_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan_here(monkeypatch, ROWS["Volcengine"])
    assert made.plan.unstated == []
    assert (made.plan.resources.nodes, made.plan.resources.nproc_per_node) == (2, 8)
    assert rows_of(made) == {
        "resources.nodes": (2, "platform", "MLP_WORKER_NUM"),
        "resources.nproc_per_node": (8, "platform", "MLP_WORKER_GPU"),
    }
    assert b"resources" not in dump_spec(made.tree)


def test_the_rules_use_what_the_variables_state(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan_here(monkeypatch, ROWS["Volcengine"], "swift.num_generations=3")
    assert "= per_device_train_batch_size 1 x nproc_per_node 8 x nodes 2" in str(errors_of(made))


def test_every_other_layer_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("prl-submit.toml").write_text("[profile.default]\n", encoding="utf-8")
    made = plan_here(monkeypatch, ROWS["Volcengine"], "resources.nodes=3")
    assert rows_of(made)["resources.nodes"] == (3, "flag", "--set")
    assert rows_of(made)["resources.nproc_per_node"][1] == "platform"
    made = plan_here(monkeypatch, {"PRL_NPROC_PER_NODE": "4"})
    assert rows_of(made)["resources.nproc_per_node"] == (4, "env", "PRL_NPROC_PER_NODE")


def test_a_run_that_is_prepared_on_a_platforms_notebook_is_for_other_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = plan_here(monkeypatch, ROWS["Volcengine"], is_node=False)
    assert made.plan.unstated == ["resources.nodes", "resources.nproc_per_node"]


@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - {"platform"}))
def test_other_backends_do_not_look_at_the_variables(
    monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    made = plan_here(monkeypatch, ROWS["Volcengine"], backend=backend)
    assert (made.plan.resources.nodes, made.plan.resources.nproc_per_node) == (1, 1)
    assert {source for _, source, _ in rows_of(made).values()} == {"default"}


def test_wrong_variables_state_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan_here(monkeypatch, {**ROWS["Volcengine"], "MLP_ROLE_INDEX": "7"})
    assert made.plan.unstated == ["resources.nodes", "resources.nproc_per_node"]


def test_gpus_that_the_spec_lists_are_counted() -> None:
    listed = JobSpec(name="x", local=Local(cuda_visible_devices="0,1,5"))
    assert size_of_nodes(listed, {}) == {
        "resources.nproc_per_node": (3, "local.cuda_visible_devices")
    }
    assert size_of_nodes(listed, ROWS["NNODES"])["resources.nproc_per_node"][0] == 3


def test_a_number_of_gpus_is_nothing_to_a_job_on_the_cpu() -> None:
    cpu = JobSpec(name="x", resources=Resources(accelerator="cpu"))
    assert list(size_of_nodes(cpu, ROWS["Volcengine"])) == ["resources.nodes"]
    assert size_of_nodes(cpu, ROWS["NNODES"])["resources.nproc_per_node"] == (8, "NPROC_PER_NODE")
    named = JobSpec(
        name="x",
        resources=Resources(accelerator="cpu"),
        platform=Platform(nproc_per_node="MLP_WORKER_GPU"),
    )
    assert size_of_nodes(named, ROWS["Volcengine"])["resources.nproc_per_node"][0] == 8


def told(row: str, **resources: object) -> list[str]:
    """What differs between a spec with these resources and a platform's variables."""
    lines = "".join(f"\n  {key}: {value}" for key, value in resources.items())
    plan = planned(f"name: x\nbackend: platform\nresources:{lines}").plan
    seen = see_platform(ROWS[row], plan.platform)
    assert seen is not None
    return list(differences(plan, seen))


def test_what_the_spec_states_otherwise_is_told_with_both_numbers() -> None:
    assert told("PAI-DLC", nodes=2, nproc_per_node=8) == []
    assert told("PAI-DLC", accelerator="gpu") == []
    assert told("PAI-DLC", nodes=3, nproc_per_node=4) == [
        "resources.nodes in the spec is 3, but the platform has started 2 (WORLD_SIZE=2)",
        "resources.nproc_per_node in the spec is 4, but the platform gives this node 8 (NPROC_PER_NODE=8)",
    ]
    assert told("Volcengine", nodes=2, nproc_per_node=2, accelerator="cpu") == []


def test_checks_that_need_no_size_go_on_while_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("d.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "x"}]}\n', encoding="utf-8"
    )
    made = plan_here(
        monkeypatch,
        {},
        "swift.dataset=[d.jsonl]",
        "swift.use_vllm=true",
        "swift.vllm_gpu_memory_utilization=3",
    )
    keys = [problem.key for problem in errors_of(made)]
    assert keys == ["swift.vllm_gpu_memory_utilization", "swift.dataset"]


def test_the_workers_that_users_scripts_set_are_as_many_as_the_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = plan_here(monkeypatch, {"PRL_NUM_INFER_WORKERS": "2"}, "swift.use_vllm=true")
    assert errors_of(made) == []
    assert made.job.swift["vllm_mode"] == "colocate"
    made = plan_here(monkeypatch, ROWS["Volcengine"], "swift.use_vllm=true")
    assert "2 is not nproc_per_node (8)" in str(errors_of(made))
