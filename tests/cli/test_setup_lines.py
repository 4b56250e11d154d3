"""Setup lines that bash cannot read are told by `check`, and none of them is run."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from prl_submit.inputs.setup_lines import is_plain

if TYPE_CHECKING:
    from tests.conftest import World


@pytest.mark.parametrize(
    "line",
    ["echo Don't forget", "if true; then", "}", 'echo "x', "f() {", "cat <<EOF", "fi", "("],
)
def test_lines_that_are_not_whole(world: World, line: str) -> None:
    done = world.prl("check", world.spec(environment__setup=["touch ran", line, "export GOOD=1"]))
    assert done.code == 0
    assert "environment.setup: bash cannot read the lines to their end: " in done.err
    assert not (world.root / "ran").exists()


def test_a_construct_over_several_lines(world: World) -> None:
    lines = ["if [[ -z $X ]]; then", "export X=1", "fi"]
    done = world.prl("check", world.spec(environment__setup=lines))
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        'echo "don\'t"',
        "if true; then\n  echo x\nfi",
        "ls !(a)",
        "cat <<EOF\nx\nEOF",
        "# it's a comment",
    ],
)
def test_a_line_that_is_whole(world: World, line: str) -> None:
    assert world.prl("check", world.spec(environment__setup=[line])).code == 0


def test_plain_lines_are_right_for_bash_too() -> None:
    """`check` starts no bash for plain lines, so bash must be able to read every one of them."""
    rng = random.Random(7)
    words = [
        "if",
        "in",
        "do",
        "done",
        "time",
        "fi",
        "A=1",
        "-x",
        "+o",
        "a.b",
        "x:y,z",
        "@",
        "%",
        "=",
        "/",
    ]
    lines = [" ".join(rng.choices(words, k=rng.randrange(6))) for _ in range(2000)]
    plain = [line for line in lines if is_plain(line)]
    assert len(plain) > 500
    done = subprocess.run(
        ["bash", "--norc", "-n", "-c", "\n".join(plain)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "line", ["if", "fi", "time", "a'b", "a;b", "f()", "a\nb", "${x", "a#b", "!"]
)
def test_a_line_that_bash_is_asked_about(line: str) -> None:
    assert not is_plain(line)
