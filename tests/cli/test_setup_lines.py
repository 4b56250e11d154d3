"""Setup lines that bash cannot read are told by `check`, and none of them is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
