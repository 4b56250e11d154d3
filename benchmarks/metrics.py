"""Processor time and memory of reading metrics: logging.jsonl of 1 GB, what a follower reads, and many runs.

usage: python -m benchmarks.metrics [--megabytes N]      exit 1 if a budget is exceeded
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.base import ROOT, Command
from benchmarks.table import Row, report

#: The keys of a training step as ms-swift 4.6.0 writes it, with two reward functions.
STEP = {
    "loss": 1.8e-07, "grad_norm": 0.23679514, "learning_rate": 9.83e-05, "completions/mean_length": 632.5,
    "completions/min_length": 132.0, "completions/max_length": 768.0, "completions/clipped_ratio": 0.125,
    "reward": 0.02273535, "reward_std": 0.00213278, "frac_reward_zero_std": 0.0,
    "rewards/PrlFormat/mean": 0.0757845, "rewards/PrlFormat/std": 0.00628581,
    "rewards/PrlAccuracy/mean": 0.123, "rewards/PrlAccuracy/std": 0.321, "entropy/mean": 0.22218657,
    "entropy/max": 0.62248268, "entropy/min": 0.12200012, "kl": 0.0123, "clip_ratio/low_mean": 0.0,
    "clip_ratio/low_min": 0.0, "clip_ratio/high_mean": 0.0, "clip_ratio/high_max": 0.0,
    "clip_ratio/region_mean": 0.0, "step_time": 35.3697836, "epoch": 0.02083333,
}  # fmt: skip
LEAST_MB_PER_S = 100.0
MOST_MB = 100.0
RUNS = 1000
READ = "import sys; from pathlib import Path; from prl_submit.results.metrics_reader import read_metrics; print(read_metrics(Path(sys.argv[1])).step)"


def lines(first: int, count: int) -> bytes:
    """The lines of some steps, each with its own numbers."""
    made = []
    for step in range(first, first + count):
        changed = {key: round(value + step * 1e-8, 8) for key, value in STEP.items()}
        told = {
            "global_step/max_steps": f"{step}/99999999",
            "elapsed_time": f"{step * 36 // 86400}d {step * 36 // 3600 % 24}h {step * 36 // 60 % 60}m {step * 36 % 60}s",
            "remaining_time": "35d 10h 21m 39s",
            "memory(GiB)": 77.94,
            "train_speed(s/it)": 36.0,
        }
        made.append(json.dumps(changed | told))
    return ("\n".join(made) + "\n").encode()


def write_log(path: Path, size: int) -> int:
    """Write a logging.jsonl of at least so many bytes; the number of its steps."""
    steps = 0
    with path.open("wb") as file:
        while file.tell() < size:
            file.write(lines(steps + 1, 1000))
            steps += 1000
    return steps


def processor_time(command: Command) -> tuple[float, float]:
    """Run a program: its processor time in seconds, and its peak resident memory in MB.

    Wall time would tell of the other work on the machine.
    """
    with subprocess.Popen(command, cwd=ROOT, stdout=-3) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def large_file(run: Path, size: int) -> list[Row]:
    """Read one large file in a process of its own, and then some new lines of it."""
    from prl_submit.results.metrics_reader import MetricsReader

    steps = write_log(run / "logging.jsonl", size)
    megabytes = (run / "logging.jsonl").stat().st_size / 1e6
    seconds, peak = processor_time([sys.executable, "-c", READ, run])
    reader = MetricsReader(run)
    reader.read()
    with (run / "logging.jsonl").open("ab") as file:
        file.write(lines(steps + 1, 10))
    begin = time.process_time()
    found = reader.read().step
    new = time.process_time() - begin
    if found != steps + 10:
        sys.exit(f"the follower read step {found} in place of {steps + 10}")
    return [
        Row(f"each 100 MB of {megabytes:.0f} MB, {steps} steps", seconds / megabytes * 1e5, 1e5 / LEAST_MB_PER_S),
        Row("peak memory", peak, MOST_MB, "MB"),
        Row("a follower's 10 new lines", new * 1e3, 10.0),
    ]  # fmt: skip


def many_runs(root: Path) -> Row:
    """Read the last lines of many runs."""
    from prl_submit.results.metrics_reader import read_recent_metrics

    content = lines(1, 100)
    runs = [root / f"v{number}" for number in range(RUNS)]
    for run in runs:
        run.mkdir()
        (run / "logging.jsonl").write_bytes(content)
    begin = time.process_time()
    for run in runs:
        read_recent_metrics(run)
    seconds = time.process_time() - begin
    return Row(f"the last lines of {RUNS} runs", seconds * 1e3, 1000.0)


def main() -> int:
    """Measure, and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    size = parser.parse_args().megabytes * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run.mkdir()
        rows = large_file(run, size)
        return report([*rows, many_runs(Path(folder))])


if __name__ == "__main__":
    sys.exit(main())
