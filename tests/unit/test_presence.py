"""What should be on this machine and is not; the schema for editors."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prl_submit.errors import Problem
from prl_submit.plan import Planned
from prl_submit.presence import check_local, check_presence
from prl_submit.schema import job_schema
from prl_submit.swift.table import load_table

Plans = Callable[..., Planned]
jsonschema: Any = importlib.import_module("jsonschema")  # has no types of its own
JOBS = Path(__file__).resolve().parents[2] / "jobs"


def missing(planned: Plans, tmp_path: Path, text: str, **more: object) -> list[Problem]:
    """What is missing for a job whose working directory is `tmp_path`."""
    return check_presence(planned(f"name: x\nworkdir: {tmp_path}\n{text}", **more))


def test_all_there(planned: Plans, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").touch()
    (tmp_path / "m").mkdir()
    assert missing(planned, tmp_path, "swift: {dataset: [d.jsonl#5, org/x], model: ./m}") == []


def test_a_missing_file_is_placed_and_explained(planned: Plans, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").touch()
    problems = missing(
        planned,
        tmp_path,
        "swift:\n  dataset: [data/trian.jsonl]\n  model: ./gone\n  external_plugins: no/p.py",
    )
    assert [(p.line, p.key, p.message) for p in problems] == [
        (5, "swift.model", "model gone is not here"),
        (4, "swift.dataset", "dataset data/trian.jsonl is not here"),
        (6, "swift.external_plugins", "plugin no/p.py is not here"),
    ]
    assert problems[1].hint == "did you mean 'train.jsonl'?"
    assert problems[0].hint == f"relative paths start at the working directory, {tmp_path}"
    assert problems[2].hint == problems[0].hint


def test_what_a_setup_line_makes_is_left_to_the_node(planned: Plans, tmp_path: Path) -> None:
    text = "environment: {setup: [make ./m]}\nswift: {model: ./m}"
    assert missing(planned, tmp_path, text) == []


@pytest.mark.parametrize(("backend", "severity"), [("local", "error"), ("slurm", "warning")])
def test_a_working_directory_that_is_elsewhere(
    planned: Plans, tmp_path: Path, backend: str, severity: str
) -> None:
    """A cluster may have it; nothing else is looked for."""
    (problem,) = missing(planned, tmp_path / "gone", "swift: {model: ./m}", backend=backend)
    assert (problem.key, problem.line, problem.severity) == ("workdir", 2, severity)
    assert "is not a folder on this machine" in problem.message


def test_a_working_directory_that_only_pods_have(planned: Plans, tmp_path: Path) -> None:
    """Its output root would be made here at the same path; output_mount lets it be elsewhere."""
    gone = tmp_path / "gone"
    (problem,) = missing(planned, gone, "swift: {model: ./m}", backend="kubernetes")
    assert problem.severity == "warning"
    assert problem.hint is not None
    assert f"runs go to {gone}/output here" in problem.hint
    mount = "kubernetes: {output_mount: /out}\nswift: {model: ./m}"
    assert missing(planned, gone, mount, backend="kubernetes") == []


def test_the_default_working_directory_has_the_specs_place(planned: Plans) -> None:
    (problem,) = check_presence(planned("name: x"))
    assert (problem.file, problem.key) == ("job.yaml", "workdir")


CHECKER = jsonschema.Draft202012Validator(job_schema())


def validate(data: Any) -> list[str]:
    """What an editor would underline."""
    return [str(error.json_path) for error in CHECKER.iter_errors(data)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(job_schema())


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.yaml")), ids=lambda path: str(path.name))
def test_the_schema_takes_our_jobs(path: Path) -> None:
    assert validate(yaml.safe_load(path.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"name": "x", "zzz": 1}, "$"),
        ({"name": "X"}, "$.name"),
        ({"name": "x", "resources": {"nodes": 0}}, "$.resources.nodes"),
        ({"name": "x", "swift": {"num_generation": 4}}, "$.swift"),
        ({"name": "x", "swift": {"num_generations": "four"}}, "$.swift.num_generations"),
        ({"name": "x", "swift": {"rlhf_type": "gpro"}}, "$.swift.rlhf_type"),
        ({"name": "x", "swift": {"output_dir": "x"}}, "$.swift"),
        ({"name": "x", "resources": {"time_limit": 90}}, "$.resources.time_limit"),
    ],
)
def test_the_schema_underlines_what_is_wrong(data: object, place: str) -> None:
    assert validate(data) == [place]


def test_the_schema_knows_every_argument() -> None:
    properties = job_schema()["$defs"]["JobSpec"]["properties"]["swift"]["properties"]
    assert set(load_table()) - set(properties) == {"output_dir", "add_version"}
    assert validate({"name": "x", "swift": {"dataset": ["a"], "model": None, "beta": 1}}) == []


def test_the_schema_takes_what_the_reader_takes() -> None:
    data = {
        "name": "x",
        "resources": {"time_limit": "12:00:00", "memory": "1.5T"},
        "restarts": {"grace": "90s"},
        "environment": {"env": {"OMP_NUM_THREADS": 1, "A": None}},
    }
    assert validate(data) == []


def test_a_local_job_needs_its_secrets_set(planned: Plans, tmp_path: Path) -> None:
    found = planned(f"name: x\nworkdir: {tmp_path}\nenvironment: {{secrets: [A_TOKEN, B_TOKEN]}}")
    problems = check_local(found, {"A_TOKEN": ""})
    assert [(p.key, p.severity) for p in problems] == [("environment.secrets", "error")]
    assert "B_TOKEN is not set" in problems[0].message


def test_a_job_for_a_cluster_takes_its_secrets_there(planned: Plans, tmp_path: Path) -> None:
    spec = f"name: x\nbackend: kubernetes\nworkdir: {tmp_path}\nenvironment: {{secrets: [A_TOKEN]}}"
    assert check_local(planned(spec), {}) == []


def test_sbatch_hands_on_the_secrets_of_here(planned: Plans, tmp_path: Path) -> None:
    spec = f"name: x\nbackend: slurm\nworkdir: {tmp_path}\nenvironment: {{secrets: [A_TOKEN]}}"
    assert [p.key for p in check_local(planned(spec), {})] == ["environment.secrets"]
    assert check_local(planned(spec), {"A_TOKEN": "x"}) == []


def test_a_missing_virtual_environment_is_a_warning(planned: Plans, tmp_path: Path) -> None:
    """It may be made before the job runs; launch.sh says so where it was not."""
    spec = f"name: x\nworkdir: {tmp_path}\nenvironment: {{venv: .venv}}"
    (problem,) = check_local(planned(spec), {})
    assert (problem.key, problem.severity) == ("environment.venv", "warning")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    assert check_local(planned(spec), {}) == []


def test_an_output_root_below_a_file_is_an_error(planned: Plans, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (problem,) = check_local(planned(f"name: x\nworkdir: {tmp_path}\noutput: file/deeper"), {})
    assert problem.key == "output"
    assert "is a file" in problem.message
