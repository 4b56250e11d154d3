"""Runs for tests of reports: with many steps, with hostile texts, with a completions.jsonl of any kind."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prl_submit.report.page import page
from prl_submit.report.report_data import gather
from tests.support.swift_logs import step, text_of, write_run

#: What HTML, JavaScript, terminals and text layout could take for their own.
HOSTILE_TEXTS = (
    "</script><script>hacked = 1</script>",
    "<!--<script>",
    "<img src=x onerror='hacked = 1'>",
    "</style></title></textarea>",
    "]]>&lt;&amp;&#60;",
    "line\u2028paragraph\u2029end",
    "nul\x00bell\x07",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202eright to left\u2066 isolate",
    "${hacked = 1}`\\u003c",
    "@POLICY@ @TITLE@ %s {{ 7 }}",
    "中文，提示词 🎬 e\u0301",
    "عربي",
)


def batch(
    number: int, texts: Sequence[str], rewards: Sequence[float | None], **more: Any
) -> dict[str, Any]:
    """A line of completions.jsonl as 4.6 writes it, with one reward function, Fun."""
    count = len(texts)
    return {
        "step": [str(number)] * count,
        "prompt": [f"prompt of step {number}"] * count,
        "completion": list(texts),
        "Fun": list(rewards),
        "advantages": [0.5] * count,
        **more,
    }


def write_completions(run: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """Write a completions.jsonl; the file."""
    run.mkdir(exist_ok=True)
    path = run / "completions.jsonl"
    path.write_text(text_of(lines), encoding="utf-8")
    return path


def write_arguments(run: Path, **more: Any) -> None:
    """Write an args.json of 4.6: one process, 4 samples a step."""
    arguments = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1} | more
    told = {"global_world_size": 1, "num_generations": 4, "swift_version": "4.6.0"} | arguments
    (run / "args.json").write_text(json.dumps(told), encoding="utf-8")


def make_run(
    folder: Path, steps: int = 20, *, peak: int | None = None, slope: float = 0.01
) -> Path:
    """A training whose reward rises by `slope` a step; at the step `peak` it is 5."""
    lines = [
        step(n, steps, reward=5.0 if n == peak else n * slope, kl=0.001 * n, grad_norm=0.1)
        for n in range(1, steps + 1)
    ]
    write_run(folder, lines)
    write_arguments(folder)
    write_completions(
        folder, (batch(n, [f"text {n}", "other"], [n / 10, None]) for n in range(1, steps + 1))
    )
    return folder


def write_page(path: Path, runs: Sequence[Path], **more: Any) -> Path:
    """Write the report of some runs; the file."""
    path.write_bytes(b"".join(page(gather(runs, written_at="2026-11-30", version="1", **more))))
    return path
