"""`prl-submit completions` through the real executable, on a real run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.swift_logs import SWIFT_46

if TYPE_CHECKING:
    from tests.conftest import World


@pytest.fixture(autouse=True)
def _run(world: World) -> None:
    world.output.mkdir(exist_ok=True)
    shutil.copytree(SWIFT_46, world.output / "v0-20261130-142859")


def test_the_last_ones(world: World) -> None:
    done = world.prl("completions", "v0", "--sort", "reward", "--limit", "2")
    assert done.code == 0
    heads = [line for line in done.out.splitlines() if line.startswith("==> step 12, completion ")]
    assert len(heads) == 2
    assert all("PrlFormat" in head and "advantage" in head for head in heads)
    assert done.err == "2 more; --limit shows more of them\n"


def test_one_step_as_json(world: World) -> None:
    document = world.prl("completions", "v0", "--step", "5", "--json").json
    assert document["step"] == 5
    rewards = [one["reward"] for one in document["completions"]]
    assert sum(rewards) / 4 == pytest.approx(0.03606293, abs=1e-6)  # as logging.jsonl has it
    assert set(document["completions"][0]["rewards"]) == {"PrlFormat", "PrlAccuracy"}


def test_search(world: World) -> None:
    """In prompts and completions, in whatever case; the count stays that of all."""
    every = world.prl("completions", "v0", "--json").json["completions"]
    word = every[1]["completion"].strip()[:6]
    wanted = [
        one["number"]
        for one in every
        if word.lower() in (one["prompt"] + "\n" + one["completion"]).lower()
    ]
    found = world.prl("completions", "v0", "--search", word.upper(), "--json").json["completions"]
    assert [one["number"] for one in found] == wanted
    assert " of 4  " in world.prl("completions", "v0", "--search", word).out
    done = world.prl("completions", "v0", "--search", "no such text")
    assert (done.code, done.out) == (0, "")
    assert done.err == "none of the 4 completions of step 12 has 'no such text'\n"


def test_there_are_none(world: World) -> None:
    done = world.prl("completions", "v0", "--step", "99")
    assert (done.code, done.out) == (2, "")
    assert "has no completions of step 99" in done.err
    (world.output / "v0-20261130-142859" / "completions.jsonl").unlink()
    done = world.prl("completions", "v0")
    assert done.code == 2
    assert "log_completions: true" in done.err
    assert world.prl("completions", "v9").code == 3
