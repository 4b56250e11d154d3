"""Whatever somebody writes into logs/.aliveN, reading it crashes nothing, and no text of it changes a terminal."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from prl_submit.backends.platform.backend import PlatformBackend
from prl_submit.runs.directory import Run
from prl_submit.runs.layout import alive_file
from prl_submit.runs.signs_of_life import last_size, read_sign
from tests.support.platform_runs import alive, platform_run

TEXT = st.text(min_size=0, max_size=300)
ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.lists(TEXT))
KEYS = ("token", "attempt", "beat", "node", "host", "doing", "platform", "job", "nodes", "ended")
#: A sign of life with some keys changed.
CHANGED = st.dictionaries(st.sampled_from([*KEYS, "nproc_per_node"]), ANY)


def check(run: Run) -> None:
    sign = read_sign(alive_file(run.path, 0), 0)
    assert sign is not None
    texts = [sign.host, sign.doing, sign.platform or "", sign.job or ""]
    assert all(text.isprintable() for text in texts)
    last_size(run.path)
    (answer,) = PlatformBackend().states([run])
    assert (answer.state.reason or "").isprintable()
    assert len(answer.state.reason or "") < 1000


@given(st.binary(max_size=2000))
def test_any_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = platform_run(Path(folder, "v1-20261130-120000"))
        alive(run, 0)
        alive_file(run.path, 0).write_bytes(content)
        check(run)


@given(CHANGED)
def test_any_values(changed: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = platform_run(Path(folder, "v1-20261130-120000"))
        alive(run, 0)
        file = alive_file(run.path, 0)
        file.write_text(json.dumps(json.loads(file.read_text()) | changed))
        check(run)
