"""Time, memory and size of prl-submit's base install, compared with `python -c pass`.

It makes a temporary environment with prl-submit and its base dependencies alone, runs each command and
`python -c pass` in turn for ten rounds, and prints medians, ratios and peaks beside their budgets.

usage: python -m benchmarks.run [--rounds N]      exit 1 if a budget is exceeded
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.base import ROOT, Command, in_turn, install

RUNS = 1000
MAX_PACKAGES = 12
MAX_MB = 32
PEAK_MB = 60
LIST_S = 1.0
#: How many times as long as `python -c pass` a command may take.
BUDGETS = {
    "--help": 5.0,
    "check mr_4gpu": 8.0,
    "check mr_cpu, 500 kB of data": 9.0,  # reads 500 kB more than the plain `check`
    "the same, ms-swift's source read": 17.0,  # ms-swift's arguments, and the names that it registers
    "render mr_4gpu": 8.0,
}
DATA_BYTES = 500_000


def packages(binaries: Path) -> tuple[int, float]:
    """The number of installed packages and their size in MB (10^6), without pip's own tools."""
    listed = subprocess.run(
        [binaries / "pip", "list", "--format=json"], check=True, capture_output=True
    )
    tools = {"pip", "setuptools", "wheel"}
    names = [item["name"] for item in json.loads(listed.stdout) if item["name"] not in tools]
    site = next((binaries.parent / "lib").glob("python3*/site-packages"))
    ours = [
        path
        for path in site.iterdir()
        if path.name.partition("-")[0] not in tools | {"pkg_resources", "_distutils_hack"}
    ]
    size = sum(f.stat().st_size for path in ours for f in [path, *path.rglob("*")] if f.is_file())
    size += (binaries / "shfmt").stat().st_size  # the one program that is no Python
    return len(names), size / 1e6


#: The config.json of Qwen2.5-0.5B: without such a file a folder is no model.
QWEN_0_5B = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}


def make_runs(root: Path, count: int) -> None:
    """Make directories of finished runs, with the files that real runs have."""
    line = json.dumps({"loss": 0.1, "reward": 0.5, "global_step/max_steps": "100/100"})
    for number in range(count):
        run = root / f"v{number}-20260101-000000"
        (run / "logs").mkdir(parents=True)
        record = {
            "name": f"job-{number}",
            "backend": "local",
            "job_id": str(number),
            "submitted_at": "2026-01-01T00:00:00+00:00",
            "token": f"{number:016x}",
        }
        ended = {"exit_code": 0, "state": "SUCCEEDED", "restarts": 0}
        (run / "run.json").write_text(json.dumps(record))
        (run / "exit.json").write_text(json.dumps(ended))
        (run / "logging.jsonl").write_text(f"{line}\n" * 100)


def make_job(folder: Path) -> Path:
    """Write a job for the environment that runs this. It has a data set, and `check` reads its ms-swift."""
    row = {
        "messages": [{"role": "user", "content": "x" * 200}],
        "sentences": ["a film"],
        "labels": ["good"],
    }
    line = json.dumps(row) + "\n"
    data = folder / "train.jsonl"
    data.write_text(line * (DATA_BYTES // len(line) + 1))
    (folder / "config.json").write_text(json.dumps(QWEN_0_5B))
    spec = folder / "job.yaml"
    base = {
        "name": "bench",
        "extends": str(ROOT / "jobs" / "mr_cpu.yaml"),
        "environment": {"venv": sys.prefix},
        "swift": {"dataset": [str(data)], "model": str(folder)},
    }
    spec.write_text(json.dumps(base))  # JSON is YAML
    return spec


def main() -> int:
    """Measure all commands and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        binaries = install(Path(folder) / "venv")
        program = binaries / "prl-submit"
        many = Path(folder) / "output"
        make_runs(many, RUNS)
        spec = "jobs/mr_4gpu.yaml"
        job = make_job(Path(folder))
        cold = Path(folder) / "cold"
        cached = {"warm": f"XDG_CACHE_HOME={folder}/warm", "cold": f"XDG_CACHE_HOME={cold}"}
        commands: dict[str, Command] = {
            "python -c pass": [binaries / "python", "-c", "pass"],
            "--help": [program, "--help"],
            "check mr_4gpu": [program, "check", spec],
            "check mr_cpu, 500 kB of data": ["env", cached["warm"], program, "check", job],
            "the same, ms-swift's source read": ["env", cached["cold"], program, "check", job],
            "render mr_4gpu": [program, "render", spec],
            f"list, {RUNS} runs": [program, "list", "--output-root", many],
            f"status, {RUNS} runs": [program, "status", "--output-root", many],
        }
        results = in_turn(commands, rounds, prepare=lambda: shutil.rmtree(cold, ignore_errors=True))
        count, size = packages(binaries)
    return report(results, count, size)


def report(results: dict[str, list[tuple[float, float]]], count: int, size: float) -> int:
    """Print the table; the exit code is 1 if a budget is exceeded."""
    medians = {name: statistics.median(s for s, _ in runs) for name, runs in results.items()}
    base = medians["python -c pass"]
    failed = []
    print("| command | median ms | x pass | peak MB | budget |\n| --- | --- | --- | --- | --- |")
    for name, seconds in medians.items():
        peak = max(mb for _, mb in results[name])
        budget, is_over = judge(name, seconds, seconds / base, peak)
        print(f"| {name} | {seconds * 1e3:.1f} | {seconds / base:.1f} | {peak:.0f} | {budget} |")
        if is_over:
            failed.append(name)
    print(f"\nbase install: {count} packages of {MAX_PACKAGES}, {size:.1f} MB of {MAX_MB}")
    if count > MAX_PACKAGES or size > MAX_MB:
        failed.append("base install")
    for name in failed:
        print(f"OVER BUDGET: {name}")
    return 1 if failed else 0


def judge(name: str, seconds: float, ratio: float, peak: float) -> tuple[str, bool]:
    """A command's budget in words, and whether it is exceeded. `ratio`: times `python -c pass`."""
    if name in BUDGETS:
        return f"{BUDGETS[name]:.0f}x, {PEAK_MB} MB", ratio > BUDGETS[name] or peak > PEAK_MB
    if "runs" in name:
        return f"{LIST_S:.0f} s", seconds > LIST_S
    return "-", False


if __name__ == "__main__":
    sys.exit(main())
