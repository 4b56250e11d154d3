"""The HTML file of a report: one file with its style, its scripts and its data, which asks for nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import msgspec

from prl_submit.report.kept_completions import parts
from prl_submit.report.report_data import Gathered

#: A file that begins so was written by `prl-submit report`, which may replace it.
BEGIN = b'<!doctype html>\n<html lang="en" data-made-by="prl-submit report">\n'
#: The scripts in the order in which they are joined. They share their names.
SCRIPTS = (
    "uplot/uPlot.iife.min.js",
    "page/elements.js",
    "page/numbers.js",
    "page/data.js",
    "page/view.js",
    "page/curves.js",
    "page/chart.js",
    "page/charts.js",
    "page/tables.js",
    "page/completions.js",
    "page/main.js",
)
#: A higher level takes several times as long and saves a fifth.
_LEVEL = 3
STYLES = ("uplot/uPlot.min.css", "page/page.css")


def page(gathered: Gathered) -> Iterator[bytes]:
    """The parts of the file, in UTF-8.

    The texts of runs are in blocks of JSON alone, in which no `<` stands, and the scripts show them as text,
    never as HTML. The browser runs only scripts with the hash in the policy, and makes no request.
    """
    style = "\n".join(map(_file, STYLES))
    script = "\n".join(map(_file, SCRIPTS))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    names = ", ".join(run.name for run in gathered.data.runs[:4])
    more = len(gathered.data.runs) - 4
    title = f"{names} and {more} more" if more > 0 else names
    texts = {"POLICY": policy, "TITLE": html.escape(title)}
    body = re.sub("@([A-Z]+)@", lambda match: texts[match[1]], _file("page/page.html"))
    head, _, rest = body.partition("<style></style>")
    before, _, after = rest.partition("<script></script>")
    yield BEGIN + f"{head}<style>{style}</style>{before}".encode("utf-8", "replace")
    yield from _block("report-data", gathered.data)
    # The script stands before the completions, so that the curves are drawn while the browser reads on.
    yield f"<script>{script}</script>\n".encode()
    for number, kept in enumerate(gathered.completions):
        if kept is not None:
            for part in parts(kept):
                yield from _packed_block(f"completions-{number}", part)
    yield after.encode()


def _file(name: str) -> str:
    return files("prl_submit.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _block(name: str, value: Any) -> Iterator[bytes]:
    """A block of JSON that the browser neither runs nor reads as HTML."""
    yield f'<script type="application/json" id="{name}">'.encode()
    yield json_bytes(value)
    yield b"</script>\n"


def _packed_block(run: str, value: Any) -> Iterator[bytes]:
    """A block of JSON, compressed and in base64: completions are long, and reports are sent by mail."""
    yield f'<script type="application/octet-stream" class="{run}">'.encode()
    yield base64.b64encode(gzip.compress(json_bytes(value), _LEVEL, mtime=0))
    yield b"</script>\n"


def json_bytes(value: Any) -> bytes:
    """JSON in which nothing is HTML: `<` is an escape, so there is no `</script>` and no `<!--`."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair, in the name of a file
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        encoded = text.encode("utf-8", "replace")
    return encoded.replace(b"<", b"\\u003c")
