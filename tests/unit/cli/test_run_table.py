"""The table of runs at several widths, and the part of it that a small terminal shows."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len

from prl_submit.cli.views.live_table import frame
from prl_submit.cli.views.run_columns import COLUMNS, TableLook, moment, setting_text
from prl_submit.cli.views.run_table import LIST, STATUS, joined, lay_out, lay_out_chosen
from prl_submit.results.run_status import RunView, TrainingReader
from prl_submit.runs.record import SweptRun
from prl_submit.runs.states import State, status_of
from tests.support.records import make_run
from tests.support.swift_logs import step, write_run

#: Monday 2026-11-30, 12:00 in the local time zone.
NOON = datetime(2026, 11, 30, 12).timestamp()
LOOK = TableLook(now=NOON)


def view_of(folder: Path, number: int, state: State, steps: int = 0, **fields: Any) -> RunView:
    """A run that has logged so many of 1200 steps; the last one 21 s before NOON."""
    path = folder / f"v{number}-20261130-120000"
    run = make_run(path, **fields)
    metrics = {"kl": 0.012, "completions__mean_length": 311.0, "memory(GiB)": 77.94}
    if steps:
        first = max(1, steps - 30)
        write_run(
            path, [step(n, 1200, reward=n / 1000, **metrics) for n in range(first, steps + 1)]
        )
    status = msgspec.structs.replace(
        status_of(run, state), last_step_at=iso(NOON - 21) if steps else None
    )
    return TrainingReader(run).look(run, status, NOON)


def iso(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


RUNNING = State(state="RUNNING", started_at=iso(NOON - 7500), reason="on n0")
FAILED = State(
    state="FAILED",
    reason="torchrun exited with 1: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    started_at=iso(NOON - 90_000),
    ended_at=iso(NOON - 86_400),
)
QUEUED = State(state="QUEUED", reason="waiting for 4 GPUs (Priority)")


@pytest.fixture
def views(tmp_path: Path) -> list[RunView]:
    """A run that has failed, one that trains, one that waits."""
    queued_at = iso(NOON - 720)
    return [
        view_of(tmp_path, 5, FAILED, 90, name="mr-4gpu"),
        view_of(tmp_path, 26, RUNNING, 412, name="mr-4gpu"),
        view_of(tmp_path, 27, QUEUED, name="mr-2x8gpu", submitted_at=queued_at, job_id="4711"),
    ]


def lines(views: list[RunView], width: int, order: list[str] = STATUS, **look: Any) -> list[str]:
    return [line.text for line in lay_out(views, TableLook(now=NOON, **look), width, order).lines()]


@pytest.mark.parametrize(
    ("order", "width", "name"),
    [
        (LIST, 80, "scaling-of-mr-12"),  # there is room
        (STATUS, 80, "scalin…mr-12"),  # it would cost a column
        (STATUS, 140, "scaling-of-mr-12"),
    ],
)
def test_names_are_cut_only_for_columns(
    tmp_path: Path, order: list[str], width: int, name: str
) -> None:
    run = view_of(tmp_path, 26, RUNNING, 412, name="scaling-of-mr-12")
    header, row, *_ = lines([run], width, order)
    assert row.split()[1] == name
    short = view_of(tmp_path / "short", 26, RUNNING, 412, name="scaling-12")
    lost = set(lines([short], width, order)[0].split()) - set(header.split())
    assert lost <= {"AGE", "GPUS", "MEMORY", "JOB"}


def test_an_attempt_that_begins_does_not_end_now(tmp_path: Path) -> None:
    """`resume --set swift.max_steps` trains longer than the log of the old attempt says."""
    view = view_of(tmp_path, 26, RUNNING, 1200)
    log = view.run.path / "logs/node0.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("prl-submit: 2026-11-30T12:00:00+00:00 on n0, node 0 of 1, restarts 1\n")
    status = msgspec.structs.replace(
        status_of(view.run, RUNNING), last_step_at=iso(NOON - 7200), restarts=1
    )
    again = TrainingReader(view.run).look(view.run, status, NOON)
    assert again.status.phase == "starting"
    assert again.overview is not None
    assert (again.overview.seconds_left, again.overview.ends_at) == (None, None)


def test_80_columns(views: list[RunView]) -> None:
    assert lines(views, 80) == [
        "RUN  NAME       STATE    STEP      DONE       REWARD  TREND     LEFT   END",
        "v5   mr-4gpu    FAILED   90/1200   ░░░░░ 8%   0.0855  ▁▂▃▄▅▆▇█  -      Sun 12:00",
        "    10 s/it  reward rising  kl 0.012  len 311  took 1h00m  77.9 GiB",
        "    torchrun exited with 1: torch.OutOfMemoryError: CUDA out of memory. Tried to",
        "    allocate 2 GiB",
        "v26  mr-4gpu    RUNNING  412/1200  █░░░░ 34%  0.408   ▁▂▃▄▅▆▇█  2.2 h  14:11",
        "    10 s/it  reward rising  kl 0.012  len 311  last step 21s ago  running 2h05m",
        "    77.9 GiB  local 77  on n0",
        "v27  mr-2x8gpu  QUEUED   -                    -                 -      -",
        "    queued for 12m  local 4711",
        "    waiting for 4 GPUs (Priority)",
    ]


def test_wider_terminals_have_more_columns(views: list[RunView]) -> None:
    header, _, _, _, row, below, *_ = lines(views, 120)
    assert header.split()[-5:] == ["END", "AGE", "ELAPSED", "MEMORY", "JOB"]
    assert row.split()[-9:] == "10 2.2 h 14:11 21s 2h05m 77.9 GiB 77".split()
    assert below == "    reward rising  kl 0.012  len 311  on n0"


def test_narrow_terminals_lose_nothing_but_the_bar(views: list[RunView]) -> None:
    narrow = lines(views, 40)
    assert narrow[0] == "RUN  NAME       STATE    STEP"
    shown = " ".join(" ".join(narrow).split())
    for words in ("34%", "2.2 h left", "reward 0.408 ▁▂▃▄▅▆▇█ rising", "77.9 GiB", "(Priority)"):
        assert words in shown


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("order", [STATUS, LIST])
@pytest.mark.parametrize(
    "name", ["mr", "情感分类强化学习训练" * 3, "\x1b[31mred\x1b[2J" + "x" * 60, "e\u0301" * 30]
)
def test_no_line_is_longer_than_the_terminal(
    tmp_path: Path, name: str, order: list[str], width: int
) -> None:
    """Also with Chinese names, and with names that have sequences of a terminal."""
    found = [
        view_of(tmp_path, 26, RUNNING, 412, name=name),
        view_of(tmp_path, 27, FAILED, name=name),
    ]
    for line in lines(found, width, order, differs={found[0].status.path: "learning_rate 1e-5"}):
        assert cell_len(line) <= max(width, 26)
        assert line.isprintable()


def test_an_end_that_is_known_roughly(tmp_path: Path) -> None:
    """Only the first step is timed, which has the warm-up."""
    row = lines([view_of(tmp_path, 5, RUNNING, 1)], 80)[1]
    assert re.search(r" ~15:\d\d ", row)
    assert "about 3.3 h left" in " ".join(lines([view_of(tmp_path, 5, RUNNING, 1)], 40))


def test_a_silent_training_says_so(tmp_path: Path) -> None:
    view = view_of(tmp_path, 5, RUNNING, 20)
    late = msgspec.structs.replace(view.status, last_step_at=iso(NOON - 3000))
    (tmp_path / "v5-20261130-120000" / "logs").mkdir()
    again = TrainingReader(view.run).look(view.run, late, NOON)
    assert any(line.startswith("    no step for 50 minutes") for line in lines([again], 80))


def test_a_run_of_a_sweep_shows_its_values(tmp_path: Path) -> None:
    values = {"swift.learning_rate": 1e-5, "resources.nproc_per_node": 2}
    sweep = SweptRun(name="lr", id="x", folder="lr-20261122-210000", index=1, values=values)
    below = lines([view_of(tmp_path, 5, RUNNING, sweep=sweep)], 80)[2]
    assert below.startswith("    learning_rate 1e-5, resources.nproc_per_node 2  ")


def test_ascii(views: list[RunView]) -> None:
    assert all(
        line.isascii() for width in (40, 80, 200) for line in lines(views, width, ascii_only=True)
    )


def test_two_runs_of_one_number_have_their_whole_names(views: list[RunView]) -> None:
    shown = lines(views, 120, twice=frozenset({26}))
    assert any(line.startswith("v26-20261130-120000  ") for line in shown)
    assert shown[1].startswith("v5 ")


def test_the_list(views: list[RunView]) -> None:
    """It has no lines on the course; differences have one if they fit in no column."""
    differs = {views[1].status.path: "learning_rate 1e-5"}
    assert lines(views, 80, LIST, differs=differs)[4:] == [
        "v26  mr-4gpu    RUNNING  412/1200  0.408   ▁▂▃▄▅▆▇█  14:11      2h05m",
        "    learning_rate 1e-5",
        "    on n0",
        "v27  mr-2x8gpu  QUEUED   -         -                 -          -",
        "    waiting for 4 GPUs (Priority)",
    ]
    assert lines(views, 120, LIST, differs=differs)[0].endswith("JOB   DIFFERS")


def test_chosen_columns_that_do_not_fit(views: list[RunView]) -> None:
    """They stand below the row, whole; where all fit, there are only rows."""
    columns = [COLUMNS[name] for name in ("run", "reason", "state", "note")]
    narrow = [line.text for line in lay_out_chosen(views, LOOK, 40, columns)]
    assert narrow == [
        "RUN  STATE    NOTE",
        "v5   FAILED   -",
        "    reason: torchrun exited with 1:",
        "    torch.OutOfMemoryError: CUDA out of",
        "    memory. Tried to allocate 2 GiB",
        "v26  RUNNING  -",
        "    reason: on n0",
        "v27  QUEUED   -",
        "    reason: waiting for 4 GPUs",
        "    (Priority)",
    ]
    wide = [line.text for line in lay_out_chosen(views, LOOK, 200, columns)]
    assert len(wide) == 4
    assert wide[0].split() == ["RUN", "REASON", "STATE", "NOTE"]


def test_parts_are_not_broken() -> None:
    assert joined(["a b", "c d", "eeee fffff"], 14) == ["    a b  c d", "    eeee fffff"]
    assert joined(["aaaa bbbb"], 9) == ["    aaaa", "    bbbb"]
    assert joined([], 80) == []


@pytest.mark.parametrize(
    ("days", "words"),
    [(0, "12:00"), (1, "Tue 12:00"), (-6, "Tue 12:00"), (7, "2026-12-07"), (-7, "2026-11-23")],
)
def test_moments(days: int, words: str) -> None:
    assert moment(NOON + days * 86_400, NOON) == words
    assert moment(None, NOON) == "-"
    assert moment(1e18, NOON) == "never"


def test_values_of_settings() -> None:
    assert setting_text("swift.learning_rate", 1e-5) == "1e-5"
    assert setting_text("swift.x", [0.3, True, "\x1b[2Ja"]) == "0.3,true,a"
    assert setting_text("swift.hub_token", "hf_secret") == "***"
    assert len(setting_text("swift.system", "word " * 100)) <= 60


def test_a_small_terminal_shows_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    states = [RUNNING, FAILED, FAILED, QUEUED, FAILED, RUNNING]
    many = [view_of(tmp_path, n, state) for n, state in enumerate(states)]
    shown = frame(many, 80, 6)
    assert [line.split("-")[0] for line in shown[1:5]] == [
        many[at].run.name.split("-")[0] for at in (0, 3, 4, 5)
    ]
    assert shown[5] == "… 2 more: 2 FAILED"
    assert len(frame(many, 80, 1)) == 1
    whole = frame(many, 80, 9)
    assert len(whole) <= 9
    assert not any("more" in line for line in whole)
    assert sum(line.startswith("    ") for line in whole) == 1  # of the newest run that runs
    assert (
        len(frame(many, 80, 60))
        == sum(len(block.lines()) for block in lay_out(many, LOOK, 80, STATUS).blocks) + 1
    )
