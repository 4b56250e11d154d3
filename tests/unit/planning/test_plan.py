"""JobSpec -> Plan: defaults, provenance, paths, exports; nothing secret in any of them."""

from __future__ import annotations

import msgspec
import pytest

from prl_submit.planning.explained import shown
from prl_submit.planning.node_paths import local_path
from prl_submit.planning.plan import (
    RUN_PLACEHOLDER,
    NodePath,
    Plan,
    Planned,
    Resolved,
    resume_from,
    with_run_dir,
)
from tests.support.plans import planned


def value(made: Planned, key: str) -> Resolved | None:
    """The resolved value of a dotted key."""
    found = [item for item in made.values if item.key == key]
    assert len(found) <= 1
    return found[0] if found else None


def argument(plan: Plan, name: str) -> list[str] | None:
    """The words of one swift argument, with its name."""
    found = [group for group in plan.arguments if group[0].partition("=")[0] == f"--{name}"]
    assert len(found) <= 1
    return found[0] if found else None


def test_built_in_defaults() -> None:
    plan = planned("name: x").plan
    assert plan.backend == "local"
    assert plan.workdir == "/cwd"
    assert plan.output_root == "/cwd/output"
    assert plan.run_dir == f"/cwd/output/{RUN_PLACEHOLDER}"
    assert plan.arguments == [
        ["--dataloader_num_workers", "0"],
        ["--output_dir", plan.run_dir],
        ["--add_version", "false"],
    ]
    assert plan.exports == {}
    assert plan.world_size == 1
    assert plan.argv[:7] == [
        "torchrun",
        "--nnodes=1",
        "--standalone",
        "--local-addr=localhost",
        "--nproc_per_node=1",
        "-m",
        "swift.cli.rlhf",
    ]
    assert plan.argv[7:9] == ["--dataloader_num_workers", "0"]


@pytest.mark.parametrize("word", ["true", "yes", "on", "1", "t", '"y"'])
def test_defaults_for_vllm(word: str) -> None:
    made = planned(f"name: x\nswift: {{use_vllm: {word}}}")
    plan = made.plan
    assert argument(plan, "vllm_mode") == ["--vllm_mode", "colocate"]
    assert argument(plan, "vllm_gpu_memory_utilization") == [
        "--vllm_gpu_memory_utilization",
        "0.4",
    ]
    assert value(made, "swift.vllm_mode") == Resolved(
        "swift.vllm_mode", "colocate", "default", None
    )


@pytest.mark.parametrize("text", ["", "swift: {use_vllm: no}", "swift: {use_vllm: null}"])
def test_no_vllm_no_defaults_for_it(text: str) -> None:
    """Without vLLM its defaults are not set."""
    assert argument(planned(f"name: x\n{text}").plan, "vllm_mode") is None


def test_a_null_is_a_value_that_beats_a_default() -> None:
    plan = planned("name: x\nswift: {use_vllm: true, vllm_mode: null}").plan
    assert argument(plan, "vllm_mode") is None
    assert argument(planned("name: x\nswift: null").plan, "dataloader_num_workers") is None


def test_defaults_for_cpu() -> None:
    """No GPU is visible, gloo, and use_cpu: without it every rank trains alone."""
    plan = planned("name: x\nresources: {accelerator: cpu}").plan
    assert argument(plan, "use_cpu") == ["--use_cpu", "true"]
    assert argument(plan, "ddp_backend") == ["--ddp_backend", "gloo"]
    assert plan.exports == {"CUDA_VISIBLE_DEVICES": ""}


def test_several_nodes() -> None:
    """On several nodes torchrun gets their number, and the world is nodes times processes."""
    plan = planned("name: x\nbackend: slurm\nresources: {nodes: 2, nproc_per_node: 8}").plan
    assert plan.torchrun == ["torchrun", "--nnodes=2", "--nproc_per_node=8"]
    assert plan.world_size == 16


def test_each_value_has_its_source() -> None:
    made = planned(
        "name: x\nextends: b.yaml\nswift:\n  beta: 0.1\n  dataset: [a, b]\n",
        files={"b.yaml": "output: runs\nswift: {loss_type: grpo}"},
        environ={"PRL_NODES": "2"},
        sets=["swift.temperature=1e-6"],
        toml="[profile.default.restarts]\nmax = 3",
        backend="slurm",
    )
    seen = {v.key: (v.value, v.source, v.detail) for v in made.values}
    assert seen["name"] == ("x", "spec", "job.yaml:1")
    assert seen["backend"] == ("slurm", "flag", "--backend")
    assert seen["output"] == ("runs", "base", "b.yaml:1")
    assert seen["workdir"] == (".", "default", None)
    assert seen["swift.beta"] == (0.1, "spec", "job.yaml:4")
    assert seen["swift.dataset"] == (["a", "b"], "spec", "job.yaml:5")
    assert seen["swift.temperature"] == (1e-6, "flag", "--set")
    assert seen["resources.nodes"] == (2, "env", "PRL_NODES")
    assert seen["restarts.max"] == (3, "profile", "prl-submit.toml")
    assert seen["restarts.grace"] == ("120s", "default", None)
    assert seen["swift.output_dir"] == ("RUN", "default", "the run directory")
    keys = [v.key for v in made.values]
    assert keys[:3] == ["name", "extends", "backend"]
    assert keys.index("resources.nodes") < keys.index("swift.beta") < keys.index("restarts.max")


@pytest.mark.parametrize(
    ("spec", "workdir", "output"),
    [
        ("workdir: sub/..", "/cwd", "/cwd/output"),
        ("workdir: /data\noutput: runs", "/data", "/data/runs"),
        ("workdir: ~/p\noutput: ~", "/home/me/p", "/home/me/p/output"),
        ("workdir: ~\noutput: '~'", "/cwd", "/home/me"),
        ("output: ../o", "/cwd", "/o"),
        ("output: ~you", "/cwd", "/cwd/~you"),
    ],
)
def test_paths_are_absolute(spec: str, workdir: str, output: str) -> None:
    """`~` alone is YAML's null, quoted it is the home."""
    plan = planned(f"name: x\n{spec}").plan
    assert (plan.workdir, plan.output_root) == (workdir, output)


@pytest.mark.parametrize("name", ["output_dir", "add_version"])
def test_what_prl_submit_sets_is_not_for_the_spec(name: str) -> None:
    planned_ = planned(f"name: x\nswift: {{{name}: true}}")
    (problem,) = [p for p in planned_.problems if p.severity == "error"]
    assert (problem.key, problem.message) == (f"swift.{name}", "is set by prl-submit")
    assert problem.hint
    assert argument(planned_.plan, name) is not None


def test_place_and_place_again() -> None:
    """A plan can be given another run directory, as often as wanted."""
    plan = planned("name: x").plan
    placed = with_run_dir(with_run_dir(plan, "/runs/v1"), "/runs/v2")
    assert placed.run_dir == "/runs/v2"
    assert placed.arguments[-2:] == [["--output_dir", "/runs/v2"], ["--add_version", "false"]]
    assert len(placed.arguments) == len(plan.arguments)
    assert msgspec.structs.replace(placed, run_dir="", arguments=[]) == msgspec.structs.replace(
        plan, run_dir="", arguments=[]
    )


@pytest.mark.parametrize("before", ["/old", "-odd", None])
def test_resume_from_replaces_an_earlier_checkpoint(before: str | None) -> None:
    plan = planned(f"name: x\nswift: {{resume_from_checkpoint: {before or 'null'}}}").plan
    assert (argument(plan, "resume_from_checkpoint") is None) == (before is None)
    resumed = resume_from(resume_from(plan, "/c-1"), "/c-2")
    assert argument(resumed, "resume_from_checkpoint") == ["--resume_from_checkpoint", "/c-2"]


@pytest.mark.parametrize(
    ("kind", "text", "path"),
    [
        ("dataset", "org/name", None),
        ("dataset", "org/name#500", None),
        ("dataset", "AI-MO/NuminaMath-TIR:default#100", None),
        ("dataset", "data/x.jsonl", "data/x.jsonl"),
        ("dataset", "x.jsonl#500", "x.jsonl"),
        ("dataset", "./folder", "./folder"),
        ("dataset", "/data/folder#3", "/data/folder"),
        ("model", "Qwen/Qwen2.5-7B", None),
        ("model", "./m", "./m"),
        ("model", "../m", "../m"),
        ("model", "~/m", "~/m"),
        ("model", ".hidden", None),
        ("adapter", "org/a", None),
        ("plugin", "plugins/x.py", "plugins/x.py"),
        ("checkpoint", "runs/c", "runs/c"),
        ("deepspeed configuration", "zero3", None),
        ("deepspeed configuration", "ds.json", "ds.json"),
        ("deepspeed configuration", '{"a": 1}', None),
    ],
)
def test_what_names_a_local_path(kind: str, text: str, path: str | None) -> None:
    assert local_path(kind, text) == path


def test_paths_the_node_must_have() -> None:
    plan = planned(
        "name: x\nworkdir: w\nswift:\n  model: ~/m\n  dataset: [a.jsonl#5, org/d, /b.json]\n"
        "  external_plugins: p.py\n  deepspeed: zero2\n"
    ).plan
    assert plan.paths == [
        NodePath("model", "swift.model", "/home/me/m"),
        NodePath("dataset", "swift.dataset", "/cwd/w/a.jsonl"),
        NodePath("dataset", "swift.dataset", "/b.json"),
        NodePath("plugin", "swift.external_plugins", "/cwd/w/p.py"),
    ]


# ------------------------------------------------------------------ secrets
SECRET = "hunter2-never-to-be-seen"


def everything(plan: Plan, *, but_environment: bool = False) -> str:
    """All of a plan as text."""
    if but_environment:
        plan = msgspec.structs.replace(plan, environment=type(plan.environment)())
    return msgspec.json.encode(plan).decode()


def test_a_secret_variable_travels_by_name() -> None:
    environ = {"PRL_EVALUATOR_API_KEY": SECRET, "PRL_EVALUATOR_URL": f"http://u:{SECRET}@h/"}
    spec = "name: x\nenvironment: {secrets: [HF_TOKEN, PRL_EVALUATOR_API_KEY]}"
    planned_ = planned(spec, environ=environ)
    plan = planned_.plan
    assert plan.environment.secrets == ["HF_TOKEN", "PRL_EVALUATOR_API_KEY", "PRL_EVALUATOR_URL"]
    assert plan.exports == {}
    seen = value(planned_, "environment.env.PRL_EVALUATOR_API_KEY")
    assert seen is not None
    assert (seen.value, seen.source) == ("(not shown)", "env")
    assert SECRET not in everything(plan)
    assert SECRET not in str(planned_.problems)


def test_a_secret_written_into_a_spec_is_refused_and_not_shown() -> None:
    spec = (
        f"name: x\nenvironment: {{env: {{HF_TOKEN: {SECRET}, U: 'http://u:{SECRET}@h'}}}}\n"
        f"swift: {{model: m, dataset: d, hub_token: {SECRET}}}"
    )
    planned_ = planned(spec)
    errors = [p for p in planned_.problems if p.severity == "error"]
    assert [p.key for p in errors] == [
        "environment.env.HF_TOKEN",
        "environment.env.U",
        "swift.hub_token",
    ]
    assert SECRET not in str(errors)
    assert SECRET not in str(planned_.values)


def test_a_token_variable_that_is_an_argument_is_refused() -> None:
    spec = "name: x\nswift: {model: m, dataset: d}"
    planned_ = planned(spec, environ={"PRL_HUB_TOKEN": SECRET})
    (error,) = [p for p in planned_.problems if p.severity == "error"]
    assert error.label == "PRL_HUB_TOKEN"
    assert SECRET not in str(error)


def test_literal_variables_are_exported() -> None:
    """Variables of environment.env are exported as they are."""
    spec = "name: x\nresources: {accelerator: cpu}\nenvironment: {env: {A: 1, PRL_B: spec}}"
    plan = planned(spec, environ={"PRL_B": "outside"}).plan
    assert plan.exports == {"CUDA_VISIBLE_DEVICES": "", "A": "1", "PRL_B": "outside"}


def test_a_value_on_one_line() -> None:
    assert shown([1, "a", 1e-6]) == "[1, a, 1e-6]"
    assert shown(True) == "true"
    assert shown({"a": 1}) == '{"a": 1}'
