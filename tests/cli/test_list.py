"""`list` through the real executable: what differs, columns, order, filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.test_status import lines_of

if TYPE_CHECKING:
    from tests.conftest import World


@pytest.fixture
def three(world: World) -> World:
    """Two runs of one name with different rewards and learning rates, and a run that failed."""
    log = 'printf \'{"reward": {}, "global_step/max_steps": "1/1"}\\n\' >>"$run/logging.jsonl"'
    world.run_to_end(log.replace("{}", "0.5"), swift__learning_rate=1e-6)
    world.run_to_end(log.replace("{}", "0.25"), swift__learning_rate=1e-5)
    world.run_to_end("exit 1", name="other")
    return world


def names(world: World, *words: str) -> list[str]:
    """The numbers of the listed runs, in their order."""
    done = world.prl("list", *words)
    assert done.code == 0, done.err
    return [line.partition("-")[0] for line in done.out.splitlines()[1:]]


def test_what_differs_and_the_rest(three: World) -> None:
    """Differences stand in a column, or in lines of their own on a narrow terminal."""
    header, *rows = three.prl("list").out.splitlines()
    assert header.split()[:8] == "RUN NAME BACKEND JOB STATE STEP RESTARTS REASON".split()
    assert [row.split()[-2:] for row in rows[:2]] == [
        ["learning_rate", "1e-6"],
        ["learning_rate", "1e-5"],
    ]
    lines = lines_of(three, "list", columns=60)
    assert "    learning_rate 1e-5" in lines
    assert "    torchrun exited with 1" in lines
    assert lines_of(three, "list")[2].endswith("learning_rate 1e-5")
    # --- columns and order
    chosen = three.prl("list", "--columns", "run,reward,swift.learning_rate,slurm.partition")
    assert [line.split()[1:] for line in chosen.out.splitlines()] == [
        ["REWARD", "LEARNING_RATE", "SLURM.PARTITION"],
        ["0.5", "1e-6", "-"],
        ["0.25", "1e-5", "-"],
        ["-", "-", "-"],
    ]
    assert names(three, "--sort", "reward") == ["v2", "v1", "v0"]
    assert names(three, "--sort", "-reward") == ["v0", "v1", "v2"]
    assert names(three, "--sort", "reward", "--reverse") == ["v0", "v1", "v2"]
    # --- filters
    assert names(three, "--state", "failed") == ["v2"]
    assert names(three, "--state", "FAILED,succeeded", "--last", "2") == ["v1", "v2"]
    assert names(three, "--name", "fa*") == ["v0", "v1"]
    three.prl("tag", "v1", "best")
    assert names(three, "--tag", "best") == ["v1"]
    found = three.prl("list", "--name", "fake", "--json", "--columns", "swift.learning_rate")
    runs = found.json["runs"]
    assert [run["metrics"]["reward"] for run in runs] == [0.5, 0.25]
    assert [run["columns"] for run in runs] == [
        {"swift.learning_rate": 1e-6},
        {"swift.learning_rate": 1e-5},
    ]
    # --- mistakes
    for words, hint in (
        (["--columns", "run,rewrad"], "did you mean 'reward'?"),
        (["--columns", "run,,state"], "columns are run, name, "),
        (["--columns", "beta"], "did you mean 'swift.beta'?"),
        (["--sort", "swift.lerning_rate"], "did you mean 'swift.learning_rate'?"),
        (["--state", "runing"], "did you mean 'RUNNING'?"),
    ):
        done = three.prl("list", *words)
        assert (done.code, done.out) == (2, "")
        assert hint in done.err
    assert three.prl("list", "--sweep", "x").code == 3
    none = three.prl("list", "--name", "nothing")
    assert (none.code, none.out) == (0, "")
    assert "no such run among the 3 under " in none.err
