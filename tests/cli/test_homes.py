"""`~` in what prl-submit opens itself means the home directory, also where no shell has read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prl_submit.prepare import plan_spec
from prl_submit.system.user_paths import output_root


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, and a folder with a spec where one types."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "job.yaml").write_text("name: x\nextends: ~/base.yaml\n")
    (tmp_path / "home" / "base.yaml").write_text("output: ~/of-base\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def root_of(option: str | None) -> str:
    """The output root of the spec's plan."""
    spec = plan_spec("job.yaml", backend=None, sets=(), profile=None, output_root=option)
    return spec.plan.output_root


def test_the_output_root(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert root_of(None) == f"{home}/of-base"
    monkeypatch.setenv("PRL_OUTPUT_ROOT", "~/of-variable")
    assert root_of(None) == str(output_root(None)) == f"{home}/of-variable"
    assert root_of("~/of-flag") == str(output_root("~/of-flag")) == f"{home}/of-flag"


def test_a_dollar_sign_in_it_is_an_error(home: Path) -> None:
    planned = plan_spec(
        "job.yaml", backend=None, sets=(), profile=None, output_root="$SCRATCH/runs"
    )
    (problem,) = [p for p in planned.problems if p.key == "output"]
    assert (problem.severity, problem.label) == ("error", "--output-root")
    assert "no shell replaces $SCRATCH" in problem.message
