"""Setup lines that bash cannot read by themselves are refused by `check`, and none of them is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import World


@pytest.mark.parametrize(
    "line",
    ["echo Don't forget", "if true; then", "}", 'echo "x', "f() {", "cat <<EOF", "fi", "(", "a |"],
)
def test_a_line_that_is_not_whole(world: World, line: str) -> None:
    done = world.prl("check", world.spec(environment__setup=["touch ran", line, "export GOOD=1"]))
    assert done.code == 2
    assert "environment.setup[1]: bash cannot read it: " in done.err
    assert "each item is whole bash by itself" in done.err
    assert not (world.root / "ran").exists()


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
