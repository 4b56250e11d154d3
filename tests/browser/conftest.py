"""A headless Chromium, in which the tests open reports. One browser serves all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.report_runs import make_run, write_page
from tools.chromium import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


class Opened:
    """A report that is open in the browser, and what the browser said of it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path, fragment: str = "") -> Opened:
        """Open a report and wait until all of it is there."""
        self.page.goto(path.as_uri() + fragment)
        self.page.wait_for_selector("html[data-ready]")
        return self

    def plot(self, title: str, what: str) -> Any:
        """A JavaScript expression on `plot`, the chart of this title, after it is drawn."""
        area = self.area(title)
        area.scroll_into_view_if_needed()
        area.locator("canvas").wait_for()
        frames = "for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);"
        find = "uPlot.sync('report').plots.find((one) => area.contains(one.root))"
        return area.evaluate(f"async (area) => {{ {frames} const plot = {find}; return {what}; }}")

    def area(self, title: str) -> Any:
        """The chart of this title, as a place in the page."""
        return self.page.locator(
            "figure", has=self.page.get_by_role("heading", name=title, exact=True)
        ).locator(".plot")

    def axis(self, title: str) -> list[float]:
        """The first and the last x value that a chart shows."""
        found: list[float] = self.plot(title, "[plot.scales.x.min, plot.scales.x.max]")
        return found

    def values(self, title: str, series: int = 1) -> dict[float, float]:
        """The points of a chart's curve: x and y."""
        pairs = self.plot(title, f"[...plot.data[0]].map((x, i) => [x, plot.data[{series}][i]])")
        return {x: y for x, y in pairs if y is not None}

    def titles(self) -> list[str]:
        """The headings of the completions that are shown."""
        found: list[str] = self.page.locator("#completion-list h3").all_inner_texts()
        return found


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Callable[..., Opened]]:
    """A function that opens a report in a new window, 1280 pixels wide if nothing else is said."""
    contexts = []

    def open_(path: Path, fragment: str = "", *, width: int = 1280, theme: Any = "light") -> Opened:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        context.set_default_timeout(10_000)
        contexts.append(context)
        return Opened(context.new_page()).open(path, fragment)

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two trainings: v1 of 20 steps with rewards of 0.01 x step, v2 of 40 steps with 0.02 x step."""
    folder = tmp_path_factory.mktemp("two-runs")
    runs = [make_run(folder / "v1", 20), make_run(folder / "v2", 40, slope=0.02)]
    return write_page(folder / "report.html", runs)
