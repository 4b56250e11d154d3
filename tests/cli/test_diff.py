"""`prl-submit diff` through the real executable, on runs that were really submitted."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_commands import on_terminal
from tests.support.swift_logs import SWIFT_33, SWIFT_46

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import World


def git(world: World, *words: str) -> None:
    name = ["-c", "user.name=me", "-c", "user.email=me@host"]
    subprocess.run(["git", *name, *words], cwd=world.root, check=True, capture_output=True)


def submitted(world: World, *words: str) -> Path:
    """The run directory of a job that has ended."""
    done = world.prl(str(world.spec()), "--wait", *words)
    assert done.code == 0, done.err
    return max(world.output.glob("v*"))


def test_two_runs(world: World) -> None:
    git(world, "init", "--quiet")
    (world.root / "lib.py").write_text("x = 1\n")
    git(world, "add", "lib.py")
    git(world, "commit", "--quiet", "--message", "first")
    first = submitted(world)
    (world.root / "lib.py").write_text("x = 2\nTOKEN = 'hf_abcdefghijklmn'\n")
    second = submitted(world, "--set", "swift.beta=0.25")
    done = world.prl("diff", "v0", "v1")
    assert done.code == 0, done.err
    assert "-x = 1\n+x = 2\n+TOKEN = '***'\n" in done.out
    assert ["swift.beta", "-", "0.25"] in [line.split() for line in done.out.splitlines()]
    stat = world.prl("diff", "v0", "v1", "--stat").out
    assert "  lib.py: 2 added, 1 removed\n" in stat
    assert "+x = 2" not in stat
    document = world.prl("diff", str(first), str(second), "--json").json
    assert document["runs"] == [first.name, second.name]
    assert document["settings"]["swift.beta"] == [None, 0.25]
    (file,) = [
        file for file in document["made_of"]["code"]["repository"] if file["path"] == "lib.py"
    ]
    assert (file["added"], file["removed"]) == (2, 1)
    # The job itself has written what the node has.
    versions = json.loads((first / "made_of/versions.json").read_text())
    assert versions["python"]
    assert document["made_of"]["versions"] == {}
    same = world.prl("diff", "v1", "v1")
    assert (same.code, same.out) == (0, "")
    assert "no difference between" in same.err


def test_directories_that_ms_swift_made_alone(world: World) -> None:
    shutil.copytree(SWIFT_33, world.root / "old")
    shutil.copytree(SWIFT_46, world.root / "new")
    for name in ("run.json", "plan.json", "exit.json"):
        for folder in ("old", "new"):
            (world.root / folder / name).unlink(missing_ok=True)
    done = world.prl("diff", "./old", "./new")
    assert done.code == 0, done.err
    assert ["swift.max_steps", "7", "12"] in [line.split() for line in done.out.splitlines()]
    assert "old has no record of its code and data" in done.err


def test_what_somebody_else_wrote_does_not_steer_the_terminal(world: World) -> None:
    world.output.mkdir(exist_ok=True)
    for number, text in enumerate(("a\n", "\x1b]0;title\x07\x1b[2Jb\r\n")):
        run = world.output / f"v{number}-20261130-14301{number}"
        shutil.copytree(SWIFT_46, run)
        (run / "made_of").mkdir()
        (run / "made_of/p.py").write_text(text)
        file = {"key": "k\x1b[2J", "path": "/w/p.py", "copy": "p.py", "sha256": str(number)}
        code = {"workdir": "/w", "files": [file]}
        (run / "made_of/code.json").write_text(json.dumps(code))
    out = world.prl("diff", "v0", "v1").out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "b^M\n" in out


def test_colour_only_on_a_terminal(world: World) -> None:
    test_what_somebody_else_wrote_does_not_steer_the_terminal(world)
    out = on_terminal(world, "sleep 0.2; python -m prl_submit diff v0 v1", TERM="xterm")
    assert "\x1b[31m-a" in out
    assert "\x1b[2J" not in out


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ("v0", 2, "Missing argument 'RUN'"),
        ("v0 v9", 3, "no run 'v9'"),
        ("./nothing v0", 3, "is no run directory"),
    ],
)
def test_wrong_words(world: World, words: str, code: int, error: str) -> None:
    world.output.mkdir(exist_ok=True)
    shutil.copytree(SWIFT_46, world.output / "v0-20261130-143010")
    done = world.prl("diff", *words.split())
    assert (done.code, done.out) == (code, "")
    assert error in done.err
