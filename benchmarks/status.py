"""Processor time of `status` and `list` of many runs with metrics, and of `status --watch` while they train.

usage: python -m benchmarks.status [--seconds N]      exit 1 if a budget is exceeded
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

from benchmarks.base import ROOT, Command
from benchmarks.metrics import lines, processor_time
from benchmarks.table import Row, report

RUNS = 1000
WATCHED = 200
MOST_MS = 1000.0
MOST_PERCENT = 5.0
#: A step of each watched run takes so many seconds.
STEP_S = 36
#: The settings of a run, as many as plan.json of a usual job has.
SETTINGS = {f"swift.argument_{number}": "a value" for number in range(40)} | {
    "resources.nodes": 1, "resources.nproc_per_node": 4, "swift.model": "Qwen/Qwen2.5-7B-Instruct",
}  # fmt: skip


def make_run(root: Path, number: int, steps: bytes) -> Path:
    """The directory of a run that a platform trains, with the files that such runs have."""
    run = root / f"v{number}-20260101-000000"
    logs = run / "logs"
    logs.mkdir(parents=True)
    token = f"{number:016x}"
    job: dict[str, object] = {"job": None, "key": None, "silence": 86400}
    record: dict[str, object] = {
        "name": f"job-{number // 2}",
        "backend": "platform",
        "job_id": None,
        "token": token,
    }
    record |= {"submitted_at": "2026-01-01T00:00:00+00:00", "platform": job}
    values = SETTINGS | {"swift.learning_rate": 1e-6 * (number % 2 + 1)}
    plan = {"values": [{"key": key, "value": value} for key, value in values.items()], "plan": {}}
    sign = {"token": token, "attempt": 0, "beat": 1, "node": 0, "host": "n0", "doing": "training"}
    sign |= {"platform": None, "job": None, "nodes": 1, "nproc_per_node": 4}
    began = {"started_at": "2026-01-01T00:00:00+00:00", "restarts": 0, "node": "n0"}
    (run / "run.json").write_text(json.dumps(record))
    (run / "plan.json").write_text(json.dumps(plan, indent=2))
    (run / "logging.jsonl").write_bytes(steps)
    (logs / "attempts.jsonl").write_text(json.dumps(began) + "\n")
    (logs / ".starts0").write_text("x\n")
    (logs / ".alive0").write_text(json.dumps(sign))
    (logs / "node0.log").write_text("")
    return run


def end(run: Path) -> None:
    """Let the run have succeeded."""
    (run / "exit.json").write_text('{"exit_code": 0, "state": "SUCCEEDED", "restarts": 0}')


def many(root: Path) -> list[Row]:
    """`status` of runs that train, and `list` of the same runs after their end."""
    steps = lines(1, 100)
    runs = [make_run(root, number, steps) for number in range(RUNS)]
    rows = []
    for words in (["status"], ["status", "--json"], ["list"]):
        if words == ["list"]:
            for run in runs:
                end(run)
        command: Command = [sys.executable, "-m", "prl_submit", *words, "--output-root", root]
        seconds = min(processor_time(command)[0] for _ in range(3))
        rows.append(Row(f"{' '.join(words)} of {RUNS} runs", seconds * 1e3, MOST_MS))
    return rows


def used(pid: int) -> float:
    """The processor time of a process by now, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def train(runs: list[Path], stop: threading.Event) -> None:
    """Let each run log a step each STEP_S seconds, one after the other."""
    step = 101
    while not stop.is_set():
        for run in runs:
            with (run / "logging.jsonl").open("ab") as file:
                file.write(lines(step, 1))
            if stop.wait(STEP_S / len(runs)):
                return
        step += 1


def drain(terminal: int) -> None:
    """Read what is written on the terminal, until its other side is closed."""
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:
        return


def watch(root: Path, seconds: int) -> Row:
    """`status --watch` of runs that train, on a terminal of 120 columns."""
    steps = lines(1, 100)
    runs = [make_run(root, number, steps) for number in range(WATCHED)]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    stop = threading.Event()
    command: Command = [
        sys.executable,
        "-m",
        "prl_submit",
        "status",
        "--watch",
        "--output-root",
        root,
    ]
    environ = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        threading.Thread(target=drain, args=(ours,), daemon=True).start()
        threading.Thread(target=train, args=(runs, stop), daemon=True).start()
        time.sleep(5)
        begin, before = time.monotonic(), used(process.pid)
        time.sleep(seconds)
        share = (used(process.pid) - before) / (time.monotonic() - begin)
        stop.set()
        process.send_signal(signal.SIGINT)
    return Row(f"status --watch of {WATCHED} runs, of a core", share * 100, MOST_PERCENT, "%")


def main() -> int:
    """Measure, and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="how long to watch")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        rows = many(Path(folder) / "many")
        return report([*rows, watch(Path(folder) / "watched", seconds)])


if __name__ == "__main__":
    sys.exit(main())
