"""The browser of completions: by run and step, sorted, searched, a page at a time; and hostile texts do nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Opened
from tests.support.report_runs import (
    HOSTILE_TEXTS,
    batch,
    make_run,
    write_arguments,
    write_completions,
    write_page,
)

pytestmark = pytest.mark.browser
Open = Callable[..., Opened]


def test_by_run_and_step(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    status = report.page.locator("#completion-status")
    assert status.inner_text() == "1 to 20 of 120 completions"
    report.page.locator("#choose-run").select_option("v2")
    report.page.locator("#choose-step").select_option("30")
    assert report.titles() == ["v2, step 30, completion 1", "v2, step 30, completion 2"]
    assert status.inner_text() == "1 to 2 of 2 completions, chosen from 80"
    report.page.get_by_role("button", name="Later step").click()
    assert report.titles()[0] == "v2, step 31, completion 1"
    report.page.get_by_role("button", name="Earlier step").click()
    report.page.get_by_role("button", name="Earlier step").click()
    assert report.titles()[0] == "v2, step 29, completion 1"
    first = report.page.locator("#completion-list li").first
    assert first.locator("pre").all_inner_texts() == ["prompt of step 29", "text 29"]
    assert first.locator("dl").inner_text().split() == "reward 2.9 Fun 2.9 advantage 0.5".split()


def test_sorted_by_reward(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    report.page.locator("#choose-sort").select_option("highest reward first")
    assert report.titles()[:3] == [f"v2, step {n}, completion 1" for n in (40, 39, 38)]
    report.page.locator("#choose-sort").select_option("lowest Fun first")
    # Those for which the function gave no value stand last.
    assert report.titles()[:3] == [
        f"{run}, step {n}, completion 1" for n, run in ((1, "v1"), (1, "v2"), (2, "v1"))
    ]
    report.page.locator("#choose-sort").select_option("longest first")
    assert report.page.locator("#completion-list pre").nth(1).inner_text() == "text 10"


def test_search_in_prompts_and_completions(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    report.page.get_by_label("Search").fill("TEXT 37")
    report.page.locator(
        "#completion-status", has_text="1 to 1 of 1 completions, chosen from 120"
    ).wait_for()
    assert report.titles() == ["v2, step 37, completion 1"]
    assert report.page.locator("mark").all_inner_texts() == ["text 37"]
    report.page.get_by_label("Search").fill("prompt of step 40")
    report.page.locator("#completion-status", has_text="of 2 completions").wait_for()
    report.page.get_by_label("Search").fill("(no such [text")
    report.page.locator("#completion-status", has_text="0 completions").wait_for()
    assert report.titles() == []


def test_pages(opened: Open, two_runs: Path) -> None:
    report = opened(two_runs)
    assert report.page.locator("#completion-list li").count() == 20
    report.page.get_by_role("button", name="Next").click()
    assert report.page.locator("#completion-status").inner_text() == "21 to 40 of 120 completions"
    assert report.page.evaluate("document.activeElement.id") == "next-page"
    report.page.locator("#page").fill("6")
    report.page.locator("#page").press("Enter")
    assert report.titles()[-1] == "v2, step 40, completion 2"
    assert report.page.get_by_role("button", name="Next").is_disabled()


def test_a_long_text_is_shown_in_full_on_demand(opened: Open, tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1", 2)
    write_completions(run, [batch(1, ["begin " + "x" * 3000 + " end"], [0.5])])
    report = opened(write_page(tmp_path / "report.html", [run]))
    text = report.page.locator("#completion-list pre").nth(1)
    assert text.inner_text().endswith("x …")
    report.page.get_by_role("button", name="All 3,010 characters").click()
    assert text.inner_text().endswith("x end")
    report.page.get_by_label("Search").fill(" end")
    report.page.locator("mark").wait_for()


def test_hostile_texts_are_shown_and_do_nothing(opened: Open, tmp_path: Path) -> None:
    name = "v1<img src=x onerror='hacked=1'>\u202e"
    run = make_run(tmp_path / name, 2)
    write_completions(
        run,
        [
            batch(
                1, HOSTILE_TEXTS, [0.5] * len(HOSTILE_TEXTS), **{"<b>F": [1.0] * len(HOSTILE_TEXTS)}
            )
        ],
    )
    write_arguments(run, **{f"key {text}": text for text in HOSTILE_TEXTS})
    report = opened(write_page(tmp_path / "report.html", [run]))
    assert report.said == []
    assert report.page.evaluate("typeof hacked") == "undefined"
    assert report.page.locator("main img, main script").count() == 0
    shown = report.page.locator("#completion-list pre").all_inner_texts()[1::2]
    assert shown[0] == "</script><script>hacked = 1</script>"
    assert shown[5] == "line[U+2028]paragraph[U+2029]end"
    assert shown[6] == "nul\u2400bell\u2407"
    assert shown[7] == "\u241b[31mred\u241b]0;title\u2407"
    assert shown[8] == "[U+202E]right to left[U+2066] isolate"
    assert shown[9:] == list(HOSTILE_TEXTS[9:])
    report.page.locator("#settings summary").click()
    assert "<img src=x onerror='hacked = 1'>" in report.page.locator("#settings").inner_text()


def test_a_report_without_completions(opened: Open, tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1", 2)
    report = opened(write_page(tmp_path / "report.html", [run], most_completions=0))
    assert (
        report.page.locator("#completion-status").inner_text() == "This report has no completions."
    )
    assert report.said == []


def test_many_parts_keep_their_prompts(opened: Open, tmp_path: Path) -> None:
    run = make_run(tmp_path / "v1", 2)
    lines = (
        batch(n, [f"answer {n}.{place}" for place in range(4)], [n / 1e4] * 4)
        for n in range(1, 1501)
    )
    write_completions(run, lines)
    report = opened(write_page(tmp_path / "report.html", [run]))
    report.page.locator("#choose-step").select_option("1499")
    texts = report.page.locator("#completion-list pre").all_inner_texts()
    assert texts[:2] == ["prompt of step 1499", "answer 1499.0"]
    assert (
        report.page.locator("#completion-status").inner_text()
        == "1 to 4 of 4 completions, chosen from 6,000"
    )
