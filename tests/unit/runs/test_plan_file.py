"""plan.json, spec.yaml and the commit of the working directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from prl_submit.errors import PrlSubmitError
from prl_submit.planning.plan import Context, with_run_dir
from prl_submit.runs.plan_file import (
    Git,
    PlanFile,
    dump_spec,
    encode_plan,
    find_plan,
    git_state,
    read_plan,
)
from prl_submit.spec.typed import plain
from prl_submit.spec.yaml import parse_document
from prl_submit.system.shell import Answer
from tests.support.fake_shell import FakeShell
from tests.support.plans import planned


def test_plan_json_reads_back(tmp_path: Path) -> None:
    made = planned(
        "name: x\nbackend: slurm\n"
        "environment: {conda: {name: a, root: /c}, secrets: [HF_TOKEN], env: {A: b}}\n"
        "resources: {time_limit: 90m, memory: 1.5T, nproc_per_node: 4}\n"
        "swift: {model: ./m, dataset: [中, b], learning_rate: 1e-6}\n"
        "slurm: {extra: {nice: 10}}\nkubernetes: {tolerations: [{key: gpu}]}\n"
    )
    file = PlanFile(
        values=made.values,
        swift_version="4.6.0",
        argument_table="4.6.0",
        git=Git("abc", True),
        plan=made.plan,
    )
    (tmp_path / "plan.json").write_bytes(encode_plan(file))
    assert read_plan(tmp_path) == file
    assert find_plan(tmp_path) == made.plan


def test_each_value_is_written_once() -> None:
    made = planned("name: x\nswift: {model: only-once, dataset: d}")
    file = PlanFile(values=[], swift_version=None, argument_table="t", git=None, plan=made.plan)
    document = json.loads(encode_plan(file))
    assert document["argv"] == made.plan.argv
    assert json.dumps(document).count("only-once") == 1


#: Files of runs, written by version 0.1.0: the job of `OLD_JOB` on each backend.
OLD = Path(__file__).parents[2] / "support/old_runs/records"


@pytest.mark.parametrize("backend", ["local", "slurm", "kubernetes"])
def test_the_plan_json_of_version_0_1_0(backend: str) -> None:
    """It means what the same spec means today."""
    file = read_plan(OLD / backend)
    made = planned(
        (OLD / backend / "spec.yaml").read_text(),
        name="job.yaml",
        context=Context("/home/me/prl", "/home/me"),
    )
    today = with_run_dir(made.plan, "/home/me/prl/output/v26-20261122-210000")
    assert file.plan == today
    assert file.plan.argv == json.loads((OLD / backend / "plan.json").read_text())["argv"]
    assert (file.swift_version, file.git) == ("4.6.0", Git("c0ffee", False))
    assert {value.key for value in file.values} == {value.key for value in made.values}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"values": 3}', '{"argv": [], "plan": {}}'])
def test_a_damaged_plan_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(PrlSubmitError, match=r"plan\.json: is damaged"):
        read_plan(tmp_path)
    assert find_plan(tmp_path) is None


def test_a_missing_plan_json(tmp_path: Path) -> None:
    with pytest.raises(PrlSubmitError, match=r"plan\.json: cannot be read: No such file"):
        read_plan(tmp_path)


HEAD = Answer(0, "abc\n", "")


@pytest.mark.parametrize(
    ("head", "status", "git"),
    [
        (HEAD, Answer(0, "", ""), Git("abc", False)),
        (HEAD, Answer(0, " M a\n", ""), Git("abc", True)),
        (HEAD, Answer(124, "", "no answer"), Git("abc", True)),
        (Answer(128, "", "not a repository"), HEAD, None),
        (Answer(127, "", "not installed"), HEAD, None),
    ],
)
def test_the_commit_of_the_working_directory(head: Answer, status: Answer, git: Git | None) -> None:
    def answer(argv: Sequence[str]) -> Answer:
        assert argv[:3] == ["git", "-C", "/w"]
        answers = {"rev-parse": head, "config": Answer(1, "", ""), "status": status}
        return next(answers[word] for word in argv if word in answers)

    assert git_state("/w", FakeShell(git=answer)) == git


def test_the_spec_that_is_kept_is_readable() -> None:
    text = (
        "name: x\nextends: base.yaml\nswift:\n  learning_rate: 1e-6\n  beta: 0.50\n  eval: no\n"
        "  n: 010\n  system: 你好\n  t: 12:00:00\n  q: '1'\n  s: \"1.5\"\n  z: null\n"
        "  l: [1.5, '~', '']\n  d: {}\n  e: []\n"
    )
    dumped = dump_spec(parse_document(text.encode(), "f", "spec")).decode()
    assert dumped == (
        "name: x\nswift:\n  learning_rate: 1e-6\n  beta: 0.50\n  eval: 'no'\n"
        "  n: '010'\n  system: 你好\n  t: '12:00:00'\n  q: \"1\"\n  s: \"1.5\"\n  z: null\n"
        '  l:\n  - 1.5\n  - "~"\n  - ""\n  d: {}\n  e: []\n'
    )
    again = plain(parse_document(dumped.encode(), "f", "spec"))
    before = plain(parse_document(text.encode(), "f", "spec"))
    assert again == {k: v for k, v in before.items() if k != "extends"}
