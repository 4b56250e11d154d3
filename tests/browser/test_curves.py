"""The curves of a report: zoom, axis, smoothing, runs, and that no peak and no step is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Opened
from tests.support.report_runs import make_run, write_page
from tests.support.swift_logs import SWIFT_33, SWIFT_46, step, write_run

pytestmark = pytest.mark.browser
Open = Callable[..., Opened]


def drag(report: Opened, title: str, begin: float, end: float) -> None:
    """Drag over a part of a chart, from one share of its width to another."""
    box = report.area(title).locator(".u-over").bounding_box()
    x, y = box["x"], box["y"] + box["height"] / 2
    report.page.mouse.move(x + begin * box["width"], y)
    report.page.mouse.down()
    report.page.mouse.move(x + (begin + end) / 2 * box["width"], y, steps=3)
    report.page.mouse.move(x + end * box["width"], y, steps=3)
    report.page.mouse.up()


def test_the_logged_numbers_are_drawn(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    first, second = report.values("Reward", 1), report.values("Reward", 2)
    assert list(first) == list(range(1, 21))
    assert list(first.values()) == pytest.approx([0.01 * n for n in range(1, 21)], rel=1e-6)
    assert list(second.values()) == pytest.approx([0.02 * n for n in range(1, 41)], rel=1e-6)
    assert report.axis("Reward") == [1, 40]


def test_dragging_zooms_all_charts_and_a_double_click_shows_everything(
    opened: Open, two_runs: Path
) -> None:
    report = opened(two_runs)
    report.plot("Reward", "1")
    drag(report, "Reward", 0.25, 0.5)
    low, high = report.axis("Reward")
    assert low == pytest.approx(1 + 39 * 0.25, abs=0.5)
    assert high == pytest.approx(1 + 39 * 0.5, abs=0.5)
    assert report.axis("KL") == [low, high]
    ys = report.plot("Reward", "[plot.scales.y.min, plot.scales.y.max]")
    assert ys[1] < 0.5  # the whole curve goes up to 0.8
    assert float(report.page.locator("#zoom-from").input_value()) == pytest.approx(low, rel=1e-4)
    report.area("Reward").locator(".u-over").dblclick()
    assert report.axis("Reward") == report.axis("KL") == [1, 40]
    assert report.page.locator("#reset-zoom").is_disabled()


def test_zoom_by_fields_and_by_keys(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    report.page.locator("#zoom-from").fill("10")
    report.page.locator("#zoom-to").fill("30")
    report.page.locator("#zoom-to").press("Enter")
    assert report.axis("Reward") == [10, 30]
    report.page.locator("#zoom-to").fill("")
    report.page.locator("#zoom-to").press("Enter")
    assert report.axis("Reward") == [10, 40]
    report.page.locator("#zoom-to").fill("30")
    report.page.locator("#zoom-to").press("Tab")
    area = report.area("KL")
    area.focus()
    area.press("+")
    assert report.axis("KL") == [15, 25]
    area.press("-")
    assert report.axis("KL") == [10, 30]
    area.press("0")
    assert report.axis("KL") == report.axis("Reward") == [1, 40]


def test_the_keys_move_the_cursor_and_the_values_are_said(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    area = report.area("Reward")
    area.scroll_into_view_if_needed()
    readout = area.locator("xpath=../*[@class='readout']")
    report.plot("Reward", "1")
    assert readout.inner_text().split() == "v1 0.2 at step 20 v2 0.8 at step 40".split()
    area.focus()
    for _ in range(3):
        area.press("ArrowRight")
    assert readout.inner_text().split() == "v1 0.03 at step 3 v2 0.06 at step 3".split()
    assert readout.get_attribute("aria-live") == "polite"
    area.press("ArrowLeft")
    assert "at step 2" in readout.inner_text()
    label = area.get_attribute("aria-label")
    assert label.startswith("Reward by step. v1: last 0.2, from 0.01 to 0.2. v2: last 0.8")


def test_along_samples_and_hours(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    report.page.get_by_label("samples").check()
    assert list(report.values("Reward"))[:3] == [4, 8, 12]
    assert report.axis("Reward") == [4, 160]
    report.page.get_by_label("hours of training").check()
    assert report.axis("KL")[1] == pytest.approx(40 * 10 / 3600, rel=1e-3)
    assert "x=hours" in report.page.evaluate(
        "async () => { await new Promise((go) => setTimeout(go, 300)); return location.hash }"
    )


def test_smoothing_is_the_corrected_exponential_mean(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    report.page.locator("#smoothing").fill("0.6")
    raw, smooth = report.values("Reward", 1), report.values("Reward", 2)
    assert list(raw.values()) == pytest.approx([0.01 * n for n in range(1, 21)], rel=1e-6)
    weights = [0.6**n for n in range(20)]
    expected = [
        sum(weight * 0.01 * (n - back) for back, weight in enumerate(weights[:n]))
        / sum(weights[:n])
        for n in range(1, 21)
    ]
    assert list(smooth.values()) == pytest.approx(expected, rel=1e-5)
    assert report.page.locator("#smoothing + output").inner_text() == "0.60"


def test_the_legend_switches_runs_off(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    report.page.get_by_role("button", name="v2", exact=True).click()
    assert report.axis("Reward") == [1, 20]
    assert report.plot("Reward", "plot.series.length") == 2
    button = report.page.get_by_role("button", name="v2", exact=True)
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert report.axis("Reward") == [1, 40]


def test_runs_differ_in_colour_and_in_style(opened: Open, tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"v{n}", 3) for n in range(12)]
    report = opened(write_page(tmp_path / "report.html", runs, most_completions=0))
    styles = report.plot("Reward", "plot.series.slice(1).map((one) => one._stroke + one.dash)")
    assert len(set(styles)) == 12
    assert len(set(report.plot("Reward", "plot.series.slice(1, 7).map((one) => one._stroke)"))) == 6


def test_no_peak_is_lost_and_zoom_shows_each_step(opened: Open, tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1", 30_000, peak=12_345, slope=1e-5)
    report = opened(write_page(tmp_path / "report.html", [run], most_completions=0))
    whole = report.values("Reward")
    assert len(whole) < 4000
    assert whole[12_345] == 5.0
    assert (min(whole), max(whole)) == (1, 30_000)
    report.page.locator("#zoom-from").fill("12300")
    report.page.locator("#zoom-to").fill("12400")
    report.page.locator("#zoom-to").press("Enter")
    zoomed = report.values("Reward")
    assert list(zoomed) == list(range(12_299, 12_401))


def test_restarts_and_evaluations_are_drawn(opened: Open, tmp_path: Path) -> None:
    report = opened(write_page(tmp_path / "report.html", [SWIFT_46, SWIFT_33]))
    label = report.area("Reward").get_attribute("aria-label")
    report.plot("Reward", "1")
    label = report.area("Reward").get_attribute("aria-label")
    assert "4.6.0: last 0.0478, from 0.021 to 0.0571, restarted at step 5" in label
    assert "3.3.0" in label
    assert list(report.values("Reward", 2)) == [4, 8, 12]  # the evaluations of 4.6.0
    colours = """(() => {
      const x = Math.round(plot.valToPos(5, "x", true));
      const { top, height } = plot.bbox;
      const pixels = plot.ctx.getImageData(x - 1, top + 10, 3, height - 20).data;
      let coloured = 0;
      for (let i = 0; i < pixels.length; i += 4) coloured += Math.abs(pixels[i] - pixels[i + 2]) > 60;
      return coloured;
    })()"""
    assert report.plot("Reward", colours) > 20


def test_metrics_that_are_missing_at_some_steps(opened: Open, tmp_path: Path) -> None:
    lines = [step(n, 9, reward=0.1 * n) if n % 3 == 0 else step(n, 9) for n in range(1, 10)]
    run = write_run(tmp_path / "v1", lines)
    report = opened(write_page(tmp_path / "report.html", [run]))
    assert list(report.values("Reward")) == [3, 6, 9]
    assert report.page.get_by_label("samples").is_disabled()  # there is no args.json


def test_ticks_have_the_digits_that_tell_them_apart(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    ticks = {
        (7.5, 2.5): "7.5",
        (20000, 5000): "20,000",
        (0.3, 0.1): "0.3",
        (0.075, 0.025): "0.075",
        (7.5e-6, 2.5e-6): "7.5e-6",
        (1e-5, 2e-6): "1.0e-5",
        (0, 2e-6): "0",
        (-3e-4, 1e-4): "-3e-4",
    }
    told = report.page.evaluate(
        "(pairs) => pairs.map(([value, step]) => tickText(value, step))", [*ticks]
    )
    assert told == list(ticks.values())
    labels = report.plot("Reward", "plot.axes[0]._values")
    assert labels == [str(int(label)) for label in labels]
