"""`status` through the real executable: tables, pages and --watch, on terminals and in pipes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.swift_logs import SWIFT_46, step, text_of
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.conftest import World

Eventually = Callable[..., None]
#: A training that has logged 40 steps of 10 s each, and goes on.
STEPS = text_of(step(n, 100, reward=n / 100, kl=0.01) for n in range(1, 41))
TRAIN = 'cat steps >>"$run/logging.jsonl"; sleep 60'
#: The same, in which all completions of a prompt get the same reward.
FLAT = text_of(step(n, 100, reward=0.5, reward_std=0.0) for n in range(1, 21))


def on_terminal(
    world: World,
    *words: object,
    columns: int = 80,
    rows: int = 24,
    environ: dict[str, str] | None = None,
) -> Terminal:
    """prl-submit on a terminal without colour."""
    usual = {"TERM": "xterm", "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "prl_submit", *words]
    return Terminal(argv, world.root, world.environ | usual | (environ or {}), columns, rows)


def lines_of(world: World, *words: object, columns: int = 80, **environ: str) -> list[str]:
    """The lines that prl-submit leaves on a terminal."""
    terminal = on_terminal(world, *words, columns=columns, environ=environ)
    assert terminal.finish() == 0
    return [line.rstrip() for line in terminal.screen.usual if line.strip()]


def test_a_training(world: World, eventually: Eventually) -> None:
    """Its step, end, reward and the rest in 80 columns; the same values in JSON and in a pipe."""
    (world.root / "steps").write_text(STEPS)
    run = world.submit(TRAIN)
    eventually(lambda: " 40/100" in world.prl("status").out)
    header, row, *below = lines_of(world, "status")
    assert header.split() == "RUN NAME STATE STEP DONE REWARD TREND S/IT LEFT END".split()
    cells = re.split(r"  +", row)
    assert cells[:6] == ["v0", "fake", "RUNNING", "40/100", "██░░░ 40%", "0.355"]
    assert cells[6] == "▁▂▃▄▅▆▇█"
    assert cells[7] == "10"
    assert re.fullmatch(r"[\d.]+ min", cells[8])
    assert re.fullmatch(r"([A-Z][a-z]{2} )?\d\d:\d\d", cells[9])
    shown = " ".join(below)
    for words in ("reward rising", "kl 0.01", "last step ", "running "):
        assert words in shown
    plain = lines_of(world, "status", LC_ALL="C")
    assert "##... 40%" in plain[1]
    assert all(line.isascii() for line in plain)
    (status,) = world.prl("status", "--json").json["runs"]
    metrics = status["metrics"]
    assert (metrics["reward"], metrics["at_step"]) == (0.355, 40)
    assert metrics["seconds_per_step"] == 10
    assert 500 < metrics["time_left_s"] <= 600
    assert metrics["ends_at"][-6] in "+-"
    assert metrics["clipped_share"] is None
    assert (status["phase"], status["hints"], status["gpus"]) == ("training", [], 0)
    assert (status["sweep"], status["tags"], status["note"]) == (None, [], None)
    table = world.prl("status").out.splitlines()
    assert table[0].split() == (
        "RUN NAME BACKEND JOB STATE STEP RESTARTS REASON REWARD S/IT LEFT END HINTS".split()
    )
    assert len(table) == 2
    assert table[1].startswith(f"{run.name}  fake  local")
    assert world.prl("cancel", run).code == 0


def test_before_the_first_step(world: World, eventually: Eventually) -> None:
    run = world.submit("echo '[INFO:swift] Loading'; sleep 60")
    phase = "loading the model and the data"
    eventually(lambda: world.prl("status", "--json").json["runs"][0]["phase"] == phase)
    (status,) = world.prl("status", "--json").json["runs"]
    assert status["metrics"] is None
    assert status["phase_since"] >= status["started_at"]
    assert any(f"    {phase} for " in line for line in lines_of(world, "status"))
    assert world.prl("cancel", run).code == 0


def test_a_hint_is_below_its_run(world: World, eventually: Eventually) -> None:
    """It names the range, and changes no exit code."""
    (world.root / "steps").write_text(FLAT)
    run = world.submit(TRAIN)
    eventually(lambda: " 20/100" in world.prl("status").out)
    shown = " ".join(" ".join(lines_of(world, "status")).split())
    assert "hint: reward_std is 0 in the last 10 logged steps" in shown
    assert "healthy: above 0" in shown
    assert world.prl("status").out.splitlines()[1].endswith("no_reward_spread")
    (status,) = world.prl("status", "--json").json["runs"]
    assert [hint["name"] for hint in status["hints"]] == ["no_reward_spread"]
    page = " ".join(" ".join(lines_of(world, "status", run.name)).split())
    assert "axolotl's page" in page
    assert "read some completions" in page
    assert world.prl("cancel", run).code == 0


def test_the_page_of_a_run_that_has_ended(world: World) -> None:
    """In a pipe the table stands above it, where scripts look for it."""
    world.output.mkdir()
    shutil.copytree(SWIFT_46, world.output / "v0-20261130-142859")
    assert world.prl("status").out == ""
    table, _, page = world.prl("status", "v0").out.partition("\n\n")
    assert table.splitlines()[1].split()[:2] == ["v0-20261130-142859", "mr-cpu"]
    assert page.startswith("v0-20261130-142859  mr-cpu  SUCCEEDED\n")
    for words in ("step        12/12  ████████████████████ 100%", "PrlFormat", "PrlAccuracy"):
        assert words in page
    assert "  attempt 1   2026-11-30 14:29 to " in page
    assert "CANCELLED, on vm, cancelled by root" in page
    assert " left" not in page
    assert max(map(len, lines_of(world, "status", "v0"))) <= 80


def test_the_page_of_a_run_that_failed(world: World) -> None:
    """It ends with the last lines of the rank that failed first, before torchrun's report, and their place."""
    report = (
        "echo 'E1130 14:29:19.581000 25101 torch/distributed/elastic/multiprocessing/api.py:1002] failed';"
        "echo 'Root Cause (first observed failure):'; echo '[0]:';"
        "echo '  time      : 2026-11-30_14:29:19'; echo '  host      : vm';"
        "echo '  rank      : 3 (local_rank: 3)'"
    )
    trace = "echo '[rank3]: Traceback'; printf '[rank3]: \\e[31mValueError: no such thing\\n'; echo '[rank1]: other'"
    run, _ = world.run_to_end(f"step 1 9; {trace}; {report}; exit 1")
    page = world.prl("status", run.name).out
    assert page.count("[rank3]: ") == 2
    assert "[rank1]" not in page.partition("the log of node 0, rank 3, which failed first:")[2]
    assert "\x1b" not in page
    assert f"prl-submit logs {run.name}\n" in page
    assert f"{run}/logs/node0.log" in page


def test_watch_keeps_what_has_ended(world: World) -> None:
    """The screen is drawn again and again; at the end the whole table stays, and the exit code is the result."""
    world.prl(world.spec(), FAKE="step 1 9; sleep 2; echo 'ValueError: no such thing'; exit 1")
    terminal = on_terminal(world, "status", "--watch")
    assert terminal.finish() == 1
    assert any("RUNNING" in line for frame in terminal.screen.frames for line in frame)
    last = [line.rstrip() for line in terminal.screen.usual if line.strip()]
    assert re.match(r"v0 +fake +FAILED +1/9 ", last[1])
    assert "    torchrun exited with 1: ValueError: no such thing" in last
    assert terminal.screen.other is None
    assert terminal.screen.written.count("\x1b[?25h") == 1


def test_watch_on_a_small_terminal(world: World, eventually: Eventually) -> None:
    """Where not all runs fit, running ones are shown; a new size is used at once; Ctrl-C leaves the table."""
    ended = world.run_to_end()[0]
    for number in range(10, 22):
        copy = world.output / f"v{number}-20261130-142859"
        shutil.copytree(ended, copy)
        record = json.loads((copy / "run.json").read_text())
        record["directory"] = {"path": str(copy), "inode": copy.stat().st_ino}
        (copy / "run.json").write_text(json.dumps(record))
    running = world.submit('step 3 9; touch "$run/ready"; sleep 60')
    eventually(lambda: (running / "ready").exists())
    names = [f"v{number}" for number in range(10, 22)]
    terminal = on_terminal(world, "status", "--watch", *names, "latest", rows=8)
    frames = terminal.screen.frames
    terminal.until(lambda: frames)
    assert len(frames[-1]) == 8
    assert frames[-1][-1] == "… 7 more: 7 SUCCEEDED"
    assert frames[-1][-2].startswith("v22 ")
    terminal.resize(60, 30)
    terminal.until(lambda: len(frames[-1]) > 14)
    assert all(len(line) <= 60 for line in frames[-1])
    terminal.type(b"\x03")
    assert terminal.finish() == 130
    assert sum(line.startswith("v") for line in terminal.screen.usual) == 13
    assert world.prl("cancel", running).code == 0


def test_watch_finds_runs_that_begin_later(world: World, eventually: Eventually) -> None:
    first = world.submit('until [[ -e "$run/go" ]]; do sleep 0.1; done; step 1 1')
    terminal = on_terminal(world, "status", "--watch")
    terminal.until(lambda: terminal.screen.frames)
    second = world.submit('until [[ -e "$run/go" ]]; do sleep 0.1; done; step 1 1')
    terminal.until(lambda: any(line.startswith("v1 ") for line in terminal.screen.frames[-1]))
    terminal.type(b"\x1a")  # Ctrl-Z gives the usual screen back
    terminal.until(lambda: _is_stopped(terminal.process.pid) and terminal.screen.other is None)
    drawn = len(terminal.screen.frames)
    terminal.process.send_signal(signal.SIGCONT)
    terminal.until(lambda: len(terminal.screen.frames) > drawn)
    for run in (first, second):
        (run / "go").touch()
    assert terminal.finish() == 0
    assert sum(" SUCCEEDED " in line for line in terminal.screen.usual) == 2


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
