"""What differs between two runs: code with real git, data and versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prl_submit.made_of.code_versions import CodeOrigin
from prl_submit.made_of.difference_text import code_lines, data_lines
from prl_submit.made_of.differences import MadeOfDifference, made_of_difference
from prl_submit.made_of.recorded import read_kept, read_made_of
from prl_submit.system import shell
from tests.unit.made_of.conftest import Repository


def compared(
    repository: Repository, one: str = "v1", other: str = "v2", **plan: Any
) -> MadeOfDifference:
    """The difference of two runs of the repository. `plan`: what plan.json says of both."""
    output = repository.root / "output"
    runs = [CodeOrigin(name, read_made_of(output / name), **plan) for name in (one, other)]
    return made_of_difference(runs[0], runs[1], shell.run, repository.environ)


def lines_of(found: MadeOfDifference) -> list[str]:
    """All lines of the files that differ, without those around them and the names."""
    files = [*found.code.named, *found.code.repository]
    lines = [line for file in files for line in file.lines[2:]]
    return [line for line in lines if line[:1] in "+-"]


@pytest.fixture
def two(repository: Repository) -> Repository:
    """Run v1, then changes that are committed and others that are not, then run v2."""
    repository.write(plugin="x = 1\nuncommitted = 1\n", **{"helper.py": "h = 1\nlast\n"})
    repository.commit()
    repository.write(plugin="x = 2\n", **{"helper.py": "h = 2\nlast\n"})
    repository.record("v1")
    repository.commit()
    repository.write(**{"helper.py": "h = 3\nlast\n", "new.py": "n = 1\n"})
    repository.record("v2")
    return repository


def test_runs_of_two_commits(two: Repository) -> None:
    """The change that was committed between the runs is none: v1 had it in its working tree."""
    found = compared(two)
    assert found.code.commits[0] != found.code.commits[1]
    assert [line.partition(" ")[2] for line in found.code.new_commits] == ["a commit"]
    assert found.code.lost_commits == []
    assert found.code.named == []
    assert lines_of(found) == ["-h = 2", "+h = 3", "+n = 1"]
    back = compared(two, "v2", "v1")
    assert lines_of(back) == ["-h = 3", "+h = 2", "-n = 1"]
    assert back.code.new_commits == []
    assert len(back.code.lost_commits) == 1


def test_runs_of_two_commits_without_the_repository(two: Repository) -> None:
    (two.root / ".git").rename(two.root / ".gone")
    found = compared(two)
    assert [(file.path, file.why) for file in found.code.repository] == [
        ("helper.py", "changed in v1"),
        ("plugin.py", "changed in v1"),
        ("helper.py", "changed in v2"),
        ("new.py", "changed in v2"),
    ]
    assert "no repository here has both commits" in found.code.notes[0]


@pytest.mark.parametrize("has_repository", [True, False])
def test_runs_of_one_commit(repository: Repository, has_repository: bool) -> None:
    text = "".join(f"line {n}\n" for n in range(30))
    repository.write(**{"lib.py": text, "same.py": "s\n"})
    repository.commit()
    repository.write(**{"same.py": "s\ns\n", "lib.py": text.replace("line 3\n", "three\n")})
    repository.record("v1")
    changed = text.replace("line 3\n", "three\n").replace("line 20\n", "twenty\n")
    repository.write(plugin="x = 3\n", **{"lib.py": changed, "untracked": "u\n"})
    repository.record("v2")
    if not has_repository:
        (repository.root / ".git").rename(repository.root / ".gone")
    found = compared(repository)
    assert (found.code.commits[0], found.code.new_commits) == (found.code.commits[1], [])
    assert [file.path for file in found.code.named] == ["plugin.py"]
    assert [file.path for file in found.code.repository] == ["lib.py", "untracked"]
    lines = lines_of(found)
    assert {"-x = 1", "+x = 3", "+twenty", "+u"} <= set(lines)
    assert "+three" not in lines
    assert "-line 3" not in lines


def test_a_file_that_was_removed_or_is_binary(repository: Repository) -> None:
    repository.write(**{"gone.py": "g\n", "bin": "a\0b"})
    repository.commit()
    repository.record("v1")
    (repository.root / "gone.py").unlink()
    repository.write(bin="b\0c")
    repository.record("v2")
    gone, binary = sorted(
        compared(repository).code.repository, key=lambda file: file.path != "gone.py"
    )
    assert (gone.lines[1], gone.removed) == ("+++ /dev/null", 1)
    assert binary.why == "binary, large, or not kept"


def test_credentials_of_the_repository_are_not_shown(repository: Repository) -> None:
    repository.write(**{".env": "A=1\n", "k.py": "TOKEN = 'abcdef1'\n"})
    repository.commit()
    repository.record("v1")
    repository.write(**{".env": "A=2\n", "k.py": "TOKEN = 'ghijkl2'\nx = 1\n"})
    repository.commit()
    repository.record("v2")
    found = compared(repository)
    assert lines_of(found) == ["+x = 1"]
    why = {file.path: file.why for file in found.code.repository}
    assert why[".env"] == "its name is that of a file with credentials"


def test_only_a_credential_differs(repository: Repository) -> None:
    for run, token in (("v1", "abcdefgh1"), ("v2", "ijklmnop2")):
        repository.write(plugin=f"TOKEN = '{token}'\n")
        repository.record(run)
    (file,) = compared(repository).code.named
    assert file.why == "only in what was left out as a credential"


def test_a_run_of_an_older_version(repository: Repository) -> None:
    """It has only the commit that plan.json names."""
    first = repository.git("rev-parse", "HEAD").strip()
    repository.write(plugin="x = 5\n")
    repository.commit()
    repository.record("v2")
    output = repository.root / "output"
    (output / "v1").mkdir()
    for is_clean, notes in ((True, 0), (False, 1)):
        old = CodeOrigin("v1", read_made_of(output / "v1"), str(repository.root), first, is_clean)
        new = CodeOrigin("v2", read_made_of(output / "v2"))
        found = made_of_difference(old, new, shell.run, repository.environ)
        assert "v1 has no record of its code and data" in found.notes
        assert [file.path for file in found.code.named] == ["plugin.py"]
        assert len(found.code.notes) == notes


def test_runs_without_any_record(tmp_path: Path, repository: Repository) -> None:
    run = CodeOrigin("v1", read_made_of(tmp_path))
    found = made_of_difference(run, run, shell.run, repository.environ)
    assert (found.code.commits, found.code.named, found.data, found.versions) == (
        [None, None],
        [],
        [],
        {},
    )
    assert list(code_lines(found.code, stat=False)) == []


# --- data, versions, damage -------------------------------------------------------------------------


def test_data(repository: Repository) -> None:
    repository.record("v1")
    repository.write(data='{"a": 1}\n')
    repository.record("v2")
    found = compared(repository)
    (line,) = [line.text for line in data_lines(found.data) if line.kind == "plain"]
    assert line.startswith("  swift.dataset data.jsonl: rows 2 -> 1, 18 bytes -> 9 bytes, sha256 ")
    (file,) = found.code.repository
    assert (file.lines, file.why) == ([], "data, see below")


def test_data_that_was_not_hashed(repository: Repository) -> None:
    repository.record("v1")
    repository.record("v2")
    path = repository.root / "output/v2/made_of/data.json"
    document = json.loads(path.read_text())
    document["items"][0] |= {"sha256": None, "rows": None, "why": "not hashed: 40 GB"}
    path.write_text(json.dumps(document))
    assert compared(repository).data == []
    document["items"][0] |= {"size": 40_000_000_000}
    path.write_text(json.dumps(document))
    (line,) = [line.text for line in data_lines(compared(repository).data) if line.kind == "plain"]
    assert line.endswith("18 bytes -> 40 GB, content not compared (not hashed: 40 GB)")


def test_versions(repository: Repository) -> None:
    packages = {"v1": "2.13.0", "v2": "2.14.0"}
    for run, torch in packages.items():
        folder = repository.record(run)
        facts = {
            "python": "3.11",
            "packages": {"torch": torch, "trl": "0.29"},
            "gpus": ["H200"] * 8,
        }
        (folder / "versions.json").write_text(json.dumps(facts))
        other = {**facts, "packages": {"torch": "2.12.0", "trl": "0.29"}}
        (folder / "versions.node1.json").write_text(json.dumps(other))
    found = compared(repository)
    assert found.versions == {"torch": ["2.13.0", "2.14.0"]}
    assert "v2: node 1 has torch 2.12.0, unlike node 0" in found.notes


def test_a_record_of_somebody_else(repository: Repository, tmp_path: Path) -> None:
    """Links are not followed, a commit is no option of git, and damaged files are unknown."""
    folder = repository.record("v1")
    repository.record("v2")
    (tmp_path / "private").write_text("private")
    (folder / "plugin.py").unlink()
    (folder / "plugin.py").symlink_to(tmp_path / "private")
    document = json.loads((folder / "code.json").read_text())
    document |= {"commit": f"--output={tmp_path}/written", "diff": "../../../../private"}
    document["files"][0]["sha256"] = "0"
    (folder / "code.json").write_text(json.dumps(document))
    (folder / "data.json").write_text("[" * 100_000)
    (folder / "versions.json").symlink_to(tmp_path / "private")
    found = compared(repository)
    assert "private" not in repr(found)
    assert found.code.commits[0] is None
    assert not (tmp_path / "written").exists()
    assert read_made_of(repository.root / "output/v1").data is None
    for name in ("../code.json", "/etc/passwd", "plugin.py"):
        assert read_kept(folder, name) is None


def test_a_link_in_place_of_the_record(repository: Repository, tmp_path: Path) -> None:
    repository.record("v1").rename(tmp_path / "moved")
    (repository.root / "output/v1/made_of").symlink_to(tmp_path / "moved")
    assert read_made_of(repository.root / "output/v1").folder is None
