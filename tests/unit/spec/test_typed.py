"""From a spec's tree to typed sections. All problems are reported together, each at its line."""

from __future__ import annotations

import pytest

from prl_submit.errors import Problem
from prl_submit.spec.sections import Conda, JobSpec
from prl_submit.spec.typed import plain, read_spec
from prl_submit.spec.yaml import parse_document


def read(text: str) -> tuple[JobSpec, list[Problem]]:
    """The spec in a file named f.yaml, and what is wrong with it."""
    return read_spec(parse_document(text.encode("utf-8"), "f.yaml", "spec"))


def only(text: str) -> Problem:
    """The problem of a spec that has exactly one; the name is valid."""
    _, (problem,) = read(f"name: x\n{text}")
    return problem


def test_eight_faults_are_eight_messages() -> None:
    spec, problems = read(
        "name: Bad Name\n"
        "backend: cloud\n"
        "resources:\n"
        "  nodes: 0\n"
        "  nproc_per_nod: 4\n"
        "  time_limit: 12:00\n"
        "  memory: lots\n"
        "environment:\n"
        "  modules: cuda\n"
        "  secrets: [A-B]\n"
    )
    assert [(p.line, p.key) for p in problems] == [
        (1, "name"),
        (2, "backend"),
        (4, "resources.nodes"),
        (5, "resources.nproc_per_nod"),
        (6, "resources.time_limit"),
        (7, "resources.memory"),
        (9, "environment.modules"),
        (10, "environment.secrets[0]"),
    ]
    assert {p.file for p in problems} == {"f.yaml"}
    assert spec.resources.nodes == 1  # the default replaces the wrong value
    messages = [p.message for p in problems]
    assert messages[1] == "expected one of local, slurm, kubernetes, platform, found 'cloud'"
    assert messages[2] == "expected a whole number from 1 to 10000, found '0'"
    assert problems[3].hint == "did you mean 'nproc_per_node'?"
    assert problems[4].hint == "12:00:00 is 12 hours, 12m00s is 12 minutes"
    assert messages[6] == "expected a list, found 'cuda'"


def test_a_whole_spec() -> None:
    spec, problems = read(
        "name: a-1\nbackend: slurm\nresources: {nodes: 2, memory: 256GB, time_limit: 12:00:00}\n"
        "environment:\n  conda: {name: prl, root: /opt/conda}\n  env: {N: 1, B: no, T: true}\n"
        "slurm: {extra: {nice: 10, comment: no, x: [1.5, '1']}}\n"
        "kubernetes: {tolerations: [{key: gpu, operator: Exists}]}\nrestarts: {grace: 90s}\n"
    )
    assert problems == []
    assert spec.resources.time_limit == 43200
    assert spec.resources.memory == "256G"
    assert spec.environment.conda == Conda(name="prl", root="/opt/conda")
    assert spec.environment.env == {"N": "1", "B": "no", "T": "true"}
    assert spec.slurm.extra == {"nice": 10, "comment": "no", "x": [1.5, "1"]}
    assert spec.kubernetes.tolerations == [{"key": "gpu", "operator": "Exists"}]
    assert spec.restarts.grace == 90


@pytest.mark.parametrize(
    "name",
    ["Upper", "a b", "-a", "a-", "a" * 41, "ä", '"a\\n"', '""', "a_b", "a.b", "[a]", "{a: b}"],
)
def test_wrong_names(name: str) -> None:
    spec, problems = read(f"name: {name}")
    assert [(p.line, p.key) for p in problems] == [(1, "name")]
    assert problems[0].message.startswith("expected lower-case letters, digits and '-'")
    assert spec.name == "unnamed"


@pytest.mark.parametrize("name", ["a", "a" * 40, "0", "a-b", "010"])
def test_names(name: str) -> None:
    """Names of letters, digits and dashes are accepted."""
    assert read(f"name: {name}")[0].name == name


@pytest.mark.parametrize("text", ["backend: local", "name: null\nbackend: local", "name:"])
def test_the_name_is_required(text: str) -> None:
    spec, problems = read(text)
    assert [(p.key, p.message, p.hint) for p in problems] == [
        ("name", "is required", "add `name: …`")
    ]
    assert problems[0].line == 1
    assert spec.name == "unnamed"
    assert spec.backend == ("local" if "local" in text else None)


def test_without_a_name_the_rest_is_still_read() -> None:
    spec, problems = read("resources: {nodes: 3, nproc_per_node: x}\nlocal: null\nslurm: 3")
    assert [p.key for p in problems] == ["resources.nproc_per_node", "slurm", "name"]
    assert spec.resources.nodes == 3


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("resources: 4", "resources", "expected a mapping of keys to values, found '4'"),
        ("resources: [a]", "resources", "found a list"),
        ("resources: {nodes: 10001}", "resources.nodes", "from 1 to 10000, found '10001'"),
        ("resources: {nodes: -1}", "resources.nodes", "found '-1'"),
        ("resources: {nodes: 1.5}", "resources.nodes", "found '1.5'"),
        ("resources: {nodes: 1e3}", "resources.nodes", "found '1e3'"),
        (f"resources: {{nodes: {'9' * 500}}}", "resources.nodes", "9…'"),
        ("resources: {nodes: {a: 1}}", "resources.nodes", "found a mapping"),
        ("resources: {accelerator: tpu}", "resources.accelerator", "one of gpu, cpu"),
        ("resources: {memory: 256}", "resources.memory", "a size such as 256G"),
        ("resources: {memory: [1G]}", "resources.memory", "found a list"),
        ("resources: {time_limit: [1h]}", "resources.time_limit", "found a list"),
        ("restarts: {max: -1}", "restarts.max", "from 0 to 1000"),
        ("workdir: ''", "workdir", "text on one line"),
        ('workdir: "a\\nb"', "workdir", "found 'a\\nb'"),
        ("extends: [a]", "extends", "found a list"),
        ("environment: {env: [A]}", "environment.env", "a mapping"),
        ("environment: {env: {A: [1]}}", "environment.env.A", "expected text, found a list"),
        ("environment: {env: {A-B: 1}}", "environment.env.A-B", "found 'A-B'"),
        ('environment: {env: {"A\\n": 1}}', "environment.env.A\n", "found 'A\\n'"),
        ("environment: {setup: [ok, '']}", "environment.setup[1]", "expected text, found ''"),
        ("environment: {setup: [ok, null]}", "environment.setup[1]", "is empty"),
        ("environment: {conda: [a]}", "environment.conda", "expected text on one line"),
        ("environment: {conda: {root: a}}", "environment.conda.name", "is required"),
        ("environment: {conda: {nam: a, name: b}}", "environment.conda.nam", "unknown key"),
        ("environment: {container: x}", "environment.container", "a mapping"),
        ("kubernetes: {tolerations: [a]}", "kubernetes.tolerations[0]", "a mapping"),
        ("zzz: 1", "zzz", "unknown key"),
    ],
)
def test_a_wrong_value(text: str, key: str, message: str) -> None:
    problem = only(text)
    assert problem.key == key
    assert problem.line == 2
    assert message in problem.message


def test_an_unknown_key_similar_to_no_other_lists_the_known_keys() -> None:
    hint = only("restarts: {zzz: 1}").hint
    assert hint == "keys here: max, grace"


def test_a_duration_without_a_unit_has_a_hint() -> None:
    problem = only("resources: {time_limit: 90}")
    assert problem.hint == "write the unit: 90s, 90m or 90h"


def test_null_removes() -> None:
    """null stands for a section or key that is not set."""
    spec, problems = read(
        "name: x\nresources: null\nswift:\nenvironment: {conda: ~, env: {A: null, B: 1}}\n"
    )
    assert problems == []
    assert spec == JobSpec(name="x", environment=spec.environment)
    assert spec.environment.env == {"B": "1"}


def test_plain_data_keeps_quoted_text() -> None:
    tree = parse_document(b"a: [1, '1', ~, true, {b: 1e-6}]", "f.yaml", "spec")
    assert plain(tree) == {"a": [1, "1", None, True, {"b": 1e-6}]}
