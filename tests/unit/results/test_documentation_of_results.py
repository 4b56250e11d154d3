"""docs/results.md names every metric with its keys, and every hint."""

from __future__ import annotations

from pathlib import Path

from prl_submit.results import health
from prl_submit.results.metric_names import METRICS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "results.md").read_text("utf-8")


def test_every_metric() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    for metric in METRICS:
        assert any(row.startswith(f"| `{metric.name}` | {metric.meaning}") for row in rows), metric
        for key, releases in metric.keys:
            assert any(f"| `{key}` | " in row and releases in row for row in rows), key


def test_every_hint() -> None:
    source = Path(health.__file__).read_text("utf-8")
    named = [line for line in PAGE.splitlines() if line.startswith("| `")]
    told = [line.split("`")[1] for line in named if f'name="{line.split("`")[1]}"' in source]
    assert len(told) == len(set(told)) == len(health.CHECKS)
