"""A report of 100,000 steps and 50,000 completions: writing it, and opening it in Chromium.

Processor time is measured, of all processes of the browser together: wall time would tell of the other work
on the machine.

usage: python -m benchmarks.report      exit 1 if a budget is exceeded
"""

from __future__ import annotations

import contextlib
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
MOST_OPEN_MS, MOST_CHANGE_MS, MOST_SEARCH_MS = 3000.0, 100.0, 500.0
#: So often a change is made.
TIMES = 30
#: Changes, one in each frame; CHANGE is done with the number `i`.
CHANGES = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const set = (id, event, value) => {
    const field = document.getElementById(id);
    field.value = String(value);
    field.dispatchEvent(new Event(event));
  };
  for (let i = 1; i <= TIMES; i++) {
    CHANGE;
    await frame();
  }
  await frame();
}"""
ZOOM = 'set("zoom-from", "change", 1000 * i)'
SMOOTH = 'set("smoothing", "input", 0.5 + i / 100)'
SCROLL = 'scrollTo({ top: 150 * i, behavior: "instant" })'
SEARCH = """async () => {
  const list = document.getElementById("completion-list");
  const field = document.getElementById("find");
  field.value = "needle 12345";
  field.dispatchEvent(new Event("input"));
  while (list.children.length !== 1) await new Promise((go) => setTimeout(go, 20));
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


def browser_ms() -> float:
    """The processor time of all processes of our browser until now, in ms."""
    parents, times = {}, {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit():
                text = Path("/proc", name, "stat").read_text()
                fields = text.rpartition(")")[2].split()
                parents[int(name)] = int(fields[1])
                if "(chrom" in text:
                    times[int(name)] = int(fields[11]) + int(fields[12])
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    ticks = sum(spent for pid, spent in times.items() if pid in ours)
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def opened(page_file: Path) -> list[Row]:
    """Open the file and use it."""
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto("about:blank")
        before, begin = browser_ms(), time.perf_counter()
        page.goto(page_file.as_uri(), wait_until="commit")
        page.wait_for_selector("#charts figure", state="attached")
        curves = time.perf_counter() - begin
        page.wait_for_selector("html[data-ready]")
        rows = [
            Row("opening the report until all of it is there", browser_ms() - before, MOST_OPEN_MS),
            Row("the same as wall time", (time.perf_counter() - begin) * 1e3),
            Row("wall time until the curves are there", curves * 1e3),
        ]
        page.locator("#curves").scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        for what, change in (("zooming", ZOOM), ("smoothing", SMOOTH), ("scrolling", SCROLL)):
            before = browser_ms()
            page.evaluate(CHANGES.replace("TIMES", str(TIMES)).replace("CHANGE", change))
            spent = (browser_ms() - before) / TIMES
            rows.append(Row(f"{what}, each of {TIMES} times", spent, MOST_CHANGE_MS))
        before = browser_ms()
        page.evaluate(SEARCH)
        rows.append(Row("searching all completions", browser_ms() - before, MOST_SEARCH_MS))
        heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
        return [*rows, Row("memory of the page's scripts", heap, None, "MB")]


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
