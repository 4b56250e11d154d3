"""The log of a step in one line, the phase of a training, and its overview."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from prl_submit.results.metrics_reader import read_metrics, read_recent_metrics
from prl_submit.results.overview import overview
from prl_submit.results.overview_text import bar, end_date
from prl_submit.results.phase import phase
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import RunSettings
from prl_submit.results.step_lines import LineParser
from prl_submit.results.step_words import ShortSteps, step_words
from prl_submit.results.time_words import time_left
from tests.support.swift_logs import SWIFT_33, SWIFT_46, evaluation, old_step, step, write_run

LOGS = {run.name: (run / "logs" / "node0.log").read_bytes() for run in (SWIFT_33, SWIFT_46)}


def test_a_step_in_words() -> None:
    parser = LineParser()
    new = step(
        5, 60, reward="0.01512", reward_std=0.001, kl="0.00123", completions__mean_length=32.0
    )
    assert step_words(new, parser) == (
        "step 5/60  reward 0.0151 ±0.001  kl 0.00123  len 32  10 s/it  9.2 min left"
    )
    assert step_words(old_step(5, 60), parser) == "step 5/60  loss 0.1  10 s/it  9.2 min left"
    assert step_words(evaluation(20, 60, reward=0.5), parser) == (
        "step 20/60  evaluation  reward 0.5  30 s"
    )
    assert step_words({"train_runtime": 5, "global_step/max_steps": "5/5"}, parser) is None
    assert step_words({"a": 1}, parser) is None


@pytest.mark.parametrize("name", LOGS)
def test_the_printed_lines_of_real_runs(name: str) -> None:
    """All steps become short lines; every other byte stays, and the size of the pieces does not matter."""
    log = LOGS[name]
    whole = ShortSteps()(log)
    steps = re.findall(rb"step (\d+)/\d+  (?:reward|loss) [^\n]* left\n", whole)
    printed = re.findall(rb"\{'loss'.*?global_step/max_steps': '(\d+)/", log)
    assert steps == printed
    assert len(re.findall(rb"step \d+/\d+  evaluation  reward ", whole)) == 3
    assert b"{'loss'" not in whole
    assert b"{'eval_loss'" not in whole
    assert whole.count(b"Train: ") == log.count(b"Train: ")
    for size in (1, 7, 1000):
        short = ShortSteps()
        pieces = [short(log[at : at + size]) for at in range(0, len(log), size)]
        assert b"".join(pieces) == whole
        assert not short.is_holding


def test_other_bytes_are_not_delayed() -> None:
    short = ShortSteps()
    assert short(b"Train:   8%|x| 1/12") == b"Train:   8%|x| 1/12"
    assert short(b"\r  \r{'loss': '0.1'") == b"\r  \r"
    assert short(b", 'global_step/max_steps': '1/2'}\nx") == b"step 1/2  loss 0.1\nx"
    assert short(b"\n{") == b"\n"
    assert short.is_holding
    assert short(b"'loss\n") == b"{'loss\n"
    named = b"[master-0] {'loss': 0.5, 'global_step/max_steps': '1/2'}\n"
    assert short(named) == b"[master-0] step 1/2  loss 0.5\n"
    assert short(named.replace(b"] ", b"]:")) == b"[master-0]:step 1/2  loss 0.5\n"  # of PET_TEE
    for other in (b"{'a': 1}\n", b"{'loss': os.getcwd()}\n", b"{'" + b"x" * 100_000 + b"'}\n"):
        assert short(other) == other


#: A mark in the log, and the phase when the log ends just behind it.
MARKS = [
    (b"restarts 0\n", "starting"),
    (b"torchrun, 2 processes\n", "starting the processes"),
    (b"args.remove_unused_columns: False", "loading the model and the data"),
    (b"The logging file will be saved in:", "preparing the first step"),
    (b"0/", "first generation"),
]


@pytest.mark.parametrize("name", LOGS)
def test_phases_of_real_runs(name: str) -> None:
    log = LOGS[name]
    place = 0
    for mark, expected in MARKS:
        place = log.index(b"Train: ") + 60 if mark == b"0/" else log.index(mark, place) + len(mark)
        assert phase(log[:place], has_step=False) == expected
    step_end = log.index(b"{'eval_loss'") - 3
    assert phase(log[: log.index(b"Val: ") + 60], has_step=True) == "evaluating"
    assert phase(log[:step_end], has_step=True) == "evaluating"
    saving = log.index(b"Saving model checkpoint to ") + 40
    assert phase(log[:saving], has_step=True) == "saving a checkpoint"
    assert phase(log[-3000:], has_step=True) in ("training", "saving a checkpoint", "evaluating")
    assert phase(b"", has_step=False) == "starting"


def test_the_phase_of_a_second_attempt() -> None:
    log = LOGS["4.6.0"]
    again = log.index(b"restarts 1\n") + len(b"restarts 1\n")
    assert phase(log[:again], has_step=True) == "starting"


def test_an_overview(tmp_path: Path) -> None:
    lines = [step(n, 100, reward=n / 100, kl=0.1, **{"memory(GiB)": 70.5}) for n in range(1, 61)]
    metrics = read_recent_metrics(write_run(tmp_path / "run", lines))
    found = overview(metrics, RunSettings({}, {}, processes=4), 1000.0, 1005.0, is_running=True)
    assert (found.step, found.max_steps, found.processes) == (60, 100, 4)
    assert found.reward == pytest.approx(0.555)
    assert len(found.rewards) == 40
    assert (found.trend, found.kl, found.peak_memory_gib) == ("rising", 0.1, 70.5)
    assert (found.seconds_per_step, found.seconds_left, found.ends_at) == (10.0, 395.0, 1400.0)
    assert (found.silence, found.is_rough) == (None, False)
    late = overview(metrics, RunSettings({}, {}), 1000.0, 2000.0, is_running=True)
    assert late.silence == "no step for 17 minutes; one took 10 s before"
    ended = overview(metrics, RunSettings({}, {}), 1000.0, 9e9, is_running=False)
    assert (ended.seconds_left, ended.ends_at, ended.silence) == (None, None, None)
    nothing = overview(RunMetrics(), RunSettings({}, {}), None, 0.0, is_running=True)
    assert (nothing.step, nothing.reward, nothing.trend) == (None, None, "")


def test_an_overview_of_a_real_run() -> None:
    """From the last lines the same as from the whole file, where all lines are in the last 32 kB."""
    few, all_ = (
        overview(read(SWIFT_46), RunSettings({}, {}), 0.0, 0.0, is_running=True)
        for read in (read_recent_metrics, read_metrics)
    )
    assert few.rewards == all_.rewards
    assert few.reward == all_.reward


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "1.5 min"),
        (720, "12 min"),
        (9000, "2.5 h"),
        (3_061_299, "35 days"),
    ],
)
def test_the_time_left_in_few_characters(seconds: float, words: str) -> None:
    assert time_left(seconds) == words


#: Monday 2026-11-30, 12:00 in the local time zone.
NOON = datetime(2026, 11, 30, 12).timestamp()
DAY = 86_400.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "12:00"),
        (3 * 3600, "15:00"),
        (12 * 3600, "tomorrow 00:00"),
        (2 * DAY, "Wed 12:00"),
        (6 * DAY, "Sun 12:00"),
        (7 * DAY, "2026-12-07"),
        (35 * DAY, "2027-01-04"),
        (1e15, "in more than 1000 years"),
    ],
)
def test_the_date_of_the_end(seconds: float, words: str) -> None:
    assert end_date(NOON + seconds, NOON) == words


def test_bars() -> None:
    assert [bar(share, 4) for share in (0, 0.24, 0.25, 0.99, 1)] == [
        "░░░░", "░░░░", "█░░░", "███░", "████",
    ]  # fmt: skip
    assert bar(0.5, 4, ascii_only=True) == "##.."
