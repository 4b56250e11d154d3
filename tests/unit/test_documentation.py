"""The documentation: every link leads somewhere, and lines have one width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [ROOT / "benchmarks" / "README.md", ROOT / "tools" / "clusters" / "README.md"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *OTHERS])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
#: Columns of a line. Tables, code and headings may be longer, and CHANGELOG.md has one line for each change.
WIDTH = 100


def without_code(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", without_code(page))
    plain = [re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings]
    return {text.replace(" ", "-") for text in plain}


def broken_links(page: Path) -> Iterator[str]:
    """The links of a page to files or headings that do not exist. Links to other sites are not checked."""
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    assert list(broken_links(ROOT / name)) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_lines_have_one_width(name: str) -> None:
    lines = without_code(ROOT / name).splitlines()
    assert [line for line in lines if len(line) > WIDTH and line[:1] not in "|#"] == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c\n[1](#a-b-c) [2](#a-b) [3](none.md) [4](page.md#a-b-c) [5](https://x)\n"
    )
    assert list(broken_links(page)) == ["#a-b", "none.md"]
