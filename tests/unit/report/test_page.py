"""The file of a report: nothing in it can become markup, its policy forbids requests, and only reports are replaced."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from prl_submit.errors import PrlSubmitError
from prl_submit.report.page import BEGIN, SCRIPTS, STYLES, json_bytes, page
from prl_submit.report.report_data import gather
from prl_submit.report.write_report import refuse_other_file, write_report
from tests.support.report_runs import (
    HOSTILE_TEXTS,
    batch,
    make_run,
    write_arguments,
    write_completions,
)
from tests.support.swift_logs import SWIFT_46

#: The files of the npm package uplot 1.6.32.
UPLOT = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


def written(*runs: Path) -> str:
    return b"".join(page(gather(list(runs)))).decode()


def completions(text: str, run: int = 0) -> dict[str, list[object]]:
    (found,) = re.findall(rf'class="completions-{run}">(.*?)</script>', text)
    unpacked: dict[str, list[object]] = json.loads(gzip.decompress(base64.b64decode(found)))
    return unpacked


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A run whose every text is hostile."""
    run = make_run(tmp_path / "v1<b>&'\"@TITLE@")
    write_completions(run, [batch(1, HOSTILE_TEXTS, [0.5] * len(HOSTILE_TEXTS))])
    write_arguments(run, **{f"key {text}": text for text in HOSTILE_TEXTS})
    return run


def test_texts_come_back_as_they_were_and_are_no_markup(hostile: Path) -> None:
    text = written(hostile)
    assert completions(text)["completion"] == list(HOSTILE_TEXTS)
    # The only elements are those of page.html and the blocks: no text opened or closed one.
    assert len(re.findall(r"<script[ >]", text)) == 3
    assert text.count("</script>") == 3
    assert "<!--" not in text
    assert "hacked = 1</script>" not in text
    assert "<title>v1&lt;b&gt;&amp;&#x27;&quot;@TITLE@ – report" in text


def test_the_policy_allows_the_script_and_the_style_alone() -> None:
    text = written(SWIFT_46)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {
        *("default-src", "script-src", "style-src", "base-uri", "form-action"),
        "require-trusted-types-for",
    }
    for kind in ("script", "style"):
        found = re.search(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert found
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert not re.search(
        r'(?:src|href)="(?!#)', text.partition('<script type="application/json"')[0]
    )


@pytest.mark.parametrize("name", [*SCRIPTS, *STYLES])
def test_no_file_ends_its_element(name: str) -> None:
    text = files("prl_submit.report").joinpath(name).read_text("utf-8")
    assert not re.search(r"</(?:script|style)|<!--", text, re.IGNORECASE)
    assert "innerHTML" not in text
    assert "\r" not in text


@pytest.mark.parametrize("name", UPLOT)
def test_uplot_is_the_published_one(name: str) -> None:
    content = files("prl_submit.report").joinpath(f"uplot/{name}").read_bytes()
    assert hashlib.sha256(content).hexdigest() == UPLOT[name]


def test_json_has_no_markup() -> None:
    text = json_bytes({"a": "</script><!--", "b": "\ud800"})
    assert b"<" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": "?"}


def test_a_title_for_many_runs(tmp_path: Path) -> None:
    text = written(*[make_run(tmp_path / f"v{n}", 2) for n in range(6)])
    assert "<title>v0, v1, v2, v3 and 2 more – report" in text


def test_only_reports_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, BEGIN + b"first")
    write_report(path, BEGIN + b"second")
    assert path.read_bytes() == BEGIN + b"second"
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    path.write_text("<!doctype html>\n<html>mine")
    with pytest.raises(PrlSubmitError, match="is no report of prl-submit"):
        write_report(path, BEGIN)
    path.unlink()
    path.symlink_to(tmp_path / "other")
    with pytest.raises(PrlSubmitError):
        refuse_other_file(path)
    with pytest.raises(PrlSubmitError, match="is no folder"):
        refuse_other_file(tmp_path / "missing" / "report.html")
    with pytest.raises(PrlSubmitError):
        refuse_other_file(tmp_path)
