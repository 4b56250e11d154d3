"""What a report has of its runs: columns that decode to the logged numbers, charts, settings, notes."""

from __future__ import annotations

import base64
import struct
from math import isnan
from pathlib import Path

import pytest

from prl_submit.report.curves import hours
from prl_submit.report.report_data import gather
from prl_submit.results.metrics_reader import read_metrics
from tests.support.report_runs import make_run, write_arguments
from tests.support.swift_logs import ONE_PROCESS, SWIFT_33, SWIFT_46, step, write_run


def decoded(kind: str, text: str) -> list[float]:
    data = base64.b64decode(text)
    return list(struct.unpack(f"<{len(data) // struct.calcsize(kind)}{kind}", data))


def test_columns_hold_the_logged_numbers() -> None:
    (run,) = gather([SWIFT_46]).data.runs
    table = read_metrics(SWIFT_46).training
    assert decoded("d", run.training.steps) == table.steps()
    reward = decoded("f", run.training.metrics["reward"])
    assert reward == pytest.approx(table.column("reward"), rel=1e-6)
    assert run.restarts == [5]
    assert decoded("d", run.evaluations.steps) == [4, 8, 12]


def test_charts_of_what_the_runs_have() -> None:
    names = [chart.name for chart in gather([SWIFT_33, SWIFT_46]).data.charts]
    assert names[:3] == ["reward", "reward/PrlFormat", "reward/PrlAccuracy"]
    assert {"loss", "kl", "completion_length", "clipped_share", "entropy", "grad_norm"} <= set(
        names
    )
    assert {"seconds_per_step", "learning_rate"} <= set(names)
    assert "memory_gib" not in names  # it is 0 on a CPU


def test_hours_count_steps_that_were_not_timed() -> None:
    nan = float("nan")
    assert hours([1, 2, 4], [nan, 3600.0, 1800.0]) == pytest.approx([0.75, 1.75, 2.75])
    (unknown,) = hours([1], [nan])
    assert isnan(unknown)


def test_every_step_of_a_long_training_is_there(tmp_path: Path) -> None:
    run = write_run(tmp_path, (step(n, 40_000, reward=n / 1e5) for n in range(1, 40_001)))
    (found,) = gather([run], most_completions=0).data.runs
    assert decoded("d", found.training.steps) == list(range(1, 40_001))
    assert not any("mean of" in text for text in found.notes)


def test_many_runs_have_fewer_rows_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prl_submit.report.report_data._ROWS", 1000)
    write_run(tmp_path, (step(n, 3000) for n in range(1, 3001)))
    found = gather([tmp_path, tmp_path], most_completions=0).data.runs
    assert len(decoded("d", found[0].training.steps)) < 1000
    assert "each point of its curves is the mean of 4 logged steps" in found[0].notes


def test_settings_that_differ_and_all_others() -> None:
    settings = gather([SWIFT_46, ONE_PROCESS]).data.settings
    assert settings.differing["resources.nproc_per_node"] == ["2", "1"]
    assert settings.common["swift.rlhf_type"] == "grpo"
    assert not set(settings.differing) & set(settings.common)


def test_secrets_are_hidden(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    write_arguments(run, hub_token="hf_verysecret", learning_rate=1e-5)
    settings = gather([run]).data.settings
    assert settings.common["swift.hub_token"] == "***"
    assert settings.common["swift.learning_rate"] == "1e-5"


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "logging.jsonl").symlink_to(tmp_path / "nowhere")
    (linked / "completions.jsonl").mkdir()
    gone = tmp_path / "gone"
    told = [run.notes for run in gather([empty, linked, gone]).data.runs]
    assert [text.partition(":")[0] for text in told[0]] == [
        "logging.jsonl is missing",
        "args.json is missing",
        "completions.jsonl is missing",
    ]
    assert "logging.jsonl is a symbolic link to nothing, so it was not read" in told[1]
    assert "completions.jsonl is no regular file, so it was not read" in told[1]
    assert told[2] == ["the run directory is missing"]


def test_a_run_directory_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    real, link, dead = make_run(tmp_path / "a"), tmp_path / "link", tmp_path / "dead"
    link.symlink_to(real)
    dead.symlink_to(tmp_path / "nowhere")
    first, second = gather([link, dead]).data.runs
    assert (first.notes, len(decoded("d", first.training.steps))) == ([], 20)
    assert second.notes == ["the run directory is a link to nothing"]


def test_damaged_lines_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    with (run / "logging.jsonl").open("a") as file:
        file.write("garbage\n")
    (found,) = gather([run]).data.runs
    assert found.notes == ["1 line of logging.jsonl could not be read"]


def test_no_completions_if_none_are_asked_for() -> None:
    gathered = gather([SWIFT_46], most_completions=0)
    assert gathered.completions == [None]
    assert gathered.data.runs[0].notes == []
    (kept,) = gather([SWIFT_46], most_completions=8).completions
    assert kept is not None
    assert 1 <= kept.count() <= 8


def test_an_equal_share_of_completions_for_each_run(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, 50) for name in "ab"]
    found = gather(runs, most_completions=40).completions
    assert all(kept and 8 <= kept.count() <= 20 for kept in found)
