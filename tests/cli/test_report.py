"""`prl-submit report` through the real executable: its file, its messages, and --watch until the runs have ended."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.swift_logs import SWIFT_33, SWIFT_46, step, text_of

if TYPE_CHECKING:
    from tests.conftest import World

OLD, NEW = "v0-20261130-143015", "v1-20261130-142859"


def shown(page: Path) -> Any:
    """The data in a report."""
    found = re.search(r'id="report-data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture
def runs(world: World) -> World:
    """A world with a run of 3.3 and one of 4.6."""
    world.output.mkdir(exist_ok=True)
    shutil.copytree(SWIFT_33, world.output / OLD)
    shutil.copytree(SWIFT_46, world.output / NEW)
    return world


def test_the_file_and_its_name(runs: World) -> None:
    done = runs.prl("report", "v0", "v1")
    assert (done.code, done.out) == (0, "report.html\n")
    assert done.err.splitlines()[0] == f"{OLD}: the rewards of 3 steps are from completions.jsonl"
    assert re.search(r"^2 runs, 0\.\d MB$", done.err, re.MULTILINE)
    assert [run["name"] for run in shown(runs.root / "report.html")["runs"]] == [OLD, NEW]
    assert runs.prl("report", "v1").code == 0  # an older report is replaced
    assert [run["name"] for run in shown(runs.root / "report.html")["runs"]] == [NEW]


def test_stdout_has_the_same(runs: World) -> None:
    done = runs.prl("report", "v1", "-o", "-")
    assert done.out.startswith('<!doctype html>\n<html lang="en" data-made-by="prl-submit report">')
    assert done.out.endswith("</html>\n")
    assert not (runs.root / "report.html").exists()


def test_other_files_stay(runs: World) -> None:
    mine = runs.root / "report.html"
    mine.write_text("mine")
    done = runs.prl("report", "v1")
    assert (done.code, done.out, mine.read_text()) == (2, "", "mine")
    assert (
        "is no report of prl-submit, so it was not replaced\nhint: choose another name" in done.err
    )
    done = runs.prl("report", "v1", "-o", "missing/report.html")
    assert (done.code, "is no folder" in done.err) == (2, True)


def test_what_is_wrong_on_the_command_line(runs: World) -> None:
    assert "name the runs to show" in runs.prl("report").err
    assert runs.prl("report", "v7").code == 3
    assert "neither a number nor `none`" in runs.prl("report", "v1", "--completions", "few").err
    assert "--watch needs a file" in runs.prl("report", "v1", "--watch", "-o", "-").err


def test_fewer_completions_or_none(runs: World) -> None:
    done = runs.prl("report", "v1", "--completions", "10")
    assert "completions of 2 of the 12 logged steps are kept (the first and the last)" in done.err
    assert runs.prl("report", "v1", "--completions", "none").code == 0
    assert 'class="completions-0"' not in (runs.root / "report.html").read_text()


def test_watch_ends_with_the_run(world: World) -> None:
    run = world.submit("step 1 3; until [[ -e go ]]; do sleep 0.1; done; step 2 3; step 3 3")
    watching = world.start("report", run.name, "--watch")
    page = world.root / "report.html"
    deadline = time.monotonic() + 30
    while not page.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first = shown(page)
    assert first["reload_s"] == 30
    assert first["runs"][0]["state"] == "RUNNING"
    (world.root / "go").touch()
    done = world.finish(watching)
    assert (done.code, done.out) == (0, "report.html\n")
    assert "written anew every 30 s while the runs go on; Ctrl-C ends that" in done.err
    last = shown(page)
    assert (last["reload_s"], last["runs"][0]["state"]) == (None, "SUCCEEDED")
    assert dict(line[:2] for line in last["summary"])["steps"] == "3/3"


def test_ctrl_c_leaves_a_final_report(runs: World) -> None:
    alone = runs.root / "alone"
    alone.mkdir()
    (alone / "logging.jsonl").write_text(text_of(step(n, 9, reward=0.1) for n in range(1, 5)))
    (alone / "completions.jsonl").symlink_to("nowhere")
    watching = runs.start("report", "./alone", "v1", "--watch")
    page = runs.root / "report.html"
    deadline = time.monotonic() + 30
    while not page.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert shown(page)["reload_s"] == 30  # ms-swift alone has not logged its last step
    assert (
        "completions.jsonl is a symbolic link to nothing, so it was not read"
        in shown(page)["runs"][0]["notes"]
    )
    os.kill(watching.pid, signal.SIGINT)
    done = runs.finish(watching)
    assert done.code == 130
    assert "interrupted: the runs go on; the report stays as it is now" in done.err
    assert shown(page)["reload_s"] is None


def test_a_sweep_means_all_its_runs(runs: World) -> None:
    for number, name in enumerate((OLD, NEW)):
        record = runs.output / name / "run.json"
        told = json.loads(record.read_text())
        told["sweep"] = {
            "name": "lr",
            "id": "a1b2",
            "folder": "lr-20261130-143000",
            "index": number + 1,
            "values": {"swift.beta": number},
        }
        record.write_text(json.dumps(told))
    assert runs.prl("report", "lr").code == 0
    assert len(shown(runs.root / "report.html")["runs"]) == 2
