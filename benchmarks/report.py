"""A report of 100,000 steps and 50,000 completions: writing it, and opening it in Chromium.

usage: python -m benchmarks.report      exit 1 if a budget is exceeded
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.metrics import lines, processor_time
from benchmarks.table import Row, report
from tools.chromium import browser

STEPS, COMPLETIONS, IN_A_STEP = 100_000, 50_000, 8
MOST_OPEN_MS, MOST_FRAME_MS, MOST_SEARCH_MS = 3000.0, 100.0, 500.0
#: The longest time between two frames, in ms, while the lines in place of ACT run.
LONGEST_FRAME = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  let longest = 0, last = performance.now();
  const next = async () => {
    await frame();
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  await next();
  longest = 0;
  ACT
  await next();
  return longest;
}"""
ZOOM = """
  for (let i = 0; i < 30; i++) {
    const field = document.getElementById("zoom-from");
    field.value = String(1000 * (i + 1));
    field.dispatchEvent(new Event("change"));
    await next();
  }"""
SMOOTH = """
  for (let i = 0; i < 30; i++) {
    const field = document.getElementById("smoothing");
    field.value = String(0.5 + i / 100);
    field.dispatchEvent(new Event("input"));
    await next();
  }"""
SCROLL = """
  for (let y = 0; y < document.body.scrollHeight; y += 120) {
    scrollTo({ top: y, behavior: "instant" });
    await next();
  }"""
SEARCH = """async () => {
  const list = document.getElementById("completion-list");
  const field = document.getElementById("find");
  const begin = performance.now();
  field.value = "needle 12345";
  field.dispatchEvent(new Event("input"));
  while (list.children.length !== 1) await new Promise((go) => setTimeout(go, 5));
  return performance.now() - begin;
}"""


def make_run(run: Path) -> None:
    """A training of so many steps, and completions of some steps: 64 MB of text."""
    with (run / "logging.jsonl").open("wb") as file:
        for first in range(1, STEPS + 1, 1000):
            file.write(lines(first, 1000))
    chance = random.Random(1)
    words = ["think", "answer", "提示", "because", "therefore", "sum", "prompt", "example"]
    every = STEPS // (COMPLETIONS // IN_A_STEP)
    with (run / "completions.jsonl").open("w", encoding="utf-8") as completions:
        for number in range(COMPLETIONS // IN_A_STEP):
            first = number * IN_A_STEP
            texts = [
                f"needle {first + place} " + " ".join(chance.choices(words, k=160))
                for place in range(IN_A_STEP)
            ]
            columns = {
                "step": [str(number * every + 1)] * IN_A_STEP,
                "prompt": [" ".join(chance.choices(words, k=60))] * IN_A_STEP,
                "completion": texts,
                "PrlFormat": [chance.random() for _ in texts],
                "PrlAccuracy": [float(chance.random() < 0.5) for _ in texts],
                "advantages": [chance.random() for _ in texts],
            }
            completions.write(json.dumps(columns, ensure_ascii=False) + "\n")


def opened(page_file: Path) -> list[Row]:
    """Open the file and use it."""
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        begin = time.perf_counter()
        page.goto(page_file.as_uri(), wait_until="commit")
        page.wait_for_selector("#charts canvas", state="attached")
        drawn = time.perf_counter() - begin
        page.wait_for_selector("html[data-ready]")
        ready = time.perf_counter() - begin
        page.locator("#curves").scroll_into_view_if_needed()
        zoomed, smoothed, scrolled = (
            page.evaluate(LONGEST_FRAME.replace("ACT", act)) for act in (ZOOM, SMOOTH, SCROLL)
        )
        searched = page.evaluate(SEARCH)
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    return [
        Row("until the first curves are drawn", drawn * 1e3, MOST_OPEN_MS),
        Row("until the completions can be searched", ready * 1e3, MOST_OPEN_MS),
        Row("longest frame while zooming", zoomed, MOST_FRAME_MS),
        Row("longest frame while smoothing", smoothed, MOST_FRAME_MS),
        Row("longest frame while scrolling", scrolled, MOST_FRAME_MS),
        Row("searching all completions", searched, MOST_SEARCH_MS),
        Row("the page's memory", heap, None, "MB"),
    ]


def main() -> int:
    """Make the run, write its report, and open it."""
    with tempfile.TemporaryDirectory() as folder:
        run, target = Path(folder, "run"), Path(folder, "report.html")
        run.mkdir()
        make_run(run)
        size = sum(path.stat().st_size for path in run.iterdir()) / 1e6
        words = [sys.executable, "-m", "prl_submit", "report", f"{run}/", "-o", str(target)]
        seconds, megabytes = processor_time(words)
        rows = [
            Row("files of the run", size, None, "MB"),
            Row("writing the report", seconds * 1e3),
            Row("memory for writing it", megabytes, None, "MB"),
            Row("the report", os.stat(target).st_size / 1e6, None, "MB"),
        ]
        return report(rows + opened(target))


if __name__ == "__main__":
    sys.exit(main())
