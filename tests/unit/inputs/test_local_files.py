"""Files, folders and variables that should be on this machine and are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.errors import Problem
from prl_submit.inputs.local_files import check_local, check_presence, check_training
from tests.support.plans import planned

ROOT = Path(__file__).resolve().parents[3]
CPU = "resources: {accelerator: cpu}"


def missing(tmp_path: Path, text: str, **more: Any) -> list[Problem]:
    """The problems of a job whose working directory is `tmp_path`."""
    return check_presence(planned(f"name: x\nworkdir: {tmp_path}\n{text}", **more))


def test_nothing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").touch()
    (tmp_path / "m").mkdir()
    assert missing(tmp_path, "swift: {dataset: [d.jsonl#5, org/x], model: ./m}") == []


def test_a_missing_file_has_a_line_and_a_hint(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").touch()
    problems = missing(
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


def test_a_file_that_a_setup_line_makes_is_not_checked(tmp_path: Path) -> None:
    text = "environment: {setup: [make ./m]}\nswift: {model: ./m}"
    assert missing(tmp_path, text) == []


@pytest.mark.parametrize(("backend", "severity"), [("local", "error"), ("slurm", "warning")])
def test_a_working_directory_that_is_elsewhere(tmp_path: Path, backend: str, severity: str) -> None:
    """The cluster's nodes may have it, so no other file is looked for."""
    (problem,) = missing(tmp_path / "gone", "swift: {model: ./m}", backend=backend)
    assert (problem.key, problem.line, problem.severity) == ("workdir", 2, severity)
    assert "is not a folder on this machine" in problem.message


def test_a_working_directory_that_only_pods_have(tmp_path: Path) -> None:
    """Without output_mount the output root is made on this machine at the pods' path."""
    gone = tmp_path / "gone"
    (problem,) = missing(gone, "swift: {model: ./m}", backend="kubernetes")
    assert problem.severity == "warning"
    assert problem.hint is not None
    assert f"keeps run directories in {gone}/output on this machine" in problem.hint
    mount = "kubernetes: {output_mount: /out}\nswift: {model: ./m}"
    assert missing(gone, mount, backend="kubernetes") == []


def test_a_problem_with_the_default_working_directory_is_at_the_spec() -> None:
    (problem,) = check_presence(planned("name: x"))
    assert (problem.file, problem.key) == ("job.yaml", "workdir")


def test_a_local_job_needs_its_secrets_set(tmp_path: Path) -> None:
    found = planned(
        f"name: x\nworkdir: {tmp_path}\nenvironment: {{secrets: [A_TOKEN, B_TOKEN]}}\n{CPU}"
    )
    problems = check_local(found, {"A_TOKEN": ""})
    assert [(p.key, p.severity) for p in problems] == [("environment.secrets", "error")]
    assert "B_TOKEN is not set" in problems[0].message


def test_a_job_on_kubernetes_has_its_secrets_there(tmp_path: Path) -> None:
    spec = f"name: x\nbackend: kubernetes\nworkdir: {tmp_path}\nenvironment: {{secrets: [A_TOKEN]}}"
    assert check_local(planned(spec), {}) == []


def test_sbatch_passes_the_secrets_of_this_machine(tmp_path: Path) -> None:
    spec = f"name: x\nbackend: slurm\nworkdir: {tmp_path}\nenvironment: {{secrets: [A_TOKEN]}}"
    assert [p.key for p in check_local(planned(spec), {})] == ["environment.secrets"]
    assert check_local(planned(spec), {"A_TOKEN": "x"}) == []


def test_a_missing_virtual_environment_is_a_warning(tmp_path: Path) -> None:
    """The user may make it before the job runs. If not, launch.sh says so."""
    spec = f"name: x\nworkdir: {tmp_path}\nenvironment: {{venv: .venv}}\n{CPU}"
    (problem,) = check_local(planned(spec), {})
    assert (problem.key, problem.severity) == ("environment.venv", "warning")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    assert check_local(planned(spec), {}) == []


def test_an_output_root_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spec = f"name: x\nworkdir: {tmp_path}\noutput: file/deeper\n{CPU}"
    (problem,) = check_local(planned(spec), {})
    assert problem.key == "output"
    assert "is a file" in problem.message


@pytest.mark.parametrize(
    ("swift", "said"),
    [
        ("system: prompts/judge.txt", "prompt file prompts/judge.txt is not here"),
        ("system: 'You read notes.txt daily.'", None),
        ("system: Be brief.", None),
        ("new_special_tokens: [<a>, tokens.txt]", "special tokens file tokens.txt is not here"),
        ("custom_dataset_info: [info.json]", "data set list info.json is not here"),
        ("custom_dataset_info: ['[{}]']", None),
        ("lr_scheduler_kwargs: s.json", "JSON file s.json is not here"),
        ("lr_scheduler_kwargs: cfg/s", "JSON file cfg/s is not here"),
        ("lr_scheduler_kwargs: '{\"a/b\": 1}'", None),
        ("accelerator_config: nofile.json", "JSON file nofile.json is not here"),
        ("device_map: auto", None),
        ("device_map: map.json", "JSON file map.json is not here"),
        ("rope_scaling: yarn", None),
        ("ref_adapters: [./a]", "adapter a is not here"),
        ("teacher_model: org/t, teacher_adapters: [./a]", "adapter a is not here"),
        ("teacher_adapters: [./a]", None),  # ms-swift does not load it
        ("reward_adapters: [./a]", None),
        ("model: out/v3-20260101/checkpoint-9", "model out/v3-20260101/checkpoint-9 is not here"),
        ("model: 'org/name:a/b'", None),
        ("chord_sft_dataset: [c.jsonl]", "dataset c.jsonl is not here"),
        ("rlhf_type: dpo, chord_sft_dataset: [c.jsonl]", None),
        ("ref_model: ./gone, beta: 0.0", None),  # ms-swift ignores it
        ("ref_model: ./gone, tuner_type: full", "model gone is not here"),
        ("vllm_engine_kwargs: e.json", "JSON file e.json is not here"),
        ("rlhf_type: dpo, vllm_engine_kwargs: e.json", None),
        ("external_plugins: [folder]", "plugin folder is a folder"),
        ("deepspeed: folder.json", "deepspeed configuration folder.json is a folder"),
        ("adapters: [./file]", "adapter file is a file"),
        ("external_plugins: [link.py]", "plugin link.py is a link to nowhere.py, which is not here"),
        ("model: models/tiny", "model models/tiny is not in the folder models here; ms-swift asks the hub for it"),
        ("model: models/here", None),
        ("dataset: ['models/data#5']", "dataset models/data#5 is not in the folder models here; ms-swift asks the hub for it"),
        ("model: elsewhere/tiny", None),
    ],
)  # fmt: skip
def test_what_arguments_name(tmp_path: Path, swift: str, said: str | None) -> None:
    for folder in ("folder", "folder.json", "models/here"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link.py").symlink_to("nowhere.py")
    kind = "" if "rlhf_type" in swift else "rlhf_type: grpo, "
    problems = missing(tmp_path, f"swift: {{{kind}{swift}}}")
    assert [problem.message for problem in problems] == ([said] if said else [])
    assert all(problem.hint for problem in problems)


def test_a_wrong_value_has_one_problem(tmp_path: Path) -> None:
    assert missing(tmp_path, "swift: {model: $SCRATCH/models/q}") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's file is made by root")
def test_a_file_that_may_not_be_read(public_folder: Path) -> None:
    """Checked as another user, because root may read everything."""
    (public_folder / "p.py").touch(0o600)
    (public_folder / "job.yaml").write_text(
        f"name: x\nworkdir: {public_folder}\nswift: {{external_plugins: p.py}}"
    )
    script = """
import os, sys
from prl_submit.prepare import plan_spec
os.chdir(sys.argv[1])
def said():
    planned = plan_spec("job.yaml", backend=None, sets=(), profile=None, output_root=None)
    return [p.message for p in planned.problems if p.key == "swift.external_plugins"]
assert said() == []  # root can read it; this call also imports all modules
os.setgroups([]), os.setgid(65534), os.setuid(65534)
print(said())
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(public_folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "['plugin p.py cannot be read: you have no permission']\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's folder is made by root")
def test_a_working_directory_in_a_folder_that_may_not_be_entered(public_folder: Path) -> None:
    """Checked as another user, because root may enter every folder."""
    (public_folder / "closed" / "work").mkdir(parents=True)
    (public_folder / "closed").chmod(0o700)
    script = """
import os, sys
from prl_submit.inputs.local_files import check_presence
from tests.support.plans import planned
found = planned(f"name: x\\nworkdir: {sys.argv[1]}\\nswift: {{model: ./m}}")
check_presence(found)  # imports all modules
os.setgroups([]), os.setgid(65534), os.setuid(65534)
print([problem.message for problem in check_presence(found)])
"""
    work = str(public_folder / "closed" / "work")
    argv = [sys.executable, "-c", script, work]
    ran = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    said = "cannot be found: you have no permission to enter a folder above it"
    assert ran.stdout == f"['{work} {said}']\n"


def test_a_file_beside_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user calls prl-submit from another folder than that of the spec."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "p.py").touch()
    monkeypatch.chdir(tmp_path)
    (problem,) = missing(tmp_path, "swift: {external_plugins: p.py}", name="jobs/job.yaml")
    assert problem.hint == (
        f"relative paths start at the working directory, {tmp_path}; it is in the folder of the spec:"
        f" --set workdir={tmp_path}/jobs"
    )


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: x", 1, "the section is missing, so nothing would be trained"),
        ("name: x\nswift:", 2, "is empty, so nothing would be trained"),
        ("name: x\nresources: {accelerator: cpu}\nswift: {}", 3, "is empty, so nothing would be trained"),
        ("name: x\nswift: {modle: m}", None, None),  # the unknown name is reported
        ("name: x\nswift: {model: m}", None, None),
    ],
)  # fmt: skip
def test_a_spec_with_nothing_to_train(text: str, line: int | None, said: str | None) -> None:
    problems = check_training(planned(text))
    found = [(p.line, p.key, p.message, p.severity) for p in problems]
    assert found == ([(line, "swift", said, "error")] if said else [])


def test_a_package_for_a_plugin(tmp_path: Path) -> None:
    """Before 4.6 ms-swift imports a package by its name. 4.6 imports only files."""
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "__init__.py").touch()
    found = planned(f"name: x\nworkdir: {tmp_path}\nswift: {{external_plugins: [rewards]}}")
    (problem,) = check_presence(found)
    assert problem.message == "plugin rewards is a folder"
    old = msgspec.structs.replace(found.job, swift_version="4.5.0")
    assert check_presence(msgspec.structs.replace(found, job=old)) == []
