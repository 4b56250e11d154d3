"""Fixtures of the tests that ask the real ms-swift: a folder with files, and one process of ms-swift."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.configurations import FILES, rows

PROJECT = Path(__file__).resolve().parents[2]

Ask = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the tiny model and every file that the configurations name."""
    root = tmp_path_factory.mktemp("differential")
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content if isinstance(content, str) else json.dumps(content))
    (root / "rows.jsonl").write_text(rows(400))
    make = [sys.executable, str(PROJECT / "jobs/make_tiny_model.py"), "tiny-qwen2"]
    subprocess.run(make, cwd=root, check=True, capture_output=True)
    make_reward_model(root)
    return root


@pytest.fixture(scope="session")
def old_swift_venv(pytestconfig: pytest.Config) -> Path:
    """The environment with ms-swift 3.3.0; where `--require training` is said it must be there."""
    constraints = PROJECT / "tools" / "swift-3.3-constraints.txt"
    checksum = hashlib.sha256(constraints.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = cache / "prl-submit" / f"swift-3.3.0-{checksum}"
    if not (found / "complete").exists():
        missing = f"{found} is not there: tools/make-old-swift-venv.sh makes it"
        if "training" in pytestconfig.getoption("--require"):
            pytest.fail(f"--require training: {missing}")
        pytest.skip(missing)
    return found


def make_reward_model(root: Path) -> None:
    """Make the tiny model a sequence classifier. transformers makes its head from random numbers."""
    shutil.copytree(root / "tiny-qwen2", root / "tiny-reward")
    config = json.loads((root / "tiny-reward/config.json").read_text())
    config |= {"architectures": ["Qwen2ForSequenceClassification"]}
    config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (root / "tiny-reward/config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def ask(folder: Path) -> Iterator[Ask]:
    """`ask(questions)` returns the answers of the real ms-swift. All tests share one process."""
    environ = {
        name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")
    }
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(PROJECT / "tests/training/swift_verdicts.py")],
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdin
    assert process.stdout

    def put(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert process.stdin
        assert process.stdout
        # Questions are sorted by the number of processes, because each change makes a new process group.
        order = sorted(range(len(questions)), key=lambda index: questions[index]["world"])
        answers: list[dict[str, Any]] = [{} for _ in questions]
        for index in order:
            process.stdin.write(json.dumps(questions[index]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, (folder / "stderr").read_text()[-3000:]
            answers[index] = json.loads(line)
        return answers

    yield put
    process.stdin.close()
    process.wait(timeout=30)
    process.stdout.close()
