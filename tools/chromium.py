"""The Chromium in which reports are tested, measured and photographed: the system's own, through playwright."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: The program's names in Debian, in other distributions, and of Google's own package.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable")


def program() -> str | None:
    """The path of the first of PROGRAMS that is there."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def available() -> str | None:
    """What this machine lacks, in a sentence; None if pages can be opened."""
    if not all(map(importlib.util.find_spec, ("playwright", "axe_playwright_python"))):
        return "playwright and axe-playwright-python are not installed: make test-env"
    if program() is None:
        return f"none of {', '.join(PROGRAMS)} found: sudo tools/install-chromium.sh"
    return None


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    # Chromium's sandbox refuses root, and needs user namespaces, which containers often forbid. The pages are our own.
    words = ["--disable-gpu", "--no-sandbox"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program(), args=words)
        try:
            yield chromium
        finally:
            chromium.close()
