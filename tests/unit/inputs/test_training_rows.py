"""The rows that a training has, and where their number cannot be known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prl_submit.inputs import training_rows
from prl_submit.inputs.training_rows import Rows, rows_of_file, training_steps
from prl_submit.rules.number_of_steps import StepCount
from tests.support.plans import planned

ROW = {"messages": [{"role": "user", "content": "a"}], "solution": "1"}
LINE = json.dumps(ROW) + "\n"


def steps(folder: Path, **swift: Any) -> StepCount | None:
    """The steps of one epoch with one prompt in each step."""
    base = {"rlhf_type": "grpo", "model": "m", "reward_funcs": ["format"], "num_generations": 4}
    sizes = {"per_device_train_batch_size": 4, "num_train_epochs": 1, "eval_strategy": "no"}
    setup = swift.pop("setup", [])
    spec = {
        "name": "x",
        "environment": {"setup": setup},
        "resources": {"nproc_per_node": 1},
        "swift": {**base, **sizes, "dataset": ["a.jsonl"], **swift},
    }
    return training_steps(planned(json.dumps(spec)).job, str(folder))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with 100 rows in a.jsonl, 10 in b.jsonl."""
    (tmp_path / "a.jsonl").write_text(LINE * 100)
    (tmp_path / "b.jsonl").write_text(LINE * 10)
    return tmp_path


@pytest.mark.parametrize(
    ("swift", "rows"),
    [
        ({}, 100),
        ({"dataset": ["a.jsonl", "b.jsonl"]}, 110),
        ({"dataset": ["a.jsonl#30"]}, 30),
        ({"dataset": ["b.jsonl#25"]}, 25),  # rows are repeated
        ({"split_dataset_ratio": 0.1}, 100),  # without an evaluation nothing is split off
        ({"split_dataset_ratio": 0.1, "eval_strategy": "steps"}, 90),
        ({"split_dataset_ratio": 0.001, "eval_strategy": "steps"}, 99),
        ({"split_dataset_ratio": 0.1, "eval_strategy": "steps", "val_dataset": ["b.jsonl"]}, 100),
        ({"split_dataset_ratio": 0.1, "eval_strategy": "steps", "dataset": ["a.jsonl#50", "b.jsonl"]}, 54),
        ({"dataset_shuffle": False, "truncation_strategy": "delete"}, 100),
    ],
)  # fmt: skip
def test_rows(data: Path, swift: dict[str, Any], rows: int) -> None:
    assert steps(data, **swift) == StepCount(rows)


@pytest.mark.parametrize(
    "swift",
    [
        {"dataset": ["AI-ModelScope/alpaca"]},
        {"dataset": ["a.jsonl", "AI-ModelScope/alpaca#500"]},
        {"dataset": ["none.jsonl"]},
        {"dataset": []},
        {"streaming": True},
        {"packing": True},
        {"cached_dataset": ["x"]},
        {"dataset": ["a.jsonl", "b.jsonl"], "interleave_prob": [0.5, 0.5]},
        {"setup": ["python make.py a.jsonl"]},
    ],
)
def test_unknown(data: Path, swift: dict[str, Any]) -> None:
    assert steps(data, **swift) is None
    known = {**swift, "max_steps": 7}
    assert steps(data, **known) == StepCount(7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LINE * 3, Rows(3)),
        ("\ufeff" + LINE + "\n  \n" + LINE.rstrip(), Rows(2)),
        (LINE + '{"messages": []}\n', Rows(2, is_rough=True)),
        (LINE + '{"messages": null}\n', Rows(2, is_rough=True)),
        (LINE + '{"messages": [{"role": "user"}]}\n', Rows(2, is_rough=True)),
        (LINE + '{"messages": [{"role": "me", "content": "a"}]}\n', Rows(2, is_rough=True)),
        ('{"messages": [{"from": "human", "value": "a"}]}\n', Rows(1)),
        ('{"query": "a", "solution": "1"}\n', Rows(1)),
        ('{"query": null}\n', Rows(1, is_rough=True)),
        (f"[{LINE}, {LINE}]", Rows(2, is_rough=True)),
        ('{\n"query": "a"\n}\n', None),
        ("", Rows(0)),
    ],
)
def test_rows_of_a_file(tmp_path: Path, text: str, expected: Rows | None) -> None:
    """Rows that ms-swift may drop make the number rough."""
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    assert rows_of_file(str(tmp_path / "a.jsonl")) == expected


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("query,solution\na,1\nb,2\n")
    (tmp_path / "a.parquet").write_bytes(b"PAR1PAR1")
    assert rows_of_file(str(tmp_path / "a.csv")) == Rows(2, is_rough=True)
    assert rows_of_file(str(tmp_path / "a.parquet")) is None
    assert rows_of_file(str(tmp_path / "none.jsonl")) is None
    assert rows_of_file(str(tmp_path)) is None


def test_a_large_file_is_counted_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is estimated from its size."""
    monkeypatch.setattr(training_rows, "_COUNTED_BYTES", len(LINE) * 10)
    (tmp_path / "a.jsonl").write_text(LINE * 1000)
    assert rows_of_file(str(tmp_path / "a.jsonl")) == Rows(1000, is_rough=True)
    (tmp_path / "a.jsonl").write_text(LINE * 10)
    assert rows_of_file(str(tmp_path / "a.jsonl")) == Rows(10)
