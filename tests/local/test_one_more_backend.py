"""A backend that prl-submit does not know: a folder of the tests, registered by one line, runs real jobs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT, World, eventually

FOLDER = PROJECT / "tests" / "support" / "spool_backend"
#: Until the test says so.
WAITS = "step 1 2; until [[ -e $run/go ]]; do sleep 0.05; done; step 2 2; ended"


class SpoolWorld(World):
    """A world whose prl-submit has the backend `spool`."""

    def start(self, *words: object, **environ: str) -> subprocess.Popen[bytes]:
        """The program of the backend's folder, which registers the backend and is prl-submit."""
        more = {"PYTHONPATH": str(PROJECT), "SPOOL": str(self.root / "spool")}
        argv = [sys.executable, "-m", "tests.support.spool_backend", *words]
        return self.popen(argv, **more | environ)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SpoolWorld]:
    """A world with an empty queue."""
    world = SpoolWorld(tmp_path)
    try:
        yield world
    finally:
        world.close()


def test_it_is_small_and_nobody_knows_it() -> None:
    lines = [line for file in FOLDER.glob("*.py") for line in file.read_text().splitlines()]
    assert 50 < len(lines) < 150
    asked = ["grep", "-rlw", "spool", "--include=*.py", str(PROJECT / "prl_submit")]
    assert subprocess.run(asked, capture_output=True, check=False).stdout == b""


def test_submit_status_logs_and_the_end(spool: SpoolWorld) -> None:
    checked = spool.prl("check", spool.spec(backend="spool"), "--online")
    assert "0 jobs are before it" in checked.out, checked.err
    run = spool.submit(WAITS, backend="spool", name="first")
    eventually(lambda: spool.states() == {run.name: "RUNNING"})
    following = spool.start("logs", run, "-f")
    eventually((run / "logging.jsonl").exists)
    (run / "go").touch()
    done = spool.finish(following)
    assert done.code == 0, done.err
    assert "End time of running main" in done.out
    (status,) = spool.prl("status", run, "--json").json["runs"]
    said = (status["backend"], status["state"], status["step"], status["job_id"][:4])
    assert said == ("spool", "SUCCEEDED", 2, "job-")
    assert (run / "verdict.json").exists()  # the answer was final, so it was kept


def test_one_job_after_another_and_cancel(spool: SpoolWorld) -> None:
    first = spool.submit(WAITS, backend="spool", name="first")
    eventually(lambda: spool.states() == {first.name: "RUNNING"})
    second = spool.submit(WAITS, backend="spool", name="second")
    third = spool.submit("step 1 1; ended", backend="spool", name="third")
    assert spool.states() == {first.name: "RUNNING", second.name: "QUEUED", third.name: "QUEUED"}
    done = spool.prl("cancel", second, first, "--wait")
    assert done.code == 0, done.err
    assert spool.prl("wait", third).code == 0
    ends = {first.name: "CANCELLED", second.name: "CANCELLED", third.name: "SUCCEEDED"}
    assert spool.states() == ends
    assert not (second / "logs" / "node0.log").exists()
    again = spool.prl("cancel", second)
    assert "had already ended: CANCELLED" in again.err


def test_what_it_cannot_do_is_told(spool: SpoolWorld) -> None:
    done = spool.prl("check", spool.spec(backend="spool", resources__nodes=2))
    assert done.code == 2
    assert "the spool backend has one node, found 2" in done.err
    assert "sppol" in spool.prl("check", spool.spec(), "--backend", "sppol").err
