"""A working directory in a real git repository, and plans of jobs that run there."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from prl_submit.made_of.recording import record_made_of
from prl_submit.planning.plan import Context, Plan, with_run_dir
from prl_submit.system import shell
from prl_submit.system.reading import decode_json
from prl_submit.system.shell import Shell
from tests.support.plans import planned

SPEC = """
name: made
swift:
  rlhf_type: grpo
  model: org/model
  dataset: [data.jsonl]
  external_plugins: [plugin.py]
"""


class Repository:
    """A git repository in a folder, with one commit of a plugin and its data."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(root.parent / "home"),
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        (root.parent / "home").mkdir()
        root.mkdir()
        self.git("init", "--quiet")
        self.write(plugin="x = 1\n", data='{"a": 1}\n{"a": 2}\n')
        self.commit()

    def git(self, *words: str, **environ: str) -> str:
        """What git says."""
        name = [
            "-c",
            "user.name=me",
            "-c",
            "user.email=me@host",
            "-c",
            "protocol.file.allow=always",
        ]
        done = subprocess.run(
            ["git", "-C", self.root, *name, *words],
            env=self.environ | environ,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def write(self, plugin: str | None = None, data: str | None = None, **files: str) -> None:
        """Write plugin.py, data.jsonl, and files whose names have no ending."""
        named = {"plugin.py": plugin, "data.jsonl": data, **files}
        for name, text in named.items():
            if text is not None:
                (self.root / name).write_text(text, encoding="utf-8")

    def commit(self) -> str:
        """Commit everything but the run directories; the commit."""
        self.git("add", "--all", "--", ":!output")
        self.git("commit", "--quiet", "--message", "a commit")
        return self.git("rev-parse", "HEAD").strip()

    def plan(self, run: str = "v1", spec: str = SPEC) -> Plan:
        """The plan of a job in the repository."""
        made = planned(
            spec,
            context=Context(str(self.root), str(self.root)),
            sets=[f"output={self.root}/output"],
        ).plan
        return with_run_dir(made, str(self.root / "output" / run))

    def record(
        self,
        run: str = "v1",
        environ: Mapping[str, str] | None = None,
        spec: str = SPEC,
        run_program: Shell = shell.run,
    ) -> Path:
        """Record what a job is made of; the folder. No fault is told."""
        folder = self.root / "output" / run
        folder.mkdir(parents=True, exist_ok=True)
        given = {**self.environ, **(environ or {})}
        assert record_made_of([(folder, self.plan(run, spec))], run_program, given) == []
        return folder / "made_of"

    def code(self, **options: Any) -> dict[str, Any]:
        """The content of code.json, with the difference's text as `text`. `options`: see `record`."""
        folder = self.record(**options)
        found: dict[str, Any] = decode_json((folder / "code.json").read_bytes())
        name = found["diff"]
        return {**found, "text": (folder / name).read_text("utf-8") if name else ""}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work")
