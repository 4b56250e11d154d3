"""A sweep's spec, with bases, a profile, options and variables -> a plan for each combination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prl_submit.errors import SpecError
from prl_submit.prepare import plan_spec, read_asked
from prl_submit.sweeps.shared_problems import in_words
from prl_submit.sweeps.sweep_plans import SweepPlans, plan_sweep

BASE = """\
environment: {swift_version: 4.6.0}
resources: {accelerator: cpu}
swift:
  rlhf_type: grpo
  model: org/name
  dataset: [org/data]
  reward_funcs: [format]
  num_generations: 2
  per_device_train_batch_size: 4
"""
SPEC = """\
name: lr
extends: base.yaml
sweep:
  grid:
    swift.learning_rate: [1e-6, 1e-5]
    swift.num_generations: [2, 3, 4]
"""
OPTIONS = {"backend": "slurm", "sets": (), "profile": None, "output_root": None}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "base.yaml").write_text(BASE)


def plans(spec: str = SPEC, **options: Any) -> SweepPlans:
    Path("s.yaml").write_text(spec)
    return plan_sweep(read_asked("s.yaml", **OPTIONS | options))


def values(found: SweepPlans, key: str) -> list[Any]:
    return [{v.key: v for v in run.planned.values}[key].value for run in found.runs]


def told(found: SweepPlans) -> list[str]:
    problems = (in_words(item, found.count) for item in found.all_problems)
    return [f"{p.file or p.label}:{p.line}: {p.key}: {p.message}" for p in problems]


def test_each_combination_is_planned_and_a_problem_is_told_once() -> None:
    found = plans()
    assert [run.combination.name for run in found.good] == ["lr-1", "lr-3", "lr-4", "lr-6"]
    assert values(found, "swift.learning_rate") == [1e-6] * 3 + [1e-5] * 3
    errors = [line for line in told(found) if "num_generations" in line]
    assert len(errors) == 1
    assert errors[0].startswith("s.yaml:6: swift.num_generations: 3 does not divide")
    assert errors[0].endswith("(in 2 of 6 combinations: lr-2, lr-5)")
    source = {v.key: v for v in found.runs[3].planned.values}["swift.learning_rate"]
    assert (source.source, source.detail) == ("sweep", "s.yaml:5")
    assert [run.planned.plan.name for run in found.runs][:2] == ["lr-1", "lr-2"]


def test_only_one_combination_is_planned() -> None:
    for only, name in (("", "lr-1"), ("lr-4", "lr-4"), ("6", "lr-6")):
        found = plans(SPEC, sets=())
        one = plan_sweep(found.asked, only)
        assert (one.count, [run.combination.name for run in one.runs]) == (6, [name])
    assert plan_sweep(found.asked, "7").runs == []


def test_an_unknown_key_is_told_as_in_a_spec() -> None:
    found = plans(
        SPEC.replace("learning_rate", "lerning_rate")
        .replace("grid", "zip")
        .replace(", 3, 4", ", 4")
    )
    (line,) = [line for line in told(found) if "lerning" in line]
    assert line.startswith("s.yaml:5: swift.lerning_rate: ")
    found = plans("name: x\nextends: base.yaml\nsweep: {grid: {resources.nods: [1, 2]}}\n")
    assert "s.yaml:3: resources.nods: unknown key" in told(found)


def test_a_mistake_in_the_section_itself() -> None:
    found = plans("name: x\nextends: base.yaml\nsweep: {gird: {a.b: [1]}, max_parallel: 0}\n")
    assert [line for line in told(found) if "sweep" in line] == [
        "s.yaml:3: sweep.gird: unknown key",
        "s.yaml:3: sweep.max_parallel: expected a whole number from 1 to 10000, found '0'",
    ]
    assert "expected a mapping" in told(plans("name: x\nsweep: yes\n"))[0]


@pytest.mark.parametrize(
    ("options", "environ", "label"),
    [
        ({"sets": ("swift.learning_rate=1",)}, {}, "--set swift.learning_rate"),
        ({}, {"PRL_LEARNING_RATE": "1"}, "PRL_LEARNING_RATE"),
    ],
)
def test_what_varies_cannot_be_set_otherwise(
    options: Any, environ: dict[str, str], label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    assert told(plans(SPEC, **options)) == [
        f"s.yaml:5: sweep.grid.swift.learning_rate: {label} sets swift.learning_rate, which the sweep varies"
    ]


def test_a_variable_that_sets_an_argument_of_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRL_NUM_INFER_WORKERS", "1")
    assert told(plans(SPEC.replace("swift.learning_rate", "swift.vllm_mode"))) == [
        "s.yaml:5: sweep.grid.swift.vllm_mode: PRL_NUM_INFER_WORKERS sets swift.vllm_mode, which the sweep varies"
    ]


def test_other_options_change_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRL_SEED", "7")
    found = plans(SPEC, sets=("swift.beta=0.5", "sweep.max_parallel=3"))
    assert values(found, "swift.beta") == [0.5] * 6
    assert values(found, "swift.seed") == [7] * 6
    assert found.sweep.max_parallel == 3


def test_the_value_of_a_base_or_a_profile_is_below_that_of_the_sweep() -> None:
    Path("prl-submit.toml").write_text(
        "[profile.default.swift]\nlearning_rate = 0.5\nbeta = 0.25\n"
    )
    found = plans()
    assert values(found, "swift.learning_rate") == [1e-6] * 3 + [1e-5] * 3
    assert values(found, "swift.num_generations") == [2, 3, 4] * 2
    assert values(found, "swift.beta") == [0.25] * 6


def test_a_sweep_in_a_profile_and_in_a_base() -> None:
    Path("prl-submit.toml").write_text('[profile.default.sweep.grid]\n"swift.beta" = [0.1, 0.2]\n')
    found = plans("name: x\nextends: base.yaml\n")
    assert "a profile would make a sweep of each spec" in told(found)[0]
    Path("prl-submit.toml").unlink()
    Path("sweep.yaml").write_text(SPEC)
    assert plans("name: other\nextends: sweep.yaml\n").count == 6
    Path("s.yaml").write_text("name: other\nextends: sweep.yaml\nsweep: null\n")
    assert plan_spec("s.yaml", **OPTIONS).plan.name == "other"


def test_one_job_where_a_sweep_is() -> None:
    plans()
    with pytest.raises(SpecError, match="is a sweep, and this takes one job"):
        plan_spec("s.yaml", **OPTIONS)


def test_a_varying_environment_has_its_own_swift() -> None:
    """The arguments are those of the ms-swift of each combination."""
    spec = SPEC.replace(
        "swift.num_generations: [2, 3, 4]", "environment.swift_version: [3.3.0, 4.6.0]"
    )
    found = plans(spec, sets=("swift.tuner_type=lora",))
    wrong = [
        run.combination.values["environment.swift_version"] for run in found.runs if run.errors
    ]
    assert wrong == ["3.3.0", "3.3.0"]
