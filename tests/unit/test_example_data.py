"""The example data sets are complete, valid and split cleanly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parents[2] / "jobs" / "data"
ROWS = {
    "mr_train": 96,
    "mr_val": 16,
    "sum_train": 16,
    "sum_val": 8,
    "sim_train": 16,
    "sim_val": 8,
}
TASKS = ("mr", "sum", "sim")


def load(name: str) -> list[dict[str, Any]]:
    """The rows of one file."""
    text = (DATA / f"{name}.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def texts(name: str) -> set[str]:
    """The held-out texts of one file."""
    column = "sentences" if name.startswith("mr") else "sources"
    return {text for row in load(name) for text in row[column]}


def user_text(row: dict[str, Any]) -> str:
    """What the user says in a row."""
    return str(row["messages"][-1]["content"])


@pytest.mark.parametrize(("name", "count"), ROWS.items())
def test_number_of_rows(name: str, count: int) -> None:
    """Every file has as many rows as promised, none of them twice."""
    rows = load(name)
    assert len(rows) == count
    assert len({json.dumps(row, sort_keys=True) for row in rows}) == count


@pytest.mark.parametrize("name", ROWS)
def test_messages_are_one_short_question(name: str) -> None:
    """An optional system message, then one user message that says how to reply."""
    for row in load(name):
        assert [m["role"] for m in row["messages"]] in (["user"], ["system", "user"])
        assert all(set(m) == {"role", "content"} and m["content"].strip() for m in row["messages"])
        assert "<think>" in user_text(row)
        assert "<answer>" in user_text(row)
        # Room for the prompt and its answer in the 512 positions of the tiny model.
        assert sum(len(m["content"].encode()) for m in row["messages"]) < 600


@pytest.mark.parametrize("name", ["mr_train", "mr_val"])
def test_mr_columns(name: str) -> None:
    """Four different sentences with a valid label each, both labels in every row."""
    for row in load(name):
        assert set(row) == {"messages", "sentences", "labels"}
        assert len(set(row["sentences"])) == len(row["labels"]) == 4
        assert set(row["labels"]) == {"positive", "negative"}
        assert all(s == s.strip() and len(s) > 10 for s in row["sentences"])


@pytest.mark.parametrize("name", ["mr_train", "mr_val"])
def test_mr_labels_agree_between_rows(name: str) -> None:
    """A sentence has the same label wherever it occurs."""
    labels: dict[str, str] = {}
    for row in load(name):
        for sentence, label in zip(row["sentences"], row["labels"], strict=True):
            assert labels.setdefault(sentence, label) == label


@pytest.mark.parametrize("name", ["sum_train", "sum_val", "sim_train", "sim_val"])
def test_source_columns(name: str) -> None:
    """Two sources per row; one summary, or a list of simpler sentences, for each."""
    wanted = str if name.startswith("sum") else list
    for row in load(name):
        assert set(row) == {"messages", "sources", "references"}
        assert len(set(row["sources"])) == len(row["references"]) == 2
        assert all(isinstance(reference, wanted) and reference for reference in row["references"])
        for source, reference in zip(row["sources"], row["references"], strict=True):
            assert source not in ([reference] if isinstance(reference, str) else reference)


@pytest.mark.parametrize("name", ROWS)
def test_held_out_texts_are_not_shown(name: str) -> None:
    """The policy never sees the examples on which its prompt will be tried."""
    for row in load(name):
        held_out = row.get("sentences", []) + row.get("sources", [])
        references = [
            r
            for item in row.get("references", [])
            for r in ([item] if isinstance(item, str) else item)
        ]
        assert not [text for text in held_out + references if text in user_text(row)]


@pytest.mark.parametrize("task", TASKS)
def test_train_and_validation_share_no_text(task: str) -> None:
    """Nothing of a validation file, shown or held out, occurs in the training file."""
    train = (DATA / f"{task}_train.jsonl").read_text(encoding="utf-8")
    shared = [t for t in texts(f"{task}_val") if json.dumps(t, ensure_ascii=False)[1:-1] in train]
    assert not shared
    val = "".join(user_text(row) for row in load(f"{task}_val"))
    assert not [text for text in texts(f"{task}_train") if text in val]


def test_not_only_ascii() -> None:
    """Accents, an emoji and Chinese are there, so that a wrong encoding is noticed."""
    everything = "".join(texts("mr_train"))
    assert {"é", "《", "😂"} <= set(everything)
