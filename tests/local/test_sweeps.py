"""Sweeps through the real executable: submitted, killed half-way, resumed, cancelled, compared."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import World

GRID = {"grid": {"swift.learning_rate": [1e-6, 1e-5], "swift.num_generations": [2, 3]}}
NAMED = {"name": "lr-{swift.learning_rate}", "grid": {"swift.learning_rate": [1e-6, 1e-5, 1e-4]}}
#: Learning rate 1e-5 fails at first: after a checkpoint. 1e-4 fails at first without one.
FIRST_TIME = """
echo "learning rate in $(tr '\\0' ' ' <"$run/argv" | grep -o 'learning_rate [^ ]*')"
if grep -q 1e-6 "$run/argv" || [[ -e $run/again ]]; then step 9 9; ended; exit 0; fi
touch "$run/again"
if grep -q 1e-5 "$run/argv"; then step 5 9; checkpoint 5 9; fi
exit 3
"""


def records(world: World) -> list[dict[str, Any]]:
    """run.json of all runs, by number."""
    files = sorted(
        world.output.glob("v*/run.json"), key=lambda file: int(file.parent.name.split("-")[0][1:])
    )
    return [json.loads(file.read_text()) for file in files]


def states(world: World, *words: object) -> list[str]:
    return [run["state"] for run in world.prl("status", *words, "--json").json["runs"]]


def test_a_dry_run_shows_all_and_a_wrong_one_stops_all(world: World) -> None:
    spec = world.spec(name="lr", sweep=GRID)
    shown = world.prl(spec, "--dry-run")
    assert shown.code == 2
    lines = shown.out.splitlines()
    assert lines[0].split() == ["#", "NAME", "LEARNING_RATE", "NUM_GENERATIONS", "SIZE", "CHECK"]
    assert [line.split()[1] for line in lines[1:5]] == ["lr-1", "lr-2", "lr-3", "lr-4"]
    assert [line.split()[-1] == "ok" for line in lines[1:5]] == [True, False, True, False]
    assert "(in 2 of 4 combinations: lr-2, lr-4)" in shown.err
    told = world.prl(spec, "--dry-run", "--json").json
    assert [item["ok"] for item in told["combinations"]] == [True, False, True, False]
    assert told["problems"][0]["combinations"] == ["lr-2", "lr-4"]
    done = world.prl(spec)
    assert done.code == 2
    assert "2 of 4 combinations have errors; nothing was created" in done.err
    assert world.prl("check", spec).code == 2
    assert not world.output.exists()
    done = world.prl(spec, "--skip-invalid", "--wait", "--json")
    assert done.code == 0, done.err
    assert [run["name"] for run in done.json["runs"]] == ["lr-1", "lr-3"]
    assert [run["sweep"]["index"] for run in done.json["runs"]] == [1, 3]
    assert [run["metrics"]["at_step"] for run in done.json["runs"]] == [1, 1]
    assert [item["sweep"]["index"] for item in records(world)] == [1, 3]


def test_how_many_steps_and_how_long_all_take(world: World) -> None:
    spec = world.spec(sweep={"grid": {"swift.max_steps": [10, 30, 40]}, "max_parallel": 2})
    words = "note: 10 to 40 steps, the most in fake-3"
    assert f"{words}\n" in world.prl("check", spec).err
    pace = ("--seconds-per-step", "60")
    told = (
        f"{words}; at 60 s each a run takes at most 40 minutes, and all 3, 2 at a time, 50 minutes"
    )
    assert told in world.prl("check", spec, *pace).err
    assert told in world.prl(spec, "--dry-run", *pace).err
    for command in (["check", spec, *pace], [spec, "--dry-run", *pace]):
        estimate = world.prl(*command, "--json").json["estimate"]
        assert (estimate["fewest"], estimate["most"], estimate["all_s"]) == (10, 40, 3000.0)
        assert estimate["ends_at"]
    late = world.prl("check", spec, *pace, "--set", "resources.time_limit=35m").err
    assert "35 minutes is shorter than 40 minutes" in late
    assert "in 1 of 3 combinations" in late


def test_a_section_that_is_wrong_itself_is_never_submitted(world: World) -> None:
    """--skip-invalid leaves out combinations; a wrong pattern of names is wrong for all of them."""
    spec = world.spec(name="lr", sweep=GRID | {"name": "{learning_rate}-{swift.num_generations}"})
    for words in (["--dry-run"], []):
        done = world.prl(spec, "--skip-invalid", *words)
        assert done.code == 2
        assert "did you mean {swift.learning_rate}" in done.err
    assert not world.output.exists()


def test_submitted_resumed_and_compared(world: World) -> None:
    spec = world.spec(name="lr", sweep=NAMED)
    done = world.prl(spec, "--wait", FAKE=FIRST_TIME)
    assert done.code == 1, done.err
    folder = Path(done.out.strip())
    assert folder.parent == world.output / "sweeps"
    told = json.loads((folder / "sweep.json").read_text())
    assert [run["name"] for run in told["runs"]] == ["lr-1e-06", "lr-1e-05", "lr-0-0001"]
    assert [run["values"] for run in told["runs"]] == [
        {"swift.learning_rate": rate} for rate in (1e-6, 1e-5, 1e-4)
    ]
    assert [item["sweep"]["id"] for item in records(world)] == [told["id"]] * 3
    assert states(world, "lr") == states(world, folder) == ["SUCCEEDED", "FAILED", "FAILED"]
    runs = [run["run"] for run in told["runs"]]
    logs = world.prl("logs", "lr").out
    assert [line for line in logs.splitlines() if line.startswith("==>")] == [
        f"==> {run} {name} <=="
        for run, name in zip(runs, ("lr-1e-06", "lr-1e-05", "lr-0-0001"), strict=True)
    ]
    resumed = world.prl("resume", "lr", "--follow", FAKE=FIRST_TIME)
    assert resumed.code == 0, resumed.err
    assert f"{runs[0]}: left alone: SUCCEEDED" in resumed.err
    assert f"{runs[1]}: continues from checkpoint-5 (FAILED)" in resumed.err
    assert f"{runs[2]}: begins anew (FAILED)" in resumed.err
    assert "[lr-1e-05] " in resumed.out
    assert states(world, "lr") == ["SUCCEEDED"] * 3
    words = (world.output / runs[1] / "argv").read_bytes().split(b"\0")
    assert words[words.index(b"--resume_from_checkpoint") + 1].endswith(b"/checkpoint-5")
    assert b"--resume_from_checkpoint" not in (world.output / runs[2] / "argv").read_bytes()
    again = world.prl("resume", "lr")
    assert (again.code, again.err.count("left alone")) == (0, 3)
    assert "must stay up" not in again.err, "nothing waits"
    compared = world.prl("compare", "lr", "--best", "reward")
    assert compared.code == 0, compared.err
    assert "learning_rate" in compared.out


@pytest.mark.parametrize(
    "last", ["v*/plan.json", "sweeps/*/sweep.json", "v*/run.json", "sweeps/*/queue.json"]
)
def test_killed_and_resumed_no_job_is_lost_or_started_twice(world: World, last: str) -> None:
    """Killed when this file was the last: either nothing is listed, or `resume` submits each run once."""
    rates = [n * 1e-6 for n in range(1, 5)]
    count = 'echo once >>"$run/starts"; step 1 1; ended'
    spec = world.spec(name="lr", sweep={"grid": {"swift.learning_rate": rates}})
    process = world.start(spec, FAKE=count)
    while not list(world.output.glob(last)):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.communicate()
    world._started.remove(process)
    if not list(world.output.glob("v*/run.json")):
        assert last in ("v*/plan.json", "sweeps/*/sweep.json")
        assert world.states() == {}
        assert not list(world.output.glob("v*/starts"))
        return
    done = world.prl("resume", "lr", "--wait", FAKE=count)
    assert done.code == 0, done.err
    assert [file.read_text() for file in world.output.glob("v*/starts")] == ["once\n"] * 4
    assert states(world, "lr") == ["SUCCEEDED"] * 4


def test_ctrl_c_leaves_all_or_nothing(world: World, eventually: Callable[..., None]) -> None:
    """The local backend hands all runs to one waiting queue, so there is nothing in between."""
    rates = [n * 1e-6 for n in range(1, 31)]
    spec = world.spec(name="lr", sweep={"grid": {"swift.learning_rate": rates}})
    process = world.start(spec, FAKE="step 1 1; ended")
    eventually(lambda: list(world.output.glob("v*/launch.sh")))
    process.send_signal(signal.SIGINT)
    done = world.finish(process)
    if "nothing was submitted" in done.err:
        assert done.code == 130
        assert list(world.output.glob("v*")) == list(world.output.glob("sweeps/*")) == []
    else:
        assert "lr goes on" in done.err or done.code == 0
        assert world.prl("wait", "lr").code == 0
        assert states(world, "lr") == ["SUCCEEDED"] * 30


def test_cancelled_by_name(world: World, eventually: Callable[..., None]) -> None:
    spec = world.spec(name="lr", sweep=NAMED)
    fake = 'touch "$run/ready"; sleep 300'
    assert world.prl(spec, FAKE=fake).code == 0
    eventually(lambda: list(world.output.glob("v*/ready")))
    done = world.prl("cancel", "lr")
    assert done.code == 0, done.err
    assert states(world, "lr") == ["CANCELLED"] * 3
    assert world.alive("sleep") == []


def test_nothing_is_left_behind_if_nothing_was_submitted(world: World) -> None:
    spec = world.spec(name="lr", sweep=NAMED, backend="slurm")
    done = world.prl(spec)
    assert done.code != 0
    assert list(world.output.glob("v*")) == []
    assert list((world.output / "sweeps").iterdir()) == []
