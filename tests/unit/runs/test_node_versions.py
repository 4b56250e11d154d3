"""The versions that a node writes: the file runs as a program, as launch.sh runs it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prl_submit.runs import node_versions


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages: a torch whose version is 2.14, and a checkout of ms-swift."""
    folder = tmp_path / "site"
    (folder / "torch").mkdir(parents=True)
    (folder / "torch/__init__.py").write_text("raise SystemExit('torch was imported')")
    version = (
        "from typing import Optional\n__version__ = '2.14.0+cu130'\ncuda: Optional[str] = '13.0'\n"
    )
    (folder / "torch/version.py").write_text(version)
    (folder / "torch-2.14.0.dist-info").mkdir()
    (folder / "torch-2.14.0.dist-info/METADATA").write_text("Name: torch\nVersion: 2.14.0+cu130\n")
    (folder / "swift").mkdir()
    (folder / "swift/__init__.py").touch()
    (folder / "swift/version.py").write_text("__version__ = '4.7.0.dev0'\n")
    (tmp_path / "run").mkdir()
    return folder


def look(site: Path, node: int = 0, restarts: int = 0) -> str:
    """What the program prints."""
    run = site.parent / "run"
    words = [str(run), str(node), str(restarts), "torch", "swift", "nothing_of_that_name"]
    done = subprocess.run(
        [sys.executable, "-S", "-", *words],
        input=Path(node_versions.__file__).read_text("utf-8"),
        env={"PYTHONPATH": str(site), "PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "0,1"},
        cwd=site.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def written(site: Path, name: str = "versions.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site.parent / "run/made_of" / name).read_text())
    return found


def test_versions(site: Path) -> None:
    assert look(site) == "nothing_of_that_name\n"
    found = written(site)
    assert found["packages"] == {"torch": "2.14.0+cu130", "ms-swift": "4.7.0.dev0"}
    assert (found["cuda"], found["swift_path"]) == ("13.0", str(site / "swift"))
    assert found["python"] == sys.version.split()[0]
    assert (found["visible"], found["restarts"], found["earlier"]) == ("0,1", 0, [])


@pytest.mark.parametrize("packed", [True, False])
def test_the_commit_of_a_checkout(site: Path, packed: bool) -> None:
    assert node_versions._commit_of(str(site / "swift")) is None

    def git(*words: str) -> str:
        name = ["-c", "user.name=me", "-c", "user.email=me@host"]
        done = subprocess.run(["git", *name, *words], cwd=site, check=True, capture_output=True)
        return done.stdout.decode().strip()

    git("init", "--quiet")
    git("add", "swift")
    git("commit", "--quiet", "--message", "x")
    if packed:
        git("pack-refs", "--all")
    commit = git("rev-parse", "HEAD")
    assert node_versions._commit_of(str(site / "swift")) == commit
    git("checkout", "--quiet", "--detach")
    assert node_versions._commit_of(str(site / "swift")) == commit


def test_each_node_has_its_file(site: Path) -> None:
    look(site, node=3)
    assert written(site, "versions.node3.json")["packages"]["torch"] == "2.14.0+cu130"


def test_an_attempt_with_other_versions(site: Path) -> None:
    """Those of the attempt before are kept; the same versions are not listed twice."""
    look(site)
    look(site, restarts=1)
    assert written(site)["earlier"] == []
    (site / "swift/version.py").write_text("__version__ = '4.8.0'\n")
    look(site, restarts=2)
    found = written(site)
    assert found["packages"]["ms-swift"] == "4.8.0"
    (earlier,) = found["earlier"]
    assert (earlier["packages"]["ms-swift"], earlier["restarts"]) == ("4.7.0.dev0", 1)
    look(site, restarts=3)
    assert written(site)["earlier"] == [earlier]


@pytest.mark.parametrize("damage", ["", "[", "[]", '{"earlier": 3}', "\xff"])
def test_a_damaged_file_is_replaced(site: Path, damage: str) -> None:
    folder = site.parent / "run/made_of"
    folder.mkdir()
    (folder / "versions.json").write_bytes(damage.encode("latin-1"))
    look(site)
    assert written(site)["packages"]["ms-swift"] == "4.7.0.dev0"


@pytest.mark.parametrize("name", ["made_of", "made_of/versions.json"])
def test_no_link_is_followed(site: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    place = site.parent / "run" / name
    place.parent.mkdir(exist_ok=True)
    if name == "made_of":
        target.mkdir()
    else:
        target.write_text("mine")
    place.symlink_to(target)
    assert look(site) == "nothing_of_that_name\n"
    assert list(target.iterdir()) == [] if name == "made_of" else target.read_text() == "mine"


def test_a_full_disk_stops_nothing(site: Path) -> None:
    (site.parent / "run").rmdir()
    assert look(site) == "nothing_of_that_name\n"


def test_the_nodes_python_may_be_old() -> None:
    tree = ast.parse(Path(node_versions.__file__).read_text(), feature_version=(3, 8))
    imported = {
        (alias.name if isinstance(node, ast.Import) else str(node.module)).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
