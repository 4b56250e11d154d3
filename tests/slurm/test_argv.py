"""What the spec says is what sbatch and bash hand on, byte for byte, however hostile the text.

100 generated jobs: 10 by `prl-submit` as users start it, the others by its own `main`, many in one
process. All are submitted first and waited for once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.property.test_argv import contains, given_words
from tests.slurm.conftest import SlurmWorld
from tests.support.hostile import SUBMIT_ALL, Texts, quote_all

COUNT = 100
#: Every tenth is submitted by a process of its own.
APART = 10
#: Tells what reached the process, besides the arguments that every fake torchrun records.
FAKE = 'pwd -P >"$run/pwd"; env -0 >"$run/environ"; step 1 1'
RUN_FILES = """
    .node0.lock argv environ exit.json job.sbatch launch.lib.sh launch.sh logging.jsonl logs logs/.began0 logs/.job
    logs/attempts.jsonl logs/node0.log logs/slurm.log made_of made_of/code.json made_of/data.json
    made_of/versions.json plan.json pwd run.json spec.yaml
""".split()
Seen = tuple[str, object, object]  # what it is, as it was seen, as it should be


class Case(NamedTuple):
    """A job as its spec has it; the paths absolute."""

    spec: Path
    name: str
    workdir: Path
    output: Path
    swift: dict[str, Any]
    env: dict[str, str]
    slurm: dict[str, str]

    @property
    def run(self) -> Path:
        """Its only run directory."""
        (run,) = self.output.glob("v*")
        return run


def make_case(world: SlurmWorld, number: int) -> Case:
    """Write a job's spec and make its working directory."""
    texts = Texts(number)
    work, output = texts.file_name(number), texts.file_name(number + COUNT)
    workdir = world.root / work
    workdir.mkdir()
    inside = number % 2 == 0  # the output root: in the working directory, or beside it
    env = {f"TEXT_{i}": texts.text() for i in range(3)}
    slurm = {"comment": texts.text(str.isprintable), "wckey": texts.text(str.isprintable)}
    slurm["wckey"] = slurm["wckey"].lstrip("*")  # the mark of a default one
    name, swift = texts.job_name(), texts.swift()
    spec = world.spec(
        f"{texts.file_name(number + 2 * COUNT)}.yaml",
        name=name,
        workdir=work,
        output=output if inside else str(world.root / output),
        environment__venv=str(world.venv),
        environment__env=env,
        slurm__extra=slurm,
        resources__memory="50M",
        resources__cpus_per_proc=1,
        **{f"swift__{key}": value for key, value in swift.items()},
    )
    quote_all(spec)
    place = workdir / output if inside else world.root / output
    return Case(spec, name, workdir, place, swift, env, slurm)


def submit_all(world: SlurmWorld, cases: list[Case]) -> None:
    """Submit all jobs, every tenth with the command as users type it."""
    environ = {"FAKE": FAKE, "PRL_PREFLIGHT": "off"}  # python's start is most of a job's time
    apart = cases[::APART]
    together = [case for case in cases if case not in apart]
    batches = [
        world.popen([sys.executable, "-c", SUBMIT_ALL, *(c.spec for c in half)], **environ)
        for half in (together[::2], together[1::2])
    ]
    for case in apart:
        done = world.prl(case.spec, **environ)
        assert done.code == 0, done.err
        assert done.out == f"{case.run}\n"
    for process in batches:
        done = world.finish(process, timeout=120)
        assert done.code == 0, done.err[-2000:]


def known(world: SlurmWorld, field: str) -> dict[str, str]:
    """A field of all jobs as Slurm has it, by job id."""
    answer = world.cluster.run(
        "squeue", "--noheader", "--states=all", f"--Format=JobID:|,{field}:|"
    )
    rows = (line.split("|", 1) for line in answer.stdout.split("\n") if line)
    return {row[0]: row[1].removesuffix("|") for row in rows}


def test_everything_arrives_as_it_was_written(
    slurm: SlurmWorld, eventually: Callable[..., None]
) -> None:
    cases = [make_case(slurm, number) for number in range(COUNT)]
    before = everything_in(slurm.root)
    submit_all(slurm, cases)
    eventually(lambda: not slurm.cluster.jobs(), timeout=60)
    fields = {name: known(slurm, name) for name in ("Name", "WorkDir", "Comment", "wckey")}
    wrong = [f"{case.spec}: {fault}" for case in cases for fault in faults(case, fields)]
    assert not wrong, f"{len(wrong)}, the first: " + "\n".join(wrong[:5])[:4000]
    assert everything_in(slurm.root) == before | {
        path for case in cases for path in expected_files(case)
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("slurm.extra.comment", text) for text in ("a\nb", "a\n", "\r", "\t", "\0", "\x1b[31m")),
        ("slurm.extra.wckey", "a\nb"),
        ("slurm.extra.wckey", ["a", "b\n"]),
        ("slurm.extra.gres", ["a\nb"]),
        ("slurm.mail_user", "a\nb"),
        ("slurm.partition", "gpu\n"),
        *(("workdir", text) for text in ("a\tb", "a\n", "a\0", "\x7f", "\ud800")),
        *(("output", text) for text in ("a\tb", "a\n", "\x01")),
        *(
            ("name", text)
            for text in ("a b", "a/b", "%j", "雨巷", "it's", "-a", "a\n", "", "a" * 41)
        ),
        ("swift.system", "a\0b"),
        ("environment.env.TEXT", "a\0b"),
    ],
)
def test_what_nothing_can_hand_on_is_refused(slurm: SlurmWorld, key: str, value: Any) -> None:
    spec = slurm.spec(**{key.replace(".", "__"): value})
    before = everything_in(slurm.root)
    for words in (["check", spec], [spec]):
        done = slurm.prl(*words)
        assert (done.code, done.out) == (2, ""), (words, done)
        assert f"error: {spec}:1: " in done.err
    assert everything_in(slurm.root) == before
    assert known(slurm, "WorkDir").get(str(slurm.root)) is None


def everything_in(root: Path) -> set[Path]:
    """All files and folders, except the recorded environments of the jobs."""
    return {path for path in root.rglob("*") if root / "venv" not in path.parents}


def expected_files(case: Case) -> Iterator[Path]:
    """The files that a job may leave; it must leave no others."""
    yield from (case.output, case.output / "latest", case.run)
    yield from (case.run / name for name in RUN_FILES)


def faults(case: Case, fields: dict[str, dict[str, str]]) -> Iterator[str]:
    """What of a job differs from its spec."""
    if not (case.run / "exit.json").exists():
        yield "it did not run"
        return
    for what, seen, wanted in [*slurm_s_own(case, fields), *the_job_s(case)]:
        if seen != wanted:
            yield f"{what} is {seen!r}, not {wanted!r}"


def slurm_s_own(case: Case, fields: dict[str, dict[str, str]]) -> Iterator[Seen]:
    """What differs in what Slurm says of the job."""
    record = json.loads((case.run / "run.json").read_text())
    own = f"{case.slurm['comment']} " if case.slurm["comment"] else ""
    wanted = {
        "Name": case.name,
        "WorkDir": str(case.workdir),
        "Comment": f"{own}prl-submit:{record['token']}",
        "wckey": case.slurm["wckey"].lower(),  # all of them are, in Slurm
    }
    yield from ((field, fields[field][record["job_id"]], text) for field, text in wanted.items())


def the_job_s(case: Case) -> Iterator[Seen]:
    """What differs in what the job saw, and in how it ended."""
    run = case.run
    environ = (run / "environ").read_bytes().decode().split("\0")
    argv = (run / "argv").read_bytes().decode().split("\0")[:-1]
    plan = json.loads((run / "plan.json").read_text())
    yield "pwd", (run / "pwd").read_text(), f"{case.workdir}\n"
    yield "argv", ["torchrun", *argv], plan["argv"]
    yield "--output_dir", contains(argv, ["--output_dir", str(run)]), True
    yield from ((group[0], contains(argv, group), True) for group in given_words(case.swift))
    yield from ((name, f"{name}={text}" in environ, True) for name, text in case.env.items())
    yield "an error in slurm.log", "error" in (run / "logs" / "slurm.log").read_text(), False
    yield "state", json.loads((run / "exit.json").read_text())["state"], "SUCCEEDED"
