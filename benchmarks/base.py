"""What the benchmarks share: a fresh install of prl-submit, and the timing of programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

Command = Sequence[str | Path]


def install(folder: Path, extra: str | None = None) -> Path:
    """Make an environment and install prl-submit into it, with an extra if named; its bin folder."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    subprocess.run([folder / "bin" / "pip", "install", "-q", what], check=True, stderr=-3)
    return folder / "bin"


def measure(
    command: Command, cwd: Path, environ: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Run a program once: its wall time in seconds and its peak resident memory in MB."""
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=cwd, env=environ, stdout=-3, stderr=-3) as process:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def in_turn(
    commands: Mapping[str, Command],
    rounds: int,
    environ: Mapping[str, str] | None = None,
    prepare: Callable[[], None] = lambda: None,
) -> dict[str, list[tuple[float, float]]]:
    """Run all commands in turn, `rounds` times: so other work on the machine disturbs all of them alike.

    `prepare` is called before each run. The results of a first round are dropped, because it reads files
    into the page cache and writes bytecode.
    """
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            prepare()
            result = measure(command, ROOT, environ)
            if number > 0:
                results[name].append(result)
    return results
