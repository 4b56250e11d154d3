"""`prl-submit compare` through the real executable, on real runs of ms-swift 3.3 and 4.6."""

from __future__ import annotations

import csv
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_status import lines_of
from tests.support.swift_logs import SWIFT_33, SWIFT_46

if TYPE_CHECKING:
    from tests.conftest import World

OLD, NEW = "v0-20261130-143015", "v1-20261130-142859"


@pytest.fixture(autouse=True)
def _runs(world: World) -> None:
    world.output.mkdir(exist_ok=True)
    shutil.copytree(SWIFT_33, world.output / OLD)
    shutil.copytree(SWIFT_46, world.output / NEW)


def test_tables(world: World) -> None:
    done = world.prl("compare", "v0", "v1")
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert ["SETTING", OLD, NEW] in lines
    assert ["swift.max_steps", "7", "12"] in lines
    assert ["steps", "7/7", "12/12"] in lines
    assert ["speed-up", "1.00x", "0.70x"] in lines
    assert "hint: v1-20261130-142859: 100% of the completions" in done.err
    assert "speed: wall time between logged steps" in done.err


def test_json(world: World) -> None:
    document = world.prl("compare", "v0", "v1", "--json").json
    assert document["settings"]["swift.max_steps"] == [7, 12]
    assert document["equal_samples"] == 48
    old, new = document["runs"]
    assert (old["run"], old["step"], old["attempts"]) == (OLD, 7, 1)
    assert (new["run"], new["job"], new["attempts"]) == (NEW, "mr-cpu", 2)
    assert new["speed_up"] == pytest.approx(
        new["samples_per_second"] / old["samples_per_second"], rel=1e-9
    )


def test_the_best_first(world: World) -> None:
    words = ("compare", "v0", "v1", "--best", "last_reward", "--json")
    document = world.prl(*words).json
    assert [run["run"] for run in document["runs"]] == [NEW, OLD]
    assert document["settings"]["swift.max_steps"] == [12, 7]
    assert document["runs"][1]["speed_up"] == 1.0  # against the first on the command line


def test_csv_and_markdown(world: World) -> None:
    rows = list(csv.DictReader(world.prl("compare", "v0", "v1", "--csv").out.splitlines()))
    assert [row["run"] for row in rows] == [OLD, NEW]
    text = world.prl("compare", "v0", "v1", "--markdown").out
    assert f"| metric | {OLD} | {NEW} |" in text
    assert "| steps | 7/7 | 12/12 |" in text


def test_many_runs_have_a_row_each(world: World) -> None:
    done = world.prl("compare", *["v0", "v1"] * 4)
    assert len(done.out.splitlines()) == 9
    assert done.out.splitlines()[1].split()[0] == OLD


@pytest.mark.parametrize("count", [2, 8])
def test_nothing_is_cut_on_a_terminal(world: World, count: int) -> None:
    """What 80 columns cannot hold stands in further parts, each of which begins with the runs."""
    names = [f"v{n}-20261130-1600{n:02}" for n in range(2, 2 + count)]
    for name in names:
        shutil.copytree(SWIFT_46, world.output / name)
    lines = lines_of(world, "compare", *names, "--best", "seconds_per_step")
    tables = lines[: next(n for n, line in enumerate(lines) if line.startswith("best "))]
    assert max(map(len, tables)) <= 80
    assert not any("…" in line for line in tables)
    words = " ".join(tables).split()
    assert words.count("mr-cpu") == count  # the name of each run
    assert words.count("12/12") == count
    assert words.count("100%") >= count
    assert "best seconds_per_step: v2 (mr-cpu), seconds per step 0.223" in lines


def test_what_failed_is_told(world: World) -> None:
    attempts = world.output / NEW / "logs/attempts.jsonl"
    text = attempts.read_text().replace('"SUCCEEDED"', '"FAILED"')
    text = text.replace('"reason": null', '"reason": "CUDA out of memory"')
    attempts.write_text(text)
    done = world.prl("compare", "v0", "v1")
    assert ["last", "attempt", "SUCCEEDED", "FAILED"] in [
        line.split() for line in done.out.splitlines()
    ]
    assert f"{NEW}: FAILED: CUDA out of memory" in done.err
    assert "last attempt" not in world.prl("compare", "v0").out


def test_a_directory_that_ms_swift_made_alone(world: World) -> None:
    alone = world.root / "alone"
    shutil.copytree(SWIFT_46, alone)
    for name in ("run.json", "plan.json", "exit.json"):
        (alone / name).unlink()
    (run,) = world.prl("compare", "./alone", "--json").json["runs"]
    assert (run["job"], run["step"], run["processes"], run["attempts"]) == (None, 12, 2, 2)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ("", 2, "name the runs to compare"),
        ("v0 v1 --csv --json", 2, "exclude each other"),
        ("v0 --best beauty", 2, "'beauty' is not one of"),
        ("v0 v9", 3, "no run 'v9'"),
        ("v0 ./nothing", 3, "is no run directory"),
    ],
)
def test_wrong_words(world: World, words: str, code: int, error: str) -> None:
    done = world.prl("compare", *words.split())
    assert (done.code, done.out) == (code, "")
    assert error in done.err
