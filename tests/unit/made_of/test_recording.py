"""What a run directory keeps of code and data: with real git."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from prl_submit.made_of import recording
from prl_submit.made_of.recorded import newest_record
from prl_submit.made_of.recording import record_made_of
from prl_submit.runs.plan_file import git_state
from prl_submit.system import shell
from prl_submit.system.reading import decode_json
from prl_submit.system.shell import Answer
from tests.unit.made_of.conftest import SPEC, Repository


def left_out(code: dict[str, object]) -> dict[str, str]:
    """Path -> why."""
    items: list[dict[str, str]] = code["left_out"]  # type: ignore[assignment]
    return {item["path"]: item["why"] for item in items}


def test_nothing_has_changed(repository: Repository) -> None:
    code = repository.code()
    assert code["commit"] == repository.git("rev-parse", "HEAD").strip()
    assert (code["diff"], code["fault"], code["left_out"]) == (None, None, [])
    assert code["repository"] == str(repository.root)


def test_the_difference_makes_the_working_tree_again(
    repository: Repository, tmp_path: Path
) -> None:
    """git itself applies it to a clone of the commit."""
    repository.write(plugin="x = 2\n", **{"new é.py": "y = '雨'\n", 'odd "\t\\name': "no end"})
    (repository.root / "folder").mkdir()
    script = repository.root / "folder" / "run.sh"
    script.write_text("echo\n")
    script.chmod(0o755)
    (repository.root / "data.jsonl").unlink()
    code = repository.code()
    repository.git("clone", "--quiet", str(repository.root), str(tmp_path / "clone"))
    patch = repository.root / "output/v1/made_of/workdir.diff"
    # Of a removed file only the name is kept, which git cannot apply.
    kept = code["text"].replace(code["text"][: code["text"].index("diff --git a/plugin")], "", 1)
    patch.write_text(kept, encoding="utf-8")
    subprocess.run(["git", "apply", patch], cwd=tmp_path / "clone", check=True)
    for name in ("plugin.py", "new é.py", 'odd "\t\\name', "folder/run.sh"):
        old, new = repository.root / name, tmp_path / "clone" / name
        assert old.read_bytes() == new.read_bytes()
        assert old.stat().st_mode & 0o100 == new.stat().st_mode & 0o100
    assert "deleted file mode" in code["text"]


def test_from_a_folder_inside_the_repository(repository: Repository) -> None:
    """The difference is that of the whole repository, without the run directories."""
    repository.write(plugin="x = 2\n")
    (repository.root / "sub").mkdir()
    (repository.root / "output/v0").mkdir(parents=True)
    (repository.root / "output/v0/note.txt").write_text("of another run")
    (repository.root / "output2.txt").write_text("mine\n")
    plan = repository.plan()
    folder = repository.root / "output" / "v1"
    folder.mkdir()
    inside = replace(plan, workdir=str(repository.root / "sub"))
    assert record_made_of([(folder, inside)], shell.run, repository.environ) == []
    text = (folder / "made_of/workdir.diff").read_text()
    assert "+x = 2" in text
    assert "+mine" in text
    assert "of another run" not in text


def test_credentials_are_left_out(repository: Repository) -> None:
    repository.write(
        plugin="TOKEN = 'hf_abcdefghijklmnop'\nmine = 'sesame42'\n",
        **{".env": "A=hidden", "key.pem": "hidden", "run.sh": "export WANDB_API_KEY=0123abcd\n"},
    )
    repository.write(other="HF_TOKEN is in the environment: zyxwvut9\n")
    spec = f"{SPEC}\nenvironment:\n  secrets: [MINE]\n"
    folder = repository.record(environ={"MINE": "sesame42", "HF_TOKEN": "zyxwvut9"}, spec=spec)
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert "plugin.py" in {str(path.relative_to(folder)) for path in kept}
    for path in kept:
        text = path.read_text()
        for secret in ("hf_abc", "sesame42", "hidden", "0123abcd", "zyxwvut9"):
            assert secret not in text, path
    code = decode_json((folder / "code.json").read_bytes())
    assert left_out(code).keys() == {".env", "key.pem"}
    assert code["masked"] == 4
    assert code["files"][0]["masked"] == 2
    original = (repository.root / "plugin.py").read_bytes()
    assert code["files"][0]["sha256"] == hashlib.sha256(original).hexdigest()


def test_what_is_too_large_or_binary(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prl_submit.made_of.working_tree.MAX_FILES", 2)
    repository.write(data="{}      \n" * 100_000)
    repository.write(a="small\n", b="small\n", c="small\n")
    repository.write(**{"0large": "y\n" * 200_000, "0bin": "a\0b"})
    code = repository.code()
    why = left_out(code)
    assert why["data.jsonl"] == "large: 900 kB"
    assert why["0large"] == "large: 400 kB"
    assert why["0bin"] == "binary"
    assert why["c"] == "more files differ than are kept"
    assert "+small" in code["text"]
    assert len(code["text"]) < 10_000


def test_a_difference_that_is_too_long(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prl_submit.made_of.working_tree.MAX_DIFFERENCE", 200)
    repository.write(plugin="".join(f"x = {n}\n" for n in range(100)))
    code = repository.code()
    assert len(code["text"]) <= 200
    assert code["text"].endswith("\n")
    (why,) = left_out(code).values()
    assert "is cut here" in why


PROGRAMS = [
    ("core.fsmonitor", ""),
    ("diff.external", ""),
    ("diff.mine.command", "plugin.py diff=mine"),
    ("diff.mine.textconv", "plugin.py diff=mine"),
    ("filter.mine.clean", "plugin.py filter=mine"),
    ("filter.mine.process", "plugin.py filter=mine"),
    ("filter.a b.c.clean", "plugin.py filter=a\\ b.c"),
]


@pytest.mark.parametrize(("setting", "attributes"), PROGRAMS)
def test_no_program_of_the_repository_is_run(
    repository: Repository, tmp_path: Path, setting: str, attributes: str
) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    repository.write(plugin="x = 2\n", **{".gitattributes": f"{attributes}\n"})
    repository.git("config", setting, str(program))
    code = repository.code()
    assert not ran.exists()
    assert "+x = 2" in code["text"]
    state = git_state(str(repository.root), shell.run, repository.environ)
    assert state is not None
    assert state.dirty
    assert not ran.exists()


def test_the_users_own_filter_is_run(repository: Repository) -> None:
    """Else each file of git-lfs would seem to have changed."""
    repository.write(**{".gitattributes": "big filter=upper\n"})
    home = repository.root.parent / "home" / ".gitconfig"
    home.write_text('[filter "upper"]\n\tclean = tr a-z A-Z\n')
    repository.write(big="content\n")
    repository.commit()
    os.utime(repository.root / "big", (1, 1))  # git compares the content again
    assert repository.code()["diff"] is None


def test_a_submodule(repository: Repository, tmp_path: Path) -> None:
    """Its commit is compared; git is not started in it, where its configuration would count."""
    other = tmp_path / "other"
    repository.git("clone", "--quiet", str(repository.root), str(other))
    repository.git("submodule", "--quiet", "add", str(other), "sub")
    repository.commit()
    inside = repository.root / "sub"
    ran = tmp_path / "ran"
    subprocess.run(["git", "config", "core.fsmonitor", f"touch {ran}"], cwd=inside, check=True)
    (inside / "plugin.py").write_text("changed\n")
    assert repository.code()["diff"] is None
    assert not ran.exists()
    words = ["git", "-c", "user.name=a", "-c", "user.email=b@c", "commit", "-qam", "x"]
    subprocess.run([*words, "--no-verify"], cwd=inside, check=True, env=repository.environ)
    ran.unlink(missing_ok=True)
    assert "+Subproject commit" in repository.code()["text"]
    assert not ran.exists()


def test_variables_that_name_another_repository(repository: Repository, tmp_path: Path) -> None:
    repository.write(plugin="x = 2\n")
    other = {
        "GIT_DIR": str(tmp_path / "nowhere"),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_EXTERNAL_DIFF": "false",
        "GIT_TRACE": str(tmp_path / "trace"),
    }
    assert "+x = 2" in repository.code(environ=other)["text"]
    assert not (tmp_path / "trace").exists()


def test_settings_of_the_user_do_not_change_the_form(repository: Repository) -> None:
    (repository.root.parent / "home" / ".gitconfig").write_text(
        "[diff]\n\tnoprefix = true\n\tcontext = 9\n\trenames = copies\n[color]\n\tui = always\n"
    )
    repository.write(plugin="x = 2\n")
    text = repository.code()["text"]
    assert "--- a/plugin.py\n+++ b/plugin.py\n" in text
    assert "\x1b" not in text


def test_a_lock_of_git(repository: Repository) -> None:
    (repository.root / ".git/index.lock").write_text("")
    repository.write(plugin="x = 2\n")
    assert "+x = 2" in repository.code()["text"]


def test_a_repository_without_a_commit(tmp_path: Path, repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--orphan", "fresh")
    code = repository.code()
    assert code["commit"] is None
    assert "+x = 1" in code["text"]


def test_no_repository(repository: Repository) -> None:
    (repository.root / ".git").rename(repository.root.parent / "gone")
    code = repository.code()
    assert code["fault"] == "the working directory is in no git repository"
    assert (repository.root / "output/v1/made_of/plugin.py").read_text() == "x = 1\n"


def test_a_repository_of_another_user(repository: Repository) -> None:
    def as_another_user(argv: Sequence[str], **options: Any) -> Answer:
        owner = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
        return shell.run(argv, **{**options, "environ": {**options["environ"], **owner}})

    fault = repository.code(run_program=as_another_user)["fault"]
    assert fault.startswith("another user owns the repository; git config --global --add")


def test_a_repository_of_a_home_directory(repository: Repository) -> None:
    """Only the new files of the working directory are a part of the job."""
    inside = repository.root / "project"
    inside.mkdir()
    (inside / "mine.py").write_text("mine\n")
    (inside / "output").mkdir()
    (inside / "output/of_a_run").write_text("of a run\n")
    repository.write(plugin="x = 2\n", **{"letter.txt": "private\n"})
    folder = repository.root / "output" / "v1"
    folder.mkdir(parents=True)

    def text(workdir: Path, **environ: str) -> str:
        plan = replace(repository.plan(), workdir=str(workdir), output_root=f"{workdir}/output")
        assert record_made_of([(folder, plan)], shell.run, repository.environ | environ) == []
        return (folder / "made_of/workdir.diff").read_text()

    assert "+private" in text(repository.root)
    for home in (str(repository.root), "/nowhere"):
        kept = text(inside, HOME=home)
        assert "of a run" not in kept
        assert ("+x = 2" in kept, "b/project/mine.py" in kept) == (True, True)
        assert ("+private" in kept) == (home == "/nowhere")
    assert "+private" not in text(repository.root, HOME=str(repository.root))
    repository.git("config", "status.showUntrackedFiles", "no")
    assert "+private" not in text(inside)


def test_git_is_missing(repository: Repository, tmp_path: Path) -> None:
    assert repository.code(environ={"PATH": str(tmp_path)})["fault"] == "git is not installed"


def test_git_that_hangs(repository: Repository, tmp_path: Path) -> None:
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nexec sleep 60\n")
    fake.chmod(0o755)

    def impatient(argv: Sequence[str], **options: Any) -> Answer:
        return shell.run(argv, **{**options, "timeout": 0.3})

    began = time.monotonic()
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    fault = repository.code(environ=path, run_program=impatient)["fault"]
    assert fault == "git did not answer in time"
    assert time.monotonic() - began < 10


def test_a_link_among_the_new_files_is_not_followed(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("private\n")
    (repository.root / "link").symlink_to(tmp_path / "private")
    code = repository.code()
    assert "private\n" not in code["text"]
    assert "is a symbolic link" in left_out(code)["link"]


# --- data -----------------------------------------------------------------------------------------


def data_of(repository: Repository, entries: str) -> list[dict[str, object]]:
    spec = SPEC.replace("[data.jsonl]", entries)
    found: list[dict[str, object]] = decode_json(
        (repository.record(spec=spec) / "data.json").read_bytes()
    )["items"]
    return found


def test_data(repository: Repository) -> None:
    folder = repository.root / "folder"
    folder.mkdir()
    for name in ("a.jsonl", "b.jsonl", ".hidden"):
        (folder / name).write_text("{}\n")
    repository.write(
        **{"rows.csv": 'a\n"1\n2"\n3\n', "list.json": "[{}, {}, {}]", "blank.jsonl": "{}\n \n\n{}"}
    )
    entries = "[data.jsonl#100, ./folder, org/name, rows.csv, list.json, blank.jsonl, ./none.jsonl]"
    items = data_of(repository, entries)
    assert [item["rows"] for item in items] == [2, None, None, 2, 3, 2, None]
    first, second, hub, *_, missing = items
    content = (repository.root / "data.jsonl").read_bytes()
    assert first["sha256"] == hashlib.sha256(content).hexdigest()
    assert (first["entry"], first["size"]) == ("data.jsonl#100", len(content))
    assert (second["files"], second["size"]) == (2, 6)
    assert (hub["path"], hub["why"]) == (None, "a name on a hub")
    assert missing["why"] == "No such file or directory"
    (folder / "b.jsonl").write_text("[]\n")
    assert data_of(repository, entries)[1]["sha256"] != second["sha256"]


def test_data_that_is_too_large_is_not_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (repository.root / "data.jsonl").open("wb") as file:
        file.truncate(40_000_000_000)
    began = time.monotonic()
    (item,) = data_of(repository, "[data.jsonl]")
    assert (item["why"], item["sha256"], item["rows"]) == ("not hashed: 40 GB", None, None)
    assert item["size"] == 40_000_000_000
    monkeypatch.setattr("prl_submit.made_of.data_files.MAX_BYTES", 1 << 50)
    (item,) = data_of(repository, "[data.jsonl]")
    assert item["why"] == "not hashed: 40 GB; the data took more than 2 s"
    assert time.monotonic() - began < 10


# --- several runs, and resumes ----------------------------------------------------------------------


def test_runs_of_one_submission_share_their_files(repository: Repository) -> None:
    repository.write(plugin="x = 2\n", **{"other.jsonl": "{}\n"})
    runs = []
    for number in range(1, 4):
        spec = SPEC.replace("data.jsonl", "other.jsonl") if number == 3 else SPEC
        spec += f"  learning_rate: {number}e-6\n"
        folder = repository.root / f"output/v{number}"
        folder.mkdir(parents=True)
        runs.append((folder, repository.plan(f"v{number}", spec)))
    assert record_made_of(runs, shell.run, repository.environ) == []
    first, second, third = (folder / "made_of" for folder, _ in runs)
    for name in ("workdir.diff", "code.json", "data.json", "plugin.py"):
        assert (first / name).samefile(second / name)
        assert (third / name).exists()
    assert not (first / "data.json").samefile(third / "data.json")
    assert b"other.jsonl" in (third / "data.json").read_bytes()


def test_a_resume_is_recorded_if_something_has_changed(repository: Repository) -> None:
    repository.record()
    run = repository.root / "output/v1"
    plan = repository.plan()

    def resume(restarts: int) -> str:
        done = record_made_of([(run, plan)], shell.run, repository.environ, restarts=restarts)
        assert done == []
        folder = newest_record(run)
        assert folder is not None
        return folder.name

    assert resume(1) == "made_of"
    repository.write(plugin="x = 2\n")
    assert resume(2) == "restart-2"
    assert resume(3) == "restart-2"
    assert (run / "made_of/plugin.py").read_text() == "x = 1\n"
    assert (run / "made_of/restart-2/plugin.py").read_text() == "x = 2\n"


def test_a_fault_is_told_and_nothing_is_raised(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = repository.root / "output/v1"
    run.mkdir(parents=True)
    (run / "made_of").symlink_to(tmp_path)
    (fault,) = record_made_of([(run, repository.plan())], shell.run, repository.environ)
    assert fault.endswith("is a symbolic link, through which nothing is written")
    assert not (tmp_path / "code.json").exists()

    def full(*words: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording, "write_inside", full)
    (run / "made_of").unlink()
    (fault,) = record_made_of([(run, repository.plan())], shell.run, repository.environ)
    assert fault == "what the run is made of was not kept in made_of/: No space left on device"


def test_a_working_directory_on_another_machine(repository: Repository) -> None:
    run = repository.root / "output/v1"
    run.mkdir(parents=True)
    plan = replace(repository.plan(), workdir="/not/here")
    assert record_made_of([(run, plan)], shell.run, repository.environ) == []
    code = decode_json((run / "made_of/code.json").read_bytes())
    assert code["fault"] == "the working directory is not on this machine"
