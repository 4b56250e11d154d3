#!/usr/bin/env python3
"""Make the pictures of a report in docs/: the report of two real trainings, photographed in Chromium.

usage: python tools/make_report_pictures.py      (from the repository; needs `make test-env chromium`)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from msgspec.structs import replace

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from prl_submit.report.page import page  # noqa: E402  # after the path is set
from prl_submit.report.report_data import gather  # noqa: E402
from tools.chromium import browser  # noqa: E402

RUNS = ROOT / "tests" / "support" / "swift_runs"
#: The pictures' runs: ms-swift 4.6.0 with two processes, then with one.
NAMES = {"4.6.0": "v25-20261130-142859", "4.6.0-one-process": "v26-20261130-144210"}
#: File, theme, the section at its top, and its address.
PICTURES = (
    ("report-light.png", "light", "curves", ""),
    ("report-dark.png", "dark", "title", ""),
    ("report-completions.png", "light", "completions", "#run=0&sort=high"),
)


def write_page(folder: Path) -> Path:
    """Write the report of the runs."""
    runs = [shutil.copytree(RUNS / name, folder / new) for name, new in NAMES.items()]
    path = folder / "report.html"
    gathered = gather(runs, written_at="2026-11-30 14:50:00 +0000", version="")
    told = [replace(run, path=f"/home/me/prl/output/{run.name}") for run in gathered.data.runs]
    gathered = replace(gathered, data=replace(gathered.data, runs=told))
    path.write_bytes(b"".join(page(gathered)))
    return path


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        path = write_page(Path(folder))
        for name, theme, section, fragment in PICTURES:
            window = chromium.new_page(
                viewport={"width": 1280, "height": 860},
                color_scheme="dark" if theme == "dark" else "light",
            )
            window.goto(path.as_uri() + fragment)
            window.wait_for_selector("html[data-ready]")
            window.evaluate(
                f"document.getElementById('{section}').scrollIntoView({{behavior: 'instant'}})"
            )
            window.wait_for_timeout(500)
            window.screenshot(path=ROOT / "docs" / name)
            print(f"docs/{name}: {(ROOT / 'docs' / name).stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
