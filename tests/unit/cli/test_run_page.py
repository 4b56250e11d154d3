"""The page of a run: of one with all there is, and of one whose files somebody else wrote."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from prl_submit.cli.views.run_columns import COLUMNS, TableLook
from prl_submit.cli.views.run_page import page
from prl_submit.cli.views.run_table import LIST, STATUS, lay_out
from prl_submit.results.run_status import RunView, TrainingReader
from prl_submit.runs.labels import Labels, write_labels
from prl_submit.runs.record import Predecessor, SweptRun
from prl_submit.runs.states import State, status_of
from tests.support.records import make_run
from tests.support.swift_logs import step, write_run

NOW = datetime(2026, 11, 30, 12).timestamp()
LOOK = TableLook(now=NOW)
EVIL = "\x1b[2J\x1b]0;title\x07<b>\u202e"


def iso(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="seconds")


def view_of(run: Any, state: State) -> RunView:
    return TrainingReader(run, whole=True).look(run, status_of(run, state), NOW)


def shown(view: RunView, width: int = 80) -> list[str]:
    return [line.text for line in page(view, LOOK, width)]


def test_a_page(tmp_path: Path) -> None:
    swept = SweptRun(
        name="lr", id="x", folder="lr-20261122-210000", index=3, values={"swift.beta": 0.1}
    )
    run = make_run(
        tmp_path / "v26-20261130-090000",
        submitted_at=iso(NOW - 7200),
        sweep=swept,
        after=[Predecessor(run="v25-20261130-080000")],
    )
    write_labels(run.path, Labels(None, "beta halved", ["keep", "best"]))
    metrics: dict[str, Any] = {
        "kl": 0.012,
        "rewards__A__mean": 0.25,
        "completions__mean_length": 311.0,
    }
    write_run(run.path, [step(n, 1200, reward=n / 1000, **metrics) for n in range(1, 413)])
    attempts = [
        {"started_at": iso(NOW - 7000), "restarts": 0, "node": "n0", "gpus": 4},
        {
            "started_at": iso(NOW - 7000),
            "ended_at": iso(NOW - 5200),
            "state": "TIMEOUT",
            "exit_code": 124,
        },
        {"started_at": iso(NOW - 3600), "restarts": 1, "node": "n1", "gpus": 4},
    ]
    lines = "".join(json.dumps(line) + "\n" for line in attempts)
    (run.path / "logs" / "attempts.jsonl").write_text(lines)
    plan = {
        "values": [{"key": "swift.model", "value": "Qwen/Qwen2.5-7B-Instruct"}],
        "git": {"commit": "1a2b3c4d5e6f7a8b9c", "dirty": True},
        "plan": {"spec_file": "jobs/lr.yaml"},
    }
    (run.path / "plan.json").write_text(json.dumps(plan))
    made_of = run.path / "made_of"
    made_of.mkdir()
    (made_of / "versions.json").write_text('{"packages": {"torch": "2.13.0", "ms-swift": "4.6.0"}}')
    lines_of = shown(view_of(run, State(state="RUNNING", reason="on n1")))
    text = "\n".join(lines_of)
    for words in (
        "v26-20261130-090000  mr  RUNNING\n    on n1\n",
        "  size        1 node, 4 GPUs\n",
        "  sweep       lr, run 3: swift.beta 0.1\n",
        "  after       v25-20261130-080000\n",
        "  git         1a2b3c4d5e6f, with changes that are not committed\n",
        "  versions    ms-swift 4.6.0, torch 2.13.0\n",
        "  model       Qwen/Qwen2.5-7B-Instruct\n",
        "  spec        jobs/lr.yaml\n",
        "  values      prl-submit explain\n",
        "  submitted   2026-11-30 10:00, 2h00m ago\n",
        "  attempt 1   2026-11-30 10:03 to 10:33, 30m, TIMEOUT\n",
        "  attempt 2   2026-11-30 11:00 until now, 1h00m, on n1\n",
        "  elapsed     1h30m\n",
        "  step        412/1200  ██████░░░░░░░░░░░░░░ 34%\n",
        "  speed       10 s/it, all 1,200 steps take 3.3 hours\n",
        "  reward      0.408   ▁",
        "  A\n",
        "  metrics     kl 0.012  loss 0.1\n",
        "  length      311 tokens\n",
        "  tags        keep, best\n",
        "  note        beta halved",
    ):
        assert words in text
    assert max(map(cell_len, lines_of)) <= 80


@pytest.mark.parametrize(
    "time", [EVIL, "", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
@pytest.mark.parametrize("width", [20, 80])
def test_files_of_somebody_else(tmp_path: Path, time: str, width: int) -> None:
    """No text in them steers the terminal, and no time in them ends the command."""
    run = make_run(tmp_path / "v26-20261130-090000", name=EVIL, job_id=EVIL)
    attempt = {"started_at": time, "ended_at": time, "state": EVIL, "reason": EVIL, "node": EVIL}
    (run.path / "logs").mkdir()
    (run.path / "logs" / "attempts.jsonl").write_text(json.dumps(attempt) + "\n")
    (run.path / "logs" / "node0.log").write_text(f"{EVIL}\n")
    values = [{"key": EVIL, "value": EVIL}, {"key": "swift.model", "value": [EVIL, {"a": EVIL}]}]
    plan = {
        "values": values,
        "git": {"commit": EVIL},
        "plan": {"spec_file": EVIL},
        "swift_version": EVIL,
    }
    (run.path / "plan.json").write_text(json.dumps(plan))
    lines = [
        step(n, 10**14, **{"rewards__" + EVIL + "__mean": 0.5, "reward": 1e308}) for n in range(9)
    ]
    write_run(run.path, lines)
    for state in ("RUNNING", "FAILED", "QUEUED"):
        said = State(state=state, reason=EVIL, started_at=time, ended_at=time, exit_code=10**9)
        view = view_of(run, said)
        differs = {view.status.path: "x"}
        look = TableLook(now=NOW, differs=differs)
        tables = [lay_out([view], look, width, order).lines() for order in (STATUS, LIST)]
        for line in [*page(view, look, width), *(line for lines in tables for line in lines)]:
            assert line.text.isprintable(), line
        for column in COLUMNS.values():
            assert column.text(view, look).isprintable()
            column.sort_key(view, look)
