"""What `status` says of trainings below its table, through the real executable."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.support.swift_logs import SWIFT_46, step, text_of

if TYPE_CHECKING:
    from tests.conftest import World

#: A training that has logged 40 steps of 10 s each, and goes on.
STEPS = text_of(step(n, 100, reward=n / 100, kl=0.01) for n in range(1, 41))


def test_a_training(world: World, eventually: Callable[..., None]) -> None:
    (world.root / "steps").write_text(STEPS)
    run = world.submit('cat steps >>"$run/logging.jsonl"; sleep 60')
    eventually(lambda: "step 40/100" in world.prl("status").out)
    lines = world.prl("status").out.splitlines()
    assert lines[0].startswith("RUN ")
    assert lines[2] == f"{run.name}:"
    end = r"(tomorrow )?\d\d:\d\d"
    bar = "█" * 8 + "░" * 12
    assert re.fullmatch(rf"  step 40/100 {bar} 40%  10 s/it  \S+ min left, ends {end}", lines[3])
    assert re.fullmatch(r"  reward 0.355 \S{20} rising  kl 0.01  \d+s ago", lines[4])
    plain = world.prl("status", run, LC_ALL="C").out.splitlines()
    assert plain[3].startswith("  step 40/100 ########............ 40%")
    assert plain[3].isascii()
    assert plain[4].isascii()
    assert ":" not in world.prl("list").out.splitlines()[-1].partition("RUNNING")[0]
    assert world.prl("cancel", run).code == 0


def test_before_the_first_step(world: World, eventually: Callable[..., None]) -> None:
    run = world.submit("echo '[INFO:swift] Loading'; sleep 60")
    eventually(lambda: "  loading the model and the data\n" in world.prl("status").out)
    assert world.prl("cancel", run).code == 0


def test_a_run_that_has_ended_only_if_it_is_named(world: World) -> None:
    world.output.mkdir()
    shutil.copytree(SWIFT_46, world.output / "v0-20261130-142859")
    assert world.prl("status").out == ""
    lines = world.prl("status", "v0").out.splitlines()
    assert lines[2] == "v0-20261130-142859:"
    assert lines[3].startswith("  step 12/12 ")
    assert "left" not in lines[3]
