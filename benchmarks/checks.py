"""After how long ms-swift and `prl-submit check` report each mistake of the catalogue.

Each fault of tests/support/faults.py is run twice: as the job's own command line, with torchrun and the
real ms-swift on this machine's CPU, to its end; and by `prl-submit check`. It writes docs/checks-measured.md. A
fault takes about 15 s. Nothing else should run on the machine meanwhile.

usage: python -m benchmarks.checks [--only REGEX] [--out FILE] [--results FILE]
With --results each measurement is kept in FILE as a line of JSON, and is not measured again.
exit 1 if ms-swift or check said something else than the catalogue has
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from prl_submit.planning.plan import Planned
from prl_submit.prepare import plan_spec
from prl_submit.spec.nodes import mapping
from prl_submit.spec.typed import plain
from prl_submit.swift.values import words
from tests.support.faults import FAULTS, SILENT, SPEC, Fault, write_files
from tests.training.swift_verdicts import ALONE, make_empty_package

PROJECT = Path(__file__).resolve().parents[1]
OUT = PROJECT / "docs" / "checks-measured.md"
TIMEOUT = 240
ROUNDS = 5
#: The line of a Python error; torchrun puts the rank before it.
_ERROR = re.compile(
    r"^(?:\[rank\d+\]: ?)?(?:\S+: error: .*|[\w.]*(?:Error|Exception|Iteration)\b.*)$"
)


class Theirs(NamedTuple):
    """What ms-swift did. `said`: its error, or how the training went; `loaded`: it had loaded the model."""

    code: int
    seconds: float
    said: str
    matches: bool
    loaded: bool


class Ours(NamedTuple):
    """What check did. `said`: its message and hint."""

    said: str
    milliseconds: float
    matches: bool


def prepare(root: Path) -> dict[str, str]:
    """Copy the example jobs, make the tiny model and the faults' files; the environment for all runs."""
    shutil.copytree(PROJECT / "jobs", root / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    write_files(root)
    make = [sys.executable, "jobs/make_tiny_model.py", "models/tiny-qwen2"]
    subprocess.run(make, cwd=root, check=True, capture_output=True)
    # An empty package DeepSpeed, because its presence is not what is measured.
    (root / "packages").mkdir()
    make_empty_package(root / "packages", "deepspeed", "0.18.2")
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(root / "packages"),
        **ALONE,
        "WANDB_MODE": "offline",
    }


def plan_of(fault: Fault) -> Planned:
    """The job's plan, with what is wrong in it."""
    return plan_spec(SPEC, backend=None, sets=fault.sets, profile=None, output_root=None)


def command(planned: Planned, run_dir: str) -> list[str]:
    """The command that the job would run, with the values as they are written, wrong ones too."""
    swift = mapping(mapping(planned.tree)["swift"])
    groups = [
        words(name, [str(item.value) for item in node.value])
        if isinstance(node.value, list)
        else words(name, plain(node) if isinstance(node.value, dict) else node.value)
        for name, node in swift.items()
        if node.value is not None
    ]
    flat = [text for group in groups for text in group]
    if "--use_cpu" not in flat:
        flat += [
            "--use_cpu",
            "true",
            "--ddp_backend",
            "gloo",
        ]  # so that a job for GPUs gets as far as it can here
    torchrun = [*planned.plan.torchrun, "-m", "swift.cli.rlhf"]
    return [*torchrun, *flat, "--output_dir", run_dir, "--add_version", "false"]


def run_theirs(fault: Fault, planned: Planned, root: Path, environ: dict[str, str]) -> Theirs:
    """Run the real training until it ends or fails."""
    run_dir = root / "output" / re.sub(r"\W+", "-", fault.name)
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        argv = command(planned, str(run_dir))
        process = subprocess.Popen(argv, cwd=root, env=environ, stdout=log, stderr=log)
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.terminate()
            code = process.wait(60)
        seconds = time.monotonic() - began
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    loaded = "model_info: ModelInfo(" in text  # ms-swift prints this once the model is loaded
    if fault.theirs is SILENT:
        return Theirs(code, seconds, trained(run_dir), code == 0, loaded)
    said = last_word(text, fault.theirs)
    as_expected = code != 0 and bool(re.search(fault.theirs, said))
    return Theirs(code, seconds, said, as_expected, loaded)


def last_word(text: str, wanted: str) -> str:
    """The line of the log that says what is wrong: the expected one, else the first error."""
    lines = [line.strip() for line in text.splitlines() if _ERROR.match(line.strip())]
    hits = [line for line in lines if re.search(wanted, line)]
    line = (hits or lines or ["(nothing)"])[0]
    return re.sub(r"^\[rank\d+\]: ?", "", line).replace(str(Path.cwd()), "…")


def trained(run_dir: Path) -> str:
    """How a training went that ended with exit code 0."""
    steps, odd = set(), ""
    for file in run_dir.glob("logging.jsonl"):
        for line in map(json.loads, file.read_text().splitlines()):
            if "loss" in line:
                steps.add(line.get("global_step/max_steps"))
                odd = odd or (", grad_norm NaN" if str(line.get("grad_norm")) == "nan" else "")
    return f"exit 0 after {len(steps)} step{'s' if len(steps) != 1 else ''}{odd}"


def run_ours(fault: Fault, root: Path, environ: dict[str, str]) -> Ours:
    """Run `prl-submit check` some times; its message and its median time."""
    sets = [word for text in fault.sets for word in ("--set", text)]
    argv = ["prl-submit", "check", SPEC, *sets]
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        done = subprocess.run(
            argv, cwd=root, env=environ, capture_output=True, text=True, check=False
        )
        times.append(time.perf_counter() - began)
    said = re.split(r"\n(?=error: |warning: )", done.stderr)
    hit = next((text for text in said if re.search(fault.ours, text)), "(nothing)")
    return Ours(hit, statistics.median(times) * 1000, hit != "(nothing)")


def row(fault: Fault, theirs: Theirs, ours: Ours) -> str:
    """A line of the table."""
    severity, _, text = ours.said.partition(": ")
    message, _, rest = text.partition("\n")
    message = re.sub(r"^(--set|jobs/\S+?:\d+): ", "", message)
    hint = rest.partition("\n")[0].removeprefix("hint: ")
    told = f"{severity}: `{shorten(message, 150)}`" + (
        f" — {escape(shorten(hint, 110))}" if hint else ""
    )
    said = (
        f"`{shorten(theirs.said, 150)}`"
        if fault.theirs is not SILENT
        else f"nothing: {theirs.said}"
    )
    return f"| {fault.name} | {said} | {theirs.seconds:.0f} | {told} | {ours.milliseconds:.0f} |"


def shorten(text: str, length: int) -> str:
    """A text for a cell of the table: one line, without bars and backticks."""
    flat = re.sub(r"\s+", " ", text).replace("`", "'").replace("|", "¦")
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def escape(text: str) -> str:
    """A text with Markdown's characters escaped, for a cell that is not code."""
    return re.sub(r"([*_<>{}\[\]])", r"\\\1", text)


HEAD = """\
# Mistakes, as ms-swift and as `check` report them

Each of these {count} mistakes is in a catalogue (`tests/support/faults.py`), and a test makes
`check` find it. To compare, each job was also run without the check: its command line by
`torchrun` and ms-swift {swift}, until it ended. "nothing" means that ms-swift trained and ended
with exit code 0. On a GPU node the time in the queue comes on top of these seconds. In {later} of
the {count} cases ms-swift had loaded the model by then, which takes minutes for a large one.

| mistake | ms-swift says | after s | `prl-submit check` says | after ms |
| --- | --- | ---: | --- | ---: |
"""
TAIL = """
ms-swift does not notice {silent} of them at all. Medians: ms-swift {seconds:.0f} s, `check`
{ms:.0f} ms.

## How it was measured

`python -m benchmarks.checks` ran the jobs one after the other, on {cpus} CPU cores that other
work used too and without a GPU: two processes each (one for kto), a random Qwen2 of 95k
parameters, Python {python}, torch {torch}, transformers {transformers}, trl {trl}.

- Seconds are the time from the start of `torchrun` to its end. Milliseconds are the median of
  {rounds} runs of the whole command `prl-submit check`.
- `--use_cpu true` was added to jobs for GPUs; none of these jobs came far enough for that to
  matter.
- DeepSpeed was an empty package that can be imported. There was no network, so ms-swift could not
  download anything.
"""


def main() -> int:
    """Measure, print each line as it comes, and write the page; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="measure the faults whose name matches this")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--results", type=Path, help="keep the measurements in this file")
    args = parser.parse_args()
    wrong = 0
    kept = read_results(args.results)
    results: list[tuple[Fault, Theirs, Ours]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        environ = prepare(root)
        os.chdir(root)
        for fault in chosen(args.only):
            if fault.name in kept:
                results.append((fault, *kept[fault.name]))
                continue
            ours = run_ours(fault, root, environ)
            theirs = run_theirs(fault, plan_of(fault), root, environ)
            results.append((fault, theirs, ours))
            if args.results:
                with args.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([fault.name, theirs, ours]) + "\n")
            print(row(fault, theirs, ours), flush=True)
            if not theirs.matches or not ours.matches:
                wrong += 1
                print(f"UNEXPECTED: {fault.name}: {theirs} {ours}", file=sys.stderr, flush=True)
        os.chdir(PROJECT)
    args.out.write_text(page(results), encoding="utf-8")
    return 1 if wrong else 0


def read_results(path: Path | None) -> dict[str, tuple[Theirs, Ours]]:
    """The measurements of an earlier run, by the fault's name."""
    if path is None or not path.exists():
        return {}
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {name: (Theirs(*theirs), Ours(*ours)) for name, theirs, ours in lines}


def chosen(pattern: str) -> Iterator[Fault]:
    """The faults to measure, in the catalogue's order."""
    return (fault for fault in FAULTS if re.search(pattern, fault.name))


#: Measured by hand, with the command that it names.
RANDOM = """
## Random jobs

`python -m tests.training.differential --folder DIR --python PYTHON` makes random GRPO jobs (a
valid job with up to four changes, among all arguments of the release), and compares `check` with
ms-swift's own parser and `__post_init__` in PYTHON's environment. 500 jobs for each release (seed
3):

| ms-swift | refused by ms-swift | by `check` alone | by ms-swift alone | refused by `check`, and by ms-swift later |
| --- | ---: | ---: | ---: | ---: |
| 3.3.0 | 203 | 0 | 0 | 73 |
| 3.8.3 | 240 | 0 | 0 | 51 |
| 4.6.0 | 213 | 0 | 0 | 40 |

The last column counts jobs that ms-swift refuses only with the loaded model, the data, or in the
first step; `LATER` in `tests/training/differential.py` says where for each. Three kinds of
problems were left out of the comparison: packages that PYTHON's environment lacks, credentials,
and arguments that have an effect outside of the job.
"""


def page(results: list[tuple[Fault, Theirs, Ours]]) -> str:
    """The text of docs/checks-measured.md."""
    silent = sum(fault.theirs is SILENT for fault, *_ in results)
    head = HEAD.format(
        swift=version("ms-swift"),
        count=len(results),
        later=sum(theirs.loaded for _, theirs, _ in results),
    )
    tail = TAIL.format(
        silent=silent,
        seconds=statistics.median(theirs.seconds for _, theirs, _ in results),
        ms=statistics.median(ours.milliseconds for *_, ours in results),
        cpus=os.cpu_count(),
        python=sys.version.split()[0],
        rounds=ROUNDS,
        **{name: version(name) for name in ("torch", "transformers", "trl")},
    )
    return head + "".join(f"{row(*result)}\n" for result in results) + tail + RANDOM


if __name__ == "__main__":
    sys.exit(main())
