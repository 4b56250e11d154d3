"""Runs side by side: settings that differ, speed-up and efficiency, rewards at equal samples, and the tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.results.comparison import ComparedRun, Comparison, compare, ranked
from prl_submit.results.comparison_tables import (
    csv_text,
    markdown,
    metric_table,
    run_table,
    setting_table,
    setting_text,
)
from prl_submit.results.planned_settings import read_planned
from prl_submit.results.run_result import read_result, trained_seconds
from prl_submit.results.run_settings import RunSettings, read_run_settings
from prl_submit.results.setting_differences import HIDDEN, differences, differing_values
from prl_submit.results.timing import remaining
from prl_submit.runs.attempts import Attempt
from tests.support.swift_logs import (
    ONE_PROCESS,
    SWIFT_33,
    SWIFT_46,
    evaluation,
    step,
    text_of,
    times,
    write_run,
)

ARGUMENTS: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "num_generations": 4,
    "learning_rate": 1e-5,
    "output_dir": "/output/v1",
    "swift_version": "4.6.0",
}


def make(
    folder: Path, processes: int, seconds: float, count: int = 40, reward: float = 0.01, **more: Any
) -> Path:
    """A training of so many processes and steps, whose steps take so long and whose reward rises by `reward`."""
    lines = [
        step(
            n,
            40,
            reward=n * reward,
            completions__mean_length=100.0,
            **{"memory(GiB)": 60.0 + n / 10},
        )
        | {
            "elapsed_time": times(round(50 + n * seconds)),
            "train_speed(s/it)": (50 + n * seconds) / n,
        }
        for n in range(1, count + 1)
    ]
    run = write_run(folder, lines)
    arguments = ARGUMENTS | {"global_world_size": processes, "output_dir": str(folder)} | more
    (run / "args.json").write_text(json.dumps(arguments))
    return run


@pytest.fixture
def scaling(tmp_path: Path) -> Comparison:
    """Runs of 1, 2 and 4 processes whose step takes 10, 10 and 12.5 s."""
    runs = [
        make(tmp_path / "v1", 1, 10.0),
        make(tmp_path / "v2", 2, 10.0, reward=0.02),
        make(tmp_path / "v3", 4, 12.5, count=30, learning_rate=1e-6, beta=0.1),
    ]
    return compare([read_result(run) for run in runs])


def column(comparison: Comparison, field: str) -> list[Any]:
    return [getattr(run, field) for run in comparison.runs]


def test_scaling(scaling: Comparison) -> None:
    assert column(scaling, "processes") == [1, 2, 4]
    assert column(scaling, "samples_per_second") == pytest.approx([0.8, 1.6, 32 / 12.5])
    assert column(scaling, "tokens_per_second") == pytest.approx([80, 160, 256])
    assert column(scaling, "speed_up") == pytest.approx([1.0, 2.0, 3.2])
    assert column(scaling, "efficiency") == pytest.approx([1.0, 1.0, 0.8])
    assert column(scaling, "samples") == [320, 640, 960]
    assert column(scaling, "peak_memory_gib") == [64.0, 64.0, 63.0]
    assert column(scaling, "gpu_hours") == pytest.approx([450 / 3600, 900 / 3600, 1700 / 3600])


def test_rewards_at_equal_samples(scaling: Comparison) -> None:
    """320 samples are 40, 20 and 10 steps; the mean of the last 10 of them."""
    assert (scaling.equal_samples, scaling.equal_steps) == (320, None)
    assert column(scaling, "reward") == pytest.approx([0.355, 0.31, 0.055])
    assert column(scaling, "last_reward") == pytest.approx([0.355, 0.71, 0.255])


def seconds_of_steps(run: Path) -> dict[str, float]:
    """The seconds of each step but an attempt's first, worked out from the speeds alone, step by step.

    `train_speed(s/it)` times the steps of the attempt is the time since its begin; so is that of a line of
    an evaluation. An attempt begins where the steps go back; the second one began after checkpoint-4.
    """
    found: dict[str, float] = {}
    began, before, until = 0, 0, 0.0
    for line in map(json.loads, (run / "logging.jsonl").read_text("utf-8").splitlines()):
        if "train_speed(s/it)" not in line or "train_runtime" in line:
            continue
        number = int(line["global_step/max_steps"].partition("/")[0])
        if "loss" in line and number <= before:
            began = number - 1
        now = (number - began) * line["train_speed(s/it)"]
        if "loss" in line and number > began + 1:
            found[f"{began}:{number}"] = now - until
        before, until = number, now
    return found


def test_one_and_two_processes_of_a_real_training() -> None:
    """The speed-up and the efficiency equal those of an independent calculation from logging.jsonl."""
    runs = (ONE_PROCESS, SWIFT_46)
    found = compare([read_result(run) for run in runs])
    times = [seconds_of_steps(run) for run in runs]
    assert [len(each) for each in times] == [11, 14]
    one, two = (
        size * len(each) / sum(each.values()) for size, each in zip((2, 4), times, strict=True)
    )
    assert column(found, "processes") == [1, 2]
    assert column(found, "samples_per_second") == pytest.approx([one, two], rel=1e-6)
    assert column(found, "speed_up") == pytest.approx([1.0, two / one], rel=1e-6)
    assert column(found, "efficiency") == pytest.approx([1.0, two / one / 2], rel=1e-6)
    assert found.settings == {"resources.nproc_per_node": [1, 2]}
    assert found.equal_samples == 24


def test_without_args_json(tmp_path: Path) -> None:
    """Then the samples are not known, and rewards are compared at equal steps."""
    first, second = make(tmp_path / "a", 1, 10.0), make(tmp_path / "b", 1, 5.0, count=20)
    (first / "args.json").unlink()
    found = compare([read_result(first), read_result(second)])
    assert (found.equal_samples, found.equal_steps) == (None, 20)
    assert column(found, "speed_up") == [None, None]
    assert column(found, "seconds_per_step") == pytest.approx([10.0, 5.0])
    assert column(found, "reward") == pytest.approx([0.155, 0.155])
    assert "reward at step 20" in [row[0] for row in metric_table(found)[1]]


def test_runs_that_have_not_begun(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = compare([read_result(tmp_path / "empty"), read_result(SWIFT_46)])
    assert found.runs[0].step is None
    assert found.equal_samples == found.runs[1].samples
    assert (found.runs[0].reward, found.runs[1].reward is None) == (None, False)
    assert metric_table(found)[1]
    assert csv_text(found)
    assert markdown(found)


def test_a_run_that_soon_failed(tmp_path: Path) -> None:
    """It is no measure for the others, and not the best, although its two steps were the fastest."""
    runs = [make(tmp_path / "v1", 1, 10.0), make(tmp_path / "v2", 1, 5.0, count=3)]
    results = [read_result(run) for run in runs]
    failed = Attempt(state="FAILED", reason="CUDA out of memory")
    results[1] = msgspec.structs.replace(results[1], attempts=[failed])
    found = compare(results)
    assert found.equal_samples == found.runs[0].samples == 320
    assert (found.runs[0].reward is None, found.runs[1].reward) == (False, None)
    assert found.runs[1].speed_up == pytest.approx(2.0)
    assert [run.run for run in ranked(found, "samples_per_second")] == ["v1", "v2"]
    late = msgspec.structs.replace(results[1], attempts=[Attempt(state="CANCELLED")])
    again = compare([results[0], late])
    assert again.equal_samples == 24
    assert [run.run for run in ranked(again, "samples_per_second")] == ["v2", "v1"]


def test_settings_that_differ(scaling: Comparison) -> None:
    """Not the output directory, not the number of processes; beta is not an argument of all runs."""
    assert scaling.settings == {"swift.learning_rate": [1e-5, 1e-5, 1e-6]}


def test_what_is_no_difference(tmp_path: Path) -> None:
    """The same folder in other words, an argument's old name, and for which run a run waited."""
    for name, folder, after in (("v1", ".", None), ("v2", "/data/mr", "v1")):
        values = [{"key": "workdir", "value": folder}, {"key": "after", "value": after}]
        plan = {"values": values, "plan": {"workdir": "/data/mr"}}
        arguments = {"eval_strategy": after or "no", "evaluation_strategy": after or "no"}
        run = write_run(tmp_path / name, [])
        (run / "plan.json").write_text(json.dumps(plan))
        (run / "args.json").write_text(json.dumps(arguments))
    runs = [tmp_path / "v1", tmp_path / "v2"]
    assert differences([read_run_settings(run) for run in runs]) == {
        "swift.eval_strategy": ["no", "v1"]
    }
    assert differing_values([read_planned(run).values for run in runs]) == [{}, {}]


def test_settings_of_two_releases() -> None:
    """Only what a job spec states, because hundreds of defaults differ."""
    found = compare([read_result(SWIFT_33), read_result(SWIFT_46)]).settings
    assert found["ms-swift"] == ["3.3.0", "4.6.0"]
    assert found["swift.max_steps"] == [7, 12]
    assert "swift.loss_type" not in found
    assert "swift.output_dir" not in found
    assert len(found) < 12


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"per_device_train_batch_size": "x"}', '{"reward_weights": {}}', "\0"]
)
def test_odd_settings(tmp_path: Path, text: str) -> None:
    run = make(tmp_path / "v1", 2, 10.0)
    for name in ("args.json", "plan.json"):
        (run / name).write_text(text)
    assert compare([read_result(run)]).runs[0].samples_per_second is None


def test_settings_that_are_no_json(tmp_path: Path) -> None:
    """Python writes Infinity and NaN."""
    run = make(tmp_path / "v1", 2, 10.0, max_grad_norm=float("inf"))
    assert compare([read_result(run)]).runs[0].processes == 2


def test_secrets_and_equal_values() -> None:
    one = RunSettings({"hub_token": "a", "max_new_tokens": 2, "flag": True, "n": None}, {})
    other = RunSettings({"hub_token": "b", "max_new_tokens": 2.0, "flag": 1, "n": 0}, {})
    assert differences([one, other]) == {
        "swift.hub_token": [HIDDEN, HIDDEN],
        "swift.flag": [True, 1],
        "swift.n": [None, 0],
    }


def test_credentials_in_the_texts_of_settings() -> None:
    """A report may be sent to others."""
    one = {
        "model": "https://me:hunter22@host/m",
        "external_plugins": ["https://host/p?token=hunter22"],
        "model_kwargs": {"api_key": "hunter22", "x": 1},
        "note": "HF_TOKEN=hunter22",
    }
    other = {"model": "m", "external_plugins": [], "model_kwargs": {}, "note": ""}
    found = differences([RunSettings(one, {}), RunSettings(other, {})])
    assert "hunter22" not in str(found)
    assert found["swift.model"] == ["https://me:***@host/m", "m"]
    assert found["swift.model_kwargs"] == [{"api_key": "***", "x": 1}, {}]


def test_a_run_without_a_plan_makes_no_difference() -> None:
    plans: list[dict[str, Any]] = [{"backend": "local", "swift.beta": 0.1}, {}]
    assert differing_values(plans) == [{}, {}]
    plans.append({"backend": "local", "swift.beta": 0.2})
    assert differing_values(plans) == [{"swift.beta": 0.1}, {}, {"swift.beta": 0.2}]


def test_settings_before_args_json_is_written() -> None:
    one = RunSettings({"beta": 0.1}, {"swift.beta": 0.1, "resources.nodes": 1, "name": "a"})
    other = RunSettings({"beta": 0.2}, {"swift.beta": 0.2, "name": "b"})
    assert differences([one, other]) == {
        "swift.beta": [0.1, 0.2],
        "resources.nodes": [1, None],
    }


def test_the_time_of_all_attempts() -> None:
    """attempts.jsonl has 20 s and 14 s; without it, what the logged steps took."""
    result = read_result(SWIFT_46)
    assert [attempt.state for attempt in result.attempts] == ["CANCELLED", "SUCCEEDED"]
    assert trained_seconds(result) == 34.0
    assert compare([result]).runs[0].gpu_hours is None  # on CPUs
    assert result.job == "mr-cpu"


def test_order(scaling: Comparison) -> None:
    def names(metric: str, *, lowest: bool = False) -> list[str]:
        return [run.run for run in ranked(scaling, metric, lowest_first=lowest)]

    assert names("reward") == ["v1", "v2", "v3"]
    assert names("speed_up") == ["v3", "v2", "v1"]
    assert names("peak_memory_gib", lowest=True) == ["v3", "v1", "v2"]
    assert names("kl") == ["v1", "v2", "v3"]  # no run has it


def test_tables(scaling: Comparison) -> None:
    header, rows = metric_table(scaling)
    assert header == ["", "v1", "v2", "v3"]
    cells = {row[0]: row[1:] for row in rows}
    assert cells["speed-up"] == ["1.00x", "2.00x", "3.20x"]
    assert cells["scaling efficiency"] == ["100%", "100%", "80%"]
    assert cells["steps"] == ["40/40", "40/40", "30/40"]
    assert cells["reward after 320 samples"] == ["0.355", "0.31", "0.055"]
    assert "kl" not in cells
    assert setting_table(scaling)[1] == [["swift.learning_rate", "1e-5", "1e-5", "1e-6"]]
    header, rows = run_table(scaling)
    assert header[:3] == ["run", "swift.learning_rate", "steps"]
    assert rows[2][:3] == ["v3", "1e-6", "30/40"]


def test_csv(scaling: Comparison) -> None:
    rows = list(csv.DictReader(csv_text(scaling).splitlines()))
    assert [row["run"] for row in rows] == ["v1", "v2", "v3"]
    assert float(rows[2]["efficiency"]) == pytest.approx(0.8)
    assert rows[0]["kl"] == ""
    assert rows[2]["swift.learning_rate"] == "1e-06"
    missing = set(ComparedRun.__struct_fields__) - set(rows[0])
    assert missing == set()


def test_numbers_at_the_end_of_the_range(tmp_path: Path) -> None:
    """Their sum is larger than any number."""
    run = make(tmp_path / "v1", 1, 10.0, reward=1e307, count=15)
    lines = [step(n, 40, reward=1e308, kl=1e308) for n in range(16, 30)]
    evaluations = [evaluation(n, 40, runtime=1e308) for n in (29, 30)]
    with (run / "logging.jsonl").open("a") as file:
        file.write(text_of([*lines, *evaluations]))
    result = read_result(run)
    found = compare([result]).runs[0]
    assert found.last_reward == pytest.approx(1e308)
    assert found.kl == pytest.approx(1e308)
    assert remaining(result.metrics, result.settings, 0.0, 0.0) is not None


def test_hostile_texts(tmp_path: Path) -> None:
    """A value of a setting can neither steer a terminal nor break a table, and is no formula."""
    ugly = ["=1+1", "a|b\n<script>", "\x1b[2J"]
    runs = [make(tmp_path / f"v{n}", 1, 10.0, model=text) for n, text in enumerate(ugly)]
    found = compare([read_result(run) for run in runs])
    assert [setting_text(text) for text in ugly] == ["=1+1", "a|b <script>", ""]
    assert "\x1b" not in markdown(found)
    table = markdown(found).split("\n\n")[0].splitlines()
    assert {line.count("|") for line in table} == {5}
    assert "<script>" not in markdown(found)
    rows = list(csv.DictReader(csv_text(found).splitlines(keepends=True)))
    assert rows[0]["swift.model"] == "'=1+1"
    assert setting_text("x" * 100) == "x" * 59 + "…"
    assert [setting_text(value) for value in (200.0, 0.5, None, [1, "a"])] == [
        "200",
        "0.5",
        "-",
        '[1,"a"]',
    ]
