"""Directories as ms-swift leaves them: of real trainings, and lines in the form of any release.

`swift_runs/4.6.0` and `3.3.0` are real: two CPU processes, a tiny model, two reward functions. The first was
cancelled after step 8 and resumed from checkpoint-4; an evaluation after each 4 steps. The second had an
evaluation after each 3 steps, and so no reward in the lines of steps 3, 6 and 7.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REAL = Path(__file__).parent / "swift_runs"
SWIFT_46 = REAL / "4.6.0"
SWIFT_33 = REAL / "3.3.0"
#: The job of SWIFT_46 with one process; without completions.jsonl and the log.
ONE_PROCESS = REAL / "4.6.0-one-process"


def step(number: int, max_steps: int = 100, **values: Any) -> dict[str, Any]:
    """A training step's line of 4.6 with 10 s for each step. `values`: metrics by ms-swift's keys, `/` as `__`."""
    named = {key.replace("__", "/"): value for key, value in values.items()}
    return {
        "loss": 0.1,
        **named,
        "global_step/max_steps": f"{number}/{max_steps}",
        "elapsed_time": times(number * 10),
        "remaining_time": times((max_steps - number) * 10),
        "train_speed(s/it)": 10.0,
    }


def old_step(number: int, max_steps: int = 100, **values: Any) -> dict[str, Any]:
    """The same step as ms-swift before 3.12.5 writes it."""
    named = {key.replace("__", "/"): value for key, value in values.items()}
    return {
        "loss": 0.1,
        **named,
        "memory(GiB)": 70.43,
        "train_speed(iter/s)": 0.1,
        "global_step/max_steps": f"{number}/{max_steps}",
        "percentage": f"{number / max_steps:.2%}",
        "elapsed_time": times(number * 10),
        "remaining_time": times((max_steps - number) * 10),
    }


def evaluation(number: int, max_steps: int = 100, **values: Any) -> dict[str, Any]:
    """The line of an evaluation that took 30 s."""
    named = {f"eval_{key.replace('__', '/')}": value for key, value in values.items()}
    return {
        "eval_loss": 0.2,
        "eval_runtime": 30.0,
        **named,
        "global_step/max_steps": f"{number}/{max_steps}",
        "elapsed_time": times(number * 10 + 30),
    }


def times(seconds: int) -> str:
    """ms-swift's `format_time`."""
    days, hours, minutes, rest = (
        seconds // 86_400,
        seconds // 3600 % 24,
        seconds // 60 % 60,
        seconds % 60,
    )
    if days:
        return f"{days}d {hours}h {minutes}m {rest}s"
    if hours:
        return f"{hours}h {minutes}m {rest}s"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"


def text_of(lines: Iterable[dict[str, Any]]) -> str:
    """The lines as ms-swift writes them, NaN included."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def write_run(run: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """Write a logging.jsonl; the directory."""
    run.mkdir(exist_ok=True)
    (run / "logging.jsonl").write_text(text_of(lines), encoding="utf-8")
    return run
