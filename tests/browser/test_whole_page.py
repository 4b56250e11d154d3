"""The whole page: no fault, no request, accessible in both themes, by keyboard, on small screens and on paper."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Opened
from tests.support.report_runs import make_run, write_page
from tests.support.swift_logs import ONE_PROCESS, SWIFT_33, SWIFT_46

pytestmark = pytest.mark.browser
Open = Callable[..., Opened]


@pytest.fixture(scope="module")
def real_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three real trainings, with notes, hints, restarts and evaluations, and six completions."""
    path = tmp_path_factory.mktemp("real") / "report.html"
    return write_page(path, [SWIFT_46, SWIFT_33, ONE_PROCESS], most_completions=6)


def faults_by_axe(page: Any) -> list[str]:
    """The serious and critical faults that axe-core finds."""
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run(document)")["violations"]
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_fault_no_request_and_accessible(opened: Open, real_runs: Path, theme: str) -> None:
    report = opened(real_runs, theme=theme)
    report.plot("Reward", "1")
    assert faults_by_axe(report.page) == []
    assert report.said == []
    assert report.requests == [real_runs.as_uri()]
    assert report.page.evaluate("document.documentElement.dataset.theme") == theme


def test_a_request_would_be_refused(opened: Open, real_runs: Path) -> None:
    report = opened(real_runs)
    with report.page.expect_event("requestfailed") as event:
        report.page.evaluate(
            "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x'}))"
        )
    assert event.value.failure == "csp"  # the browser sent nothing
    assert report.page.evaluate("fetch('http://127.0.0.1:9/y').catch((error) => error.message)")
    assert sum("Content Security Policy" in text for text in report.said) >= 2


def test_the_theme_button_and_the_address(opened: Open, real_runs: Path) -> None:
    report = opened(real_runs)
    back = "getComputedStyle(document.body).backgroundColor"
    before, colour = report.page.evaluate(back), report.plot("Reward", "plot.series[1]._stroke")
    report.page.get_by_role("button", name="Dark theme").click()
    assert (
        report.page.get_by_role("button", name="Dark theme").get_attribute("aria-pressed") == "true"
    )
    assert report.page.evaluate(back) != before
    assert report.plot("Reward", "plot.series[1]._stroke") != colour
    report.page.wait_for_timeout(300)
    assert "theme=dark" in report.page.url
    report.page.reload()
    report.page.wait_for_selector("html[data-ready]")
    assert report.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_address_holds_the_view(opened: Open, two_runs: Path) -> None:
    fragment = "#x=samples&smooth=0.5&from=20&to=100&hide=0&run=1&step=7&sort=high&find=text&page=1"
    report = opened(two_runs, fragment)
    assert report.axis("Reward") == [20, 100]
    assert report.plot("Reward", "plot.series.length") == 3  # one run, as logged and smoothed
    assert report.titles() == ["v2, step 7, completion 1"]
    assert report.page.get_by_label("Search").input_value() == "text"


@pytest.mark.parametrize(
    "fragment",
    ["#x=a&smooth=9&from=5&to=1&hide=x,99&step=9999&sort=no&page=1e9", "#completions", "#%"],
)
def test_a_strange_address_does_no_harm(opened: Open, two_runs: Path, fragment: str) -> None:
    report = opened(two_runs, fragment)
    assert report.said == []
    assert report.axis("Reward") == [1, 40]
    assert report.page.locator("#completion-list li").count() == 20


def test_everything_is_reached_by_tab_with_a_visible_focus(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    wanted = report.page.evaluate("""() => [...document.querySelectorAll("a, button, select, input, summary, [tabindex='0']")]
      .filter((one) => !one.disabled && one.checkVisibility() && (one.type !== "radio" || one.checked))
      .map((one, place) => (one.dataset.place = place))""")
    seen = []
    for _ in range(len(wanted) + 5):
        report.page.keyboard.press("Tab")
        place, outline = report.page.evaluate("""() => {
          const one = document.activeElement;
          const style = getComputedStyle(one);
          return [one.dataset.place, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2];
        }""")
        if place is None:
            break
        assert outline, place
        seen.append(int(place))
    assert seen == wanted


def test_links_go_to_sections_and_keep_the_view(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs, "#x=samples")
    report.page.get_by_role("navigation").get_by_text("Completions").press("Enter")
    assert report.page.evaluate("document.activeElement.id") == "completions-title"
    assert report.page.url.endswith("#x=samples")


@pytest.mark.parametrize("width", [320, 480, 1280])
def test_nothing_is_wider_than_the_screen(opened: Open, real_runs: Path, width: int) -> None:
    report = opened(real_runs, width=width)
    report.plot("Reward", "1")
    widths = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    whole, screen = report.page.evaluate(widths)
    assert whole <= screen


def test_paper_has_all_charts_and_no_controls(opened: Open, real_runs: Path) -> None:
    report = opened(real_runs, theme="dark")
    figures = report.page.locator("figure").count()
    report.page.emulate_media(media="print")
    report.page.locator("figure canvas").nth(figures - 1).wait_for(state="attached")
    assert report.page.locator("figure canvas").count() == figures
    assert (
        report.page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert not report.page.locator("#theme").is_visible()
    assert not report.page.locator("#find").is_visible()
    assert report.page.locator(
        "#curve-controls .runs"
    ).is_visible()  # it says which curve is which run
    report.page.set_viewport_size(
        {"width": 700, "height": 900}
    )  # paper is narrower than the screen
    wide = "(figure) => figure.querySelector('canvas').getBoundingClientRect().right - figure.getBoundingClientRect().right"
    assert report.page.locator("figure").first.evaluate(wide) < 0


def test_while_runs_go_on_the_page_loads_itself_again(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    runs = [make_run(tmp_path / "v1", 20)]
    write_page(path, runs, reload_s=1)
    report = opened(path, "#find=text+1")
    assert "loads itself again every 1 s" in report.page.locator("#written").inner_text()
    report.page.evaluate("scrollTo({ top: 700, behavior: 'instant' })")
    make_run(tmp_path / "v1", 25)
    write_page(path, runs)
    deadline = time.monotonic() + 10
    while "loads itself" in report.page.locator("#written").inner_text():
        assert time.monotonic() < deadline
        report.page.wait_for_timeout(100)
    report.page.wait_for_selector("html[data-ready]")
    assert report.page.get_by_label("Search").input_value() == "text 1"
    assert report.page.evaluate("scrollY") == pytest.approx(700, abs=30)
    assert report.axis("Reward") == [1, 25]


def test_pause_stops_that(opened: Open, tmp_path: Path) -> None:
    path = write_page(tmp_path / "report.html", [make_run(tmp_path / "v1", 3)], reload_s=1)
    report = opened(path)
    report.page.get_by_role("button", name="Pause").click()
    report.page.evaluate("() => { window.same = true; }")
    report.page.wait_for_timeout(1500)
    assert report.page.evaluate("window.same")
    assert "does not load itself again" in report.page.locator("#written").inner_text()
