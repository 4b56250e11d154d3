"""What the spec says is what arrives in the container, byte for byte, however hostile the text.

80 generated jobs: their manifests go through the API server as YAML, their pods really run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import eventually
from tests.kubernetes.conftest import KubernetesWorld
from tests.property.test_argv import contains, given_words
from tests.support.hostile import SUBMIT_ALL, Texts, quote_all

COUNT = 80
#: Every tenth is submitted by a process of its own.
APART = 10
FAKE = 'pwd -P >"$run/pwd"; env -0 >"$run/environ"; step 1 1'


class Case(NamedTuple):
    """A job as its spec has it; the paths absolute."""

    spec: Path
    workdir: Path
    output: Path
    swift: dict[str, Any]
    env: dict[str, str]

    @property
    def run(self) -> Path:
        """Its only run directory."""
        (run,) = self.output.glob("v*")
        return run


def make_case(world: KubernetesWorld, number: int) -> Case:
    """Write a job's spec and make its working directory."""
    texts = Texts(number)
    workdir = world.root / texts.file_name(number)
    output = world.root / texts.file_name(number + COUNT)
    workdir.mkdir()
    output.mkdir()
    output.chmod(0o777)
    env = {f"TEXT_{i}": texts.text() for i in range(3)}
    swift = texts.swift()
    spec = world.spec(
        f"{texts.file_name(number + 2 * COUNT)}.yaml",
        name=texts.job_name(),
        workdir=str(workdir),
        output=str(output),
        environment__venv=str(world.venv),
        # Without preflight, because starting Python takes most of a job's time.
        environment__env=env | {"FAKE": FAKE},
        environment__setup=["PRL_PREFLIGHT=off"],
        kubernetes__volumes=[{"hostPath": str(world.root), "mountPath": str(world.root)}],
        **{f"swift__{key}": value for key, value in swift.items()},
    )
    quote_all(spec)
    return Case(spec, workdir, output, swift, env)


def submit_all(world: KubernetesWorld, cases: list[Case]) -> None:
    """Submit all jobs, every tenth with the command as users type it."""
    apart = cases[::APART]
    together = [case.spec for case in cases if case not in apart]
    batch = world.popen([sys.executable, "-c", SUBMIT_ALL, *together])
    for case in apart:
        done = world.prl(case.spec)
        assert done.code == 0, done.err
        assert done.out == f"{case.run}\n"
    done = world.finish(batch, timeout=120)
    assert done.code == 0, done.err[-2000:]


def test_everything_arrives_as_it_was_written(kube: KubernetesWorld) -> None:
    cases = [make_case(kube, number) for number in range(COUNT)]
    submit_all(kube, cases)
    eventually(lambda: all((case.run / "exit.json").exists() for case in cases), timeout=240)
    wrong = [f"{case.spec}: {fault}" for case in cases for fault in faults(case)]
    assert not wrong, f"{len(wrong)}, the first: " + "\n".join(wrong[:5])[:4000]


def faults(case: Case) -> Iterator[str]:
    """What of a job differs from its spec."""
    run = case.run
    environ = (run / "environ").read_bytes().decode().split("\0")
    argv = (run / "argv").read_bytes().decode().split("\0")[:-1]
    plan = json.loads((run / "plan.json").read_text())
    seen = [
        ("pwd", (run / "pwd").read_text(), f"{case.workdir}\n"),
        ("argv", ["torchrun", *argv], plan["argv"]),
        ("--output_dir", contains(argv, ["--output_dir", str(run)]), True),
        ("state", json.loads((run / "exit.json").read_text())["state"], "SUCCEEDED"),
        *((group[0], contains(argv, group), True) for group in given_words(case.swift)),
        *((name, f"{name}={text}" in environ, True) for name, text in case.env.items()),
    ]
    for what, found, wanted in seen:
        if found != wanted:
            yield f"{what} is {found!r}, not {wanted!r}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("swift.system", "a\0b"),
        ("environment.env.TEXT", "a\0b"),
        ("workdir", "/a\nb"),
        ("kubernetes.image", "a\nb"),
        ("kubernetes.queue", "a\tb"),
    ],
)
def test_what_nothing_can_hand_on_is_refused(kube: KubernetesWorld, key: str, value: str) -> None:
    spec = kube.spec(**{key.replace(".", "__"): value})
    for words in (["check", spec], [spec]):
        done = kube.prl(*words)
        assert (done.code, done.out) == (2, ""), (words, done)
        assert f"error: {spec}:1: " in done.err
    assert kube.items("pytorchjobs") == []
