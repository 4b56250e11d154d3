"""Speed, the time left, and curves on one line."""

from __future__ import annotations

import shutil
from math import inf, nan
from pathlib import Path

import pytest

from prl_submit.results.metrics_reader import read_metrics
from prl_submit.results.run_metrics import RunMetrics
from prl_submit.results.run_settings import RunSettings, read_run_settings, samples_per_step
from prl_submit.results.sparkline import sparkline, trend
from prl_submit.results.time_words import in_words, short
from prl_submit.results.timing import remaining, throughput
from tests.support.swift_logs import REAL, SWIFT_33, SWIFT_46, evaluation, step, times, write_run

SETTINGS = RunSettings({}, {}, samples_per_step=16)


def test_throughput(tmp_path: Path) -> None:
    """Twenty steps of 10 s, of which the first has 100 s of warm-up, and an evaluation."""
    lines = []
    for n in range(1, 21):
        elapsed = 100 + n * 10 + (30 if n > 10 else 0)
        more = {"elapsed_time": times(elapsed), "train_speed(s/it)": elapsed / n}
        lines.append(step(n, completions__mean_length=250.0) | more)
    lines.insert(10, evaluation(10) | {"elapsed_time": times(230), "train_speed(s/it)": 23.0})
    found = throughput(read_metrics(write_run(tmp_path / "run", lines)), SETTINGS)
    assert found is not None
    assert found.steps == 19
    assert found.seconds_per_step == pytest.approx(10.0)
    assert (found.median, found.fast, found.slow) == pytest.approx((10.0, 10.0, 10.0))
    assert found.samples_per_second == pytest.approx(1.6)
    assert found.tokens_per_second == pytest.approx(400.0)
    assert "the first logged step of each attempt" in found.how


def test_throughput_of_real_runs() -> None:
    """Against an independent calculation from the lines of the file."""
    new = throughput(read_metrics(SWIFT_46), read_run_settings(SWIFT_46))
    assert new is not None
    first = (4 * 0.288424 - 0.385783) + (8 * 0.48778 - 4 * 0.685696)
    second = (4 * 0.174259 - 0.188016) + (8 * 0.297464 - 4 * 0.422574)
    assert new.steps == 3 + 4 + 3 + 4
    assert new.seconds_per_step == pytest.approx((first + second) / 14, abs=1e-5)
    assert new.samples_per_second == pytest.approx(4 * 14 / (first + second), rel=1e-4)
    old = throughput(read_metrics(SWIFT_33), read_run_settings(SWIFT_33))
    assert old is not None
    elapsed = [
        n / speed for n, speed in ((1, 1.333691), (3, 1.400111), (6, 1.148149), (7, 1.033163))
    ]
    seconds = (
        elapsed[1] - elapsed[0] + elapsed[2] - elapsed[1] - 1.267 + elapsed[3] - elapsed[2] - 1.005
    )
    assert old.samples_per_second == pytest.approx(16 * 6 / seconds, rel=1e-4)
    assert throughput(RunMetrics(), SETTINGS) is None


def test_without_settings(tmp_path: Path) -> None:
    metrics = read_metrics(write_run(tmp_path / "run", [step(1), step(2)]))
    found = throughput(metrics, RunSettings({}, {}))
    assert found is not None
    assert (found.samples_per_second, found.tokens_per_second) == (None, None)
    assert found.seconds_per_step == 10.0


def test_the_time_left(tmp_path: Path) -> None:
    metrics = read_metrics(write_run(tmp_path / "run", [step(n) for n in range(1, 21)]))
    found = remaining(metrics, SETTINGS, logged_at=1000.0, now=1000.0)
    assert found is not None
    assert (found.steps, found.seconds, found.ends_at) == (80, 800.0, 1800.0)
    assert not found.is_rough
    later = remaining(metrics, SETTINGS, logged_at=1000.0, now=1004.0)
    assert later is not None
    assert (later.seconds, later.ends_at) == (796.0, 1800.0)
    hanging = remaining(metrics, SETTINGS, logged_at=1000.0, now=2000.0)
    assert hanging is not None
    assert (hanging.seconds, hanging.ends_at) == (790.0, 2790.0)
    ahead = remaining(metrics, SETTINGS, logged_at=2000.0, now=1000.0)  # a file server's clock
    assert ahead is not None
    assert ahead.seconds == 800.0


def test_the_time_left_after_the_first_step(tmp_path: Path) -> None:
    metrics = read_metrics(write_run(tmp_path / "run", [step(1)]))
    found = remaining(metrics, SETTINGS, 0.0, 0.0)
    assert found is not None
    assert (found.seconds, found.is_rough) == (990.0, True)
    assert remaining(RunMetrics(), SETTINGS, 0.0, 0.0) is None
    ended = read_metrics(write_run(tmp_path / "run", [step(n, 5) for n in range(1, 6)]))
    over = remaining(ended, SETTINGS, 0.0, 100.0)
    assert over is not None
    assert over.seconds == 0.0


@pytest.mark.parametrize(
    ("stated", "last", "count"),
    [(25, 30, 3), ("25.0", 50, 2), (0.25, 30, 3), (None, 30, 3), (30, 31, 3)],
)
def test_evaluations_to_come(tmp_path: Path, stated: object, last: int, count: int) -> None:
    """Each took 30 s; `eval_steps` may be a number, a text, a share of all steps, or unknown."""
    lines = [step(n) for n in range(1, last + 1)]
    lines.insert(25, evaluation(25))
    if last == 50:
        lines.append(evaluation(50))
    settings = RunSettings({} if stated is None else {"eval_steps": stated}, {})
    found = remaining(read_metrics(write_run(tmp_path / "run", lines)), settings, 0.0, 0.0)
    assert found is not None
    assert found.seconds == pytest.approx((100 - last) * 10 + count * 30)


def test_an_evaluation_that_goes_on(tmp_path: Path) -> None:
    """Step 50 is logged, and its evaluation is not: it is still to come, as are two others."""
    lines = [step(n) for n in range(1, 51)]
    lines.insert(25, evaluation(25))
    metrics = read_metrics(write_run(tmp_path / "run", lines))
    found = remaining(metrics, RunSettings({"eval_steps": 25}, {}), 0.0, 0.0)
    assert found is not None
    assert found.seconds == pytest.approx(500 + 3 * 30)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (40, "40 seconds"),
        (89, "89 seconds"),
        (90, "1.5 minutes"),
        (9000, "2.5 hours"),
        (130_000, "1.5 days"),
        (84_620 * 36, "35 days"),
        (1e300, "more than 1000 years"),
        (inf, "more than 1000 years"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.163123, "0.163"),
        (35.26, "35.3"),
        (123456.7, "123,457"),
        (99.99, "100"),
        (1e-7, "1e-07"),
        (84_620, "84,620"),
        (-1234.5, "-1,234"),
        (1e20, "1e+20"),
        (inf, "inf"),
    ],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_samples_of_a_step() -> None:
    assert (
        samples_per_step({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}, 2)
        == 16
    )
    assert (
        samples_per_step({"per_device_train_batch_size": "2"}, 2) == 16
    )  # 3.3: about 16 rows a step
    assert samples_per_step({"per_device_train_batch_size": 64}, 1) == 64
    assert samples_per_step({}, 2) is None
    assert samples_per_step({"per_device_train_batch_size": 2}, None) is None


@pytest.mark.parametrize(("run", "samples"), [("3.3.0", 16), ("4.6.0", 4)])
def test_samples_of_a_step_from_the_plan(run: str, samples: int, tmp_path: Path) -> None:
    """Of a run whose args.json is not here the plan tells as much, with the default of its ms-swift."""
    assert read_run_settings(REAL / run).samples_per_step == samples
    shutil.copy(REAL / run / "plan.json", tmp_path)
    assert read_run_settings(tmp_path).samples_per_step == samples


def test_sparklines() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], ascii_only=True) == "_.-:=+*#"
    assert sparkline([5, 5, 5]) == "▄▄▄"
    assert sparkline([0, nan, 1]) == "▁ █"
    assert sparkline([nan, inf]) == sparkline([]) == ""
    assert sparkline(list(range(1000)), 10) == "▁▁▂▃▄▅▆▇██"
    assert len(sparkline(list(range(7)), 20)) == 7
    assert sparkline([-1.7e308, 1.7e308]) == "▁█"


def test_trends() -> None:
    assert trend([0.1, 0.1, 0.2, 0.2, 0.3, 0.3]) == "rising"
    assert trend([3, 3, 2, 2, 1, 1]) == "falling"
    assert trend([1, 2, 1, 2, 1, 2, 1, 2, 1]) == "flat"
    assert trend([1, 1, 1, 1, 1, 1]) == "flat"
    assert trend([1, 2, 3]) == ""


def test_equal_values_are_a_level_curve() -> None:
    """Their means differ in the last digit."""
    assert set(sparkline([0.1] * 412, 40)) == {"▄"}
    assert len(set(sparkline([0.1 + n * 1e-9 for n in range(412)], 40))) == 8
