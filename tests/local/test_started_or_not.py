"""What is said of a job agrees with whether one was started, whatever fails around its start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import World

    Eventually = Callable[..., None]

#: prl-submit, in whose forked child a signal arrives just before the child becomes launch.sh.
STRUCK = """
import os, signal, sys
really = os.execve
def execve(*words):
    os.kill(os.getpid(), {number})
    really(*words)
os.execve = execve
from prl_submit.__main__ import main
main()
"""


def run_struck(world: World, number: int, *words: object) -> subprocess.CompletedProcess[str]:
    """prl-submit with such a signal."""
    return subprocess.run(
        [sys.executable, "-c", STRUCK.format(number=number), *map(str, words)],
        cwd=world.root,
        env=world.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (2, 130, "interrupted: nothing was submitted"),
        (15, 1, "signal 15 ended its process before launch.sh began"),
        (9, 1, "signal 9 ended its process before launch.sh began"),
    ],
)
def test_a_signal_between_fork_and_exec(world: World, number: int, code: int, words: str) -> None:
    done = run_struck(world, number, world.spec())
    assert done.returncode == code
    assert words in done.stderr
    assert done.stdout == ""
    assert [path.name for path in world.output.iterdir()] == []
    assert world.alive() == []


@pytest.mark.parametrize(("number", "code"), [(2, 130), (9, 1)])
def test_a_signal_between_fork_and_exec_of_resume(world: World, number: int, code: int) -> None:
    run, before = world.run_to_end("checkpoint 2 4; step 2 4; exit 1")
    files = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    done = run_struck(world, number, "resume", run.name)
    assert done.returncode == code
    assert ("nothing was resumed" in done.stderr) == (number == 2)
    assert files == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert world.states() == {run.name: before["state"]}


def test_a_full_stdout_does_not_say_that_nothing_was_sent(world: World) -> None:
    """/dev/full is what a file on a full disk is."""
    with open("/dev/full", "wb") as full:
        process = subprocess.run(
            [sys.executable, "-m", "prl_submit", world.spec()],
            cwd=world.root,
            env=world.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert process.returncode == 74
    assert process.stderr.splitlines() == [
        *process.stderr.splitlines()[:1],
        "error: stdout cannot be written: No space left on device",
    ]
    (run,) = world.output.glob("v0-*")
    assert f"submitted {run.name} (job " in process.stderr


@pytest.mark.parametrize("words", ["--help", "check --help", "schema", "--version"])
def test_every_command_says_the_same_of_a_full_stdout(world: World, words: str) -> None:
    done = world.finish(world.popen(["bash", "-c", f"python -m prl_submit {words} >/dev/full"]))
    assert (done.code, done.err) == (
        74,
        "error: stdout cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("{spec} --wait >/dev/full", 74),
        ("{spec} --wait --json >/dev/full", 74),
        ("{spec} --follow >/dev/full", 74),
        ("{spec} --wait >&-", 0),
        ("{spec} --wait 2>/dev/full", 0),
        ("{spec} --wait 2>&-", 0),
        ("{spec} --wait <&- >&- 2>&-", 0),
        ("{spec} >/dev/full 2>/dev/full", 74),
        ("schema >/dev/full", 74),
        ("--help >/dev/full", 74),
        ("check nowhere.yaml 2>/dev/full", 2),
        ("nosuchcommand v1 2>/dev/full", 2),
    ],
)
def test_streams_that_are_full_or_closed(world: World, words: str, code: int) -> None:
    """No exit code lies, no command ends in a traceback, and a job that was started runs on."""
    line = f"'{sys.executable}' -m prl_submit {words.format(spec=world.spec())}"
    assert world.finish(world.popen(["bash", "-c", line])).code == code
    if "{spec}" in words:
        (run,) = world.output.glob("v0-*")
        done = world.prl("wait", run.name)
        assert (done.code, world.states()) == (0, {run.name: "SUCCEEDED"})


def test_streams_that_are_closed_when_a_job_cannot_start(world: World) -> None:
    """With stdout closed, the pipe that reports the fault must not take its number."""
    path = f"{world.root}/empty"
    os.mkdir(path)
    line = f"PATH={path} '{sys.executable}' -m prl_submit {world.spec()} >&-"
    done = world.finish(world.popen(["bash", "-c", line]))
    assert (done.code, "bash is not on PATH" in done.err) == (1, True)
    assert [item.name for item in world.output.iterdir()] == []


def test_a_cancellation_that_could_not_be_noted_is_told_late(
    world: World, eventually: Eventually
) -> None:
    """launch.sh calls a SIGTERM without cancel.json a failure; the note that comes later counts."""
    run, ended = world.run_to_end("kill -TERM $PPID; sleep 30", restarts__grace="1s")
    assert (ended["state"], ended["exit_code"]) == ("FAILED", 143)
    (run / "cancel.json").write_text(json.dumps({"reason": "cancelled by me"}))
    (status,) = world.prl("status", run.name, "--json").json["runs"]
    assert (status["state"], status["reason"]) == ("CANCELLED", "cancelled by me")


def test_leftovers_of_a_number_are_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that cannot be removed costs its number and nothing else."""
    from prl_submit.runs.directory import allocate

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "rmdir", fail)
    run = allocate(tmp_path)
    assert run.is_dir()
