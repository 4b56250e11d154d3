"""A directory in the format of ms-swift 3.3 gives compare, status and report the same columns as one of 4.6."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prl_submit.report.report_data import gather
from prl_submit.results.comparison import compare
from prl_submit.results.overview import overview
from prl_submit.results.run_result import RunResult, read_result
from prl_submit.results.run_status import latest_metrics
from tests.support.swift_logs import SWIFT_33, SWIFT_46, text_of, times

STEPS = 30
SECONDS = 36.0
ARGUMENTS = {"num_generations": 4, "per_device_train_batch_size": 4, "global_world_size": 1}


def reward(step: int, index: int) -> float:
    """The reward of one completion of a step."""
    return round(0.1 + step / 100 + index / 50, 6)


def written(folder: Path, lines: list[dict[str, Any]], completions: list[dict[str, Any]]) -> Path:
    """A directory as ms-swift leaves it."""
    folder.mkdir()
    (folder / "logging.jsonl").write_text(text_of(lines), encoding="utf-8")
    (folder / "completions.jsonl").write_text(text_of(completions), encoding="utf-8")
    (folder / "args.json").write_text(json.dumps(ARGUMENTS | {"gradient_accumulation_steps": 1}))
    return folder


def seconds(step: int) -> int:
    """Since the training began: the first step takes two minutes more."""
    return int(120 + SECONDS * step)


def of_46(root: Path) -> Path:
    """Numbers, all rewards, `train_speed(s/it)`."""
    lines, completions = [], []
    for n in range(1, STEPS + 1):
        rewards = [reward(n, index) for index in range(4)]
        lines.append(
            {
                "loss": 0.01, "grad_norm": 0.2, "learning_rate": 1e-5, "kl": 0.01,
                "completions/mean_length": 300.0 + n, "completions/clipped_ratio": 0.25,
                "reward": sum(rewards) / 4, "reward_std": 0.025820, "memory(GiB)": 77.94,
                "global_step/max_steps": f"{n}/{STEPS}", "elapsed_time": times(seconds(n)),
                "train_speed(s/it)": round(seconds(n) / n, 6),
            }
        )  # fmt: skip
        completions.append(
            {"step": [str(n)] * 4, "prompt": ["p"] * 4, "completion": list("abcd"), "F": rewards}
        )
    return written(root / "v1-20261130-100000", lines, completions)


def of_33(root: Path, form: str) -> Path:
    """No reward in the log, iter/s, percentages; numbers as text, or with blanks, or as 4.6 prints them.

    completions.jsonl is in the form with conversations, which ms-swift writes before it counts the step.
    """

    def shown(value: float) -> Any:
        return {"text": str(value), "blank": f" {value} ", "number": value}[form]

    lines, completions = [], []
    for n in range(1, STEPS + 1):
        lines.append(
            {
                "loss": shown(0.01), "grad_norm": shown(0.2), "learning_rate": shown(1e-5),
                "memory(GiB)": shown(77.94), "train_speed(iter/s)": shown(round(n / seconds(n), 6)),
                "completions/mean_length": shown(300.0 + n),
                "completions/clipped_ratio": "25.00%" if form == "text" else shown(0.25),
                "kl": shown(0.01), "epoch": shown(0.1), "global_step/max_steps": f"{n}/{STEPS}",
                "percentage": f"{n / STEPS:.2%}", "elapsed_time": times(seconds(n)),
                "remaining_time": "35d 10h 21m 39s",
            }
        )  # fmt: skip
        rewards = [shown(reward(n, index)) for index in range(4)]
        talks = [[{"role": "user", "content": "p"}]] * 4
        completions.append(
            {
                "step": [str(n - 1)] * 4,
                "messages": talks,
                "completion": list("abcd"),
                "reward": rewards,
            }
        )
    return written(root / "v0-20261130-100000", lines, completions)


def filled(values: Any) -> set[str]:
    """The keys that have a value."""
    return {name for name, value in msgspec.to_builtins(values).items() if value is not None}


def status_of(result: RunResult) -> Any:
    return latest_metrics(
        result.metrics, overview(result.metrics, result.settings, 0.0, 0.0, is_running=True)
    )


@pytest.mark.parametrize("form", ["number", "text", "blank"])
def test_the_same_columns_and_the_same_numbers(tmp_path: Path, form: str) -> None:
    """One training, written in both formats: each view shows as much of the one as of the other, and the same."""
    old, new = of_33(tmp_path, form), of_46(tmp_path)
    results = [read_result(old), read_result(new)]
    compared = compare(results).runs
    assert filled(compared[0]) == filled(compared[1])
    for name in ("seconds_per_step", "samples_per_second", "reward", "last_reward", "kl",
                 "completion_length", "clipped_share", "peak_memory_gib", "efficiency"):  # fmt: skip
        first, second = (getattr(run, name) for run in compared)
        assert first == pytest.approx(second, rel=1e-3), name
    shown = [status_of(result) for result in results]
    assert filled(shown[0]) == filled(shown[1])
    assert filled(shown[0]) >= {"reward", "reward_std", "kl", "seconds_per_step", "memory_gib"}
    for name in filled(shown[0]) - {"ends_at", "time_left_s"}:
        assert getattr(shown[0], name) == pytest.approx(getattr(shown[1], name), rel=1e-3), name
    charts = [{chart.name for chart in gather([run]).data.charts} for run in (old, new)]
    # 4.6 wrote no share of groups that are alike into this log; of 3.3 it is computed.
    assert {n for n in charts[0] ^ charts[1] if not n.startswith("reward/")} <= {
        "frac_reward_zero_std"
    }


def test_the_real_directories(tmp_path: Path) -> None:
    """Of the real runs of 3.3.0 and 4.6.0 too, also if a user copied only logging.jsonl and completions.jsonl."""
    results = [read_result(run) for run in (SWIFT_33, SWIFT_46)]
    compared = compare(results).runs
    assert filled(compared[0]) - {"peak_memory_gib"} == filled(compared[1]) - {"job"} | (
        filled(compared[0]) & {"job"}
    )
    shown = [status_of(result) for result in results]
    assert filled(shown[0]) - {"memory_gib"} == filled(shown[1])
    bare = []
    for run in (SWIFT_33, SWIFT_46):
        folder = tmp_path / run.name
        folder.mkdir()
        for name in ("logging.jsonl", "completions.jsonl"):
            shutil.copy(run / name, folder)
        bare.append(status_of(read_result(folder)))
    assert filled(bare[0]) - {"memory_gib"} == filled(bare[1])
    assert "reward" in filled(bare[0])
