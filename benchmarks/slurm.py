"""How much time prl-submit adds to Slurm's own commands, on a Slurm cluster of its own.

usage: python -m benchmarks.slurm [--rounds N]     exit 1 if a budget is exceeded
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.base import ROOT, Command, in_turn, install
from benchmarks.table import Row, follow, report
from tests.conftest import make_environment
from tools.clusters.slurm import SlurmCluster
from tools.clusters.slurm_configuration import available

RUNS = 1000
ENDED = 300
#: So many milliseconds more than `render` and sbatch together may `submit` take.
SUBMIT_MS = 100
#: `status` may take so many times as long as its calls of Slurm's commands, plus so many milliseconds.
STATUS_RATIO, STATUS_MS = 1.5, 300
CALLS = 2
#: A sweep of RUNS runs: its submission with all directories, and `status` beside its calls of Slurm's commands.
SWEEP_MS, SWEEP_STATUS_MS, SWEEP_ROUNDS = 5000, 1000, 3
LINES = 20
LINE_MS = 1000
HELD = ["--backend=slurm", "--set=slurm.extra.hold=true", "--set=resources.cpus_per_proc=1"]
HELD += ["--set=resources.time_limit=1h"]
SBATCH = ["sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true"]


class Site(NamedTuple):
    """A cluster, and the prl-submit that submits to it."""

    folder: Path
    program: Path
    cluster: SlurmCluster
    rounds: int

    @property
    def environ(self) -> dict[str, str]:
        """The environment of all measured commands."""
        return {**os.environ, **self.cluster.environ, "PRL_PREFLIGHT": "off"}

    def medians(
        self, commands: Mapping[str, Command], prepare: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """The median time of each command, in milliseconds."""
        results = in_turn(commands, self.rounds, self.environ, prepare)
        return {name: statistics.median(s for s, _ in runs) * 1e3 for name, runs in results.items()}

    def call(self, *words: str | Path, **environ: str) -> str:
        """Run a command; what it prints. Ends the program if the command fails."""
        done = subprocess.run(
            words, cwd=ROOT, env=self.environ | environ, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"{words} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()


def submission(site: Site) -> Iterator[Row]:
    """`submit` beside `render` and sbatch. The jobs are held, so that none runs."""
    words: Command = ["jobs/mr_4gpu.yaml", *HELD, "--output-root", site.folder / "submitted"]
    run = Path(site.call(site.program, *words))
    found = site.medians(
        {
            "render": [site.program, "render", *words],
            "sbatch": ["sbatch", "--parsable", run / "job.sbatch"],
            "submit": [site.program, *words],
        }
    )
    site.cluster.cancel_all()
    yield Row("render mr_4gpu", found["render"])
    yield Row("sbatch, the same job", found["sbatch"])
    yield Row("submit mr_4gpu", found["submit"], found["render"] + found["sbatch"] + SUBMIT_MS)


def make_runs(site: Site, root: Path) -> list[str]:
    """Submit held jobs with sbatch and make run directories, as if prl-submit had; the jobs' ids."""

    def make(number: int) -> str:
        token = secrets.token_hex(8)
        name, comment = f"--job-name=job-{number}", f"--comment=prl-submit:{token}"
        job = site.call(*SBATCH, name, comment)
        run = root / f"v{number}-20260101-000000"
        (run / "logs").mkdir(parents=True)
        record = {"name": f"job-{number}", "backend": "slurm", "job_id": job, "token": token}
        record["submitted_at"] = "2026-01-01T00:00:00+00:00"
        (run / "run.json").write_text(json.dumps(record))
        return job

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(make, range(RUNS)))


def calls_of(site: Site, command: Command) -> list[list[str]]:
    """The calls of Slurm's commands that a command makes, recorded by wrappers around those commands."""
    log = site.folder / "calls"
    log.write_text("")
    wrappers = site.folder / "wrappers"
    wrappers.mkdir(exist_ok=True)
    for name in ("sbatch", "squeue", "sacct", "scontrol", "sinfo", "scancel", "sacctmgr"):
        note = f"(printf '%s\\t' {name} \"$@\"; echo) >>{log}"
        (wrappers / name).write_text(f'#!/bin/sh\n{note}\nexec {shutil.which(name)} "$@"\n')
        (wrappers / name).chmod(0o755)
    site.call(*command, PATH=f"{wrappers}:{os.environ['PATH']}")
    return [line.split("\t")[:-1] for line in log.read_text().splitlines()]


def asking(site: Site) -> Iterator[Row]:
    """`status` of many runs: all held; then some of them just ended; then the same once more."""
    root = site.folder / "many"
    ids = make_runs(site, root)
    yield from status_rows(site, root, "all held")
    site.call("scancel", *ids[:ENDED])
    time.sleep(3)  # until accounting knows all of them
    yield from status_rows(site, root, f"{ENDED} of them just ended", forget=True)
    yield from status_rows(site, root, f"{ENDED} of them ended")


def status_rows(
    site: Site, root: Path, title: str, *, forget: bool = False, budget: float | None = None
) -> Iterator[Row]:
    """`status`, beside the calls that it makes. `forget`: remove what earlier calls of `status` kept.

    `budget`: how much longer than its calls it may take; None: as STATUS_RATIO and STATUS_MS say.
    """

    def prepare() -> None:
        for kept in root.glob("*/verdict.json") if forget else ():
            kept.unlink()

    command: Command = [site.program, "status", "--output-root", root]
    site.call(*command)  # now all ends are kept, unless `prepare` removes them
    prepare()
    calls = calls_of(site, command)
    raw: dict[str, Command] = {f"{number}": words for number, words in enumerate(calls)}
    found = site.medians({"status": command, **raw}, prepare)
    asked = sum(found[name] for name in raw)
    names = " + ".join(words[0] for words in calls)
    yield Row(f"status of {RUNS} runs, {title}: calls", len(calls), CALLS, "")
    yield Row(f"{names} alone, {title}", asked)
    most = STATUS_RATIO * asked + STATUS_MS if budget is None else asked + budget
    yield Row(f"status of {RUNS} runs, {title}", found["status"], most)


SPEC = {
    "name": "lines",
    "backend": "slurm",
    "resources": {"accelerator": "cpu"},
    "swift": {"rlhf_type": "grpo", "model": "org/name", "dataset": ["org/data"]}
    | {"num_generations": 2, "per_device_train_batch_size": 2},
}
SWEEP = SPEC | {"name": "swept", "sweep": {"grid": {"swift.seed": list(range(RUNS))}}}
#: The pauses are random, so that lines do not come in step with the looks of `logs -f`.
FAKE = f"""
for i in {{1..{LINES}}}; do sleep 0.$((RANDOM % 300 + 300)); echo "at $EPOCHREALTIME"; done
step 1 1
"""


def sweeping(site: Site) -> Iterator[Row]:
    """A sweep: its submission, `status` and `cancel`, each with its calls. The jobs are held."""
    spec = site.folder / "sweep.yaml"
    venv = make_environment(site.folder / "swept")
    spec.write_text(json.dumps(SWEEP | {"environment": {"venv": str(venv)}}))
    submits, cancels, rows = [], [], []
    for number in range(SWEEP_ROUNDS):
        root = site.folder / f"sweep{number}"
        submit: Command = [site.program, spec, *HELD, "--output-root", root]
        cancel: Command = [site.program, "cancel", "swept", "--output-root", root]
        submits.append(timed_calls(site, submit))
        if number == 0:
            rows = list(status_rows(site, root, "a held sweep", budget=SWEEP_STATUS_MS))
        cancels.append(timed_calls(site, cancel))
    site.cluster.cancel_all()
    for what, found, most in (("submit", submits, SWEEP_MS), ("cancel", cancels, None)):
        order = "sbatch" if what == "submit" else "scancel"
        count = max(calls.count(order) for _, calls in found)
        yield Row(f"{what} a sweep of {RUNS} runs: calls of {order}", count, 1, "")
        yield Row(f"{what} a sweep of {RUNS} runs", statistics.median(ms for ms, _ in found), most)
    yield from rows


def timed_calls(site: Site, command: Command) -> tuple[float, list[str]]:
    """How long a command takes, in milliseconds, and the programs of Slurm that it calls."""
    begin = time.perf_counter()
    calls = calls_of(site, command)
    return (time.perf_counter() - begin) * 1e3, [words[0] for words in calls]


def following(site: Site) -> Iterator[Row]:
    """How long a line takes from the job that writes it to the terminal of `logs -f`."""
    venv = make_environment(site.folder / "fake")
    spec = site.folder / "lines.yaml"
    spec.write_text(json.dumps(SPEC | {"environment": {"venv": str(venv)}}))
    run = site.call(site.program, spec, "--output-root", site.folder / "followed", FAKE=FAKE)
    delays = list(follow([site.program, "logs", "-f", run], site.environ))
    if len(delays) != LINES:
        sys.exit(f"{len(delays)} of {LINES} lines were followed")
    yield Row(
        f"a job's line on the follower's terminal, median of {LINES}", statistics.median(delays)
    )
    yield Row(f"a job's line on the follower's terminal, worst of {LINES}", max(delays), LINE_MS)


def main() -> int:
    """Measure and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if lack := available(accounting=True):
        print(f"not measured: {lack}")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = install(folder / "venv") / "prl-submit"
        with SlurmCluster.start(folder / "cluster", accounting=True) as cluster:
            site = Site(folder, program, cluster, rounds)
            return report([*submission(site), *following(site), *asking(site), *sweeping(site)])


if __name__ == "__main__":
    sys.exit(main())
