"""A difference that git made, taken apart and applied: compared with what git itself does."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from prl_submit.made_of.hunks import applied, new_text, old_text, parts_of
from prl_submit.made_of.new_files import as_difference, quoted, size_in_words

NAMES = ("plain.py", "a b.py", "雨.txt", 'q"uo.txt', "tab\t.txt", "back\\slash", "b/a/b/x")


def git(folder: Path, *words: str) -> str:
    """What git says, with names as prl-submit asks for them."""
    settings = ["-c", "core.quotePath=false", "-c", "user.name=a", "-c", "user.email=b@c"]
    done = subprocess.run(
        ["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


def some_lines(rng: random.Random) -> list[str]:
    return [rng.choice(["x = 1", "", "y", "--- a", "+++ b", "@@ -1 +1 @@", "é"]) for _ in range(40)]


@pytest.mark.parametrize("seed", range(8))
def test_a_difference_of_git_makes_the_new_content(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    git(tmp_path, "init", "--quiet")
    (tmp_path / "b/a/b").mkdir(parents=True)
    old, new = {}, {}
    for name in NAMES:
        lines = some_lines(rng)
        old[name] = "\n".join(lines) + "\n"
        (tmp_path / name).write_text(old[name], encoding="utf-8")
        for _ in range(rng.randrange(1, 6)):
            place = rng.randrange(len(lines))
            lines[place : place + rng.randrange(3)] = some_lines(rng)[: rng.randrange(4)]
        new[name] = "\n".join([*lines, f"# {name!r}"]) + "\n"
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "x")
    for name, text in new.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    parts = parts_of(git(tmp_path, "diff", "--no-color", "HEAD"))
    assert set(parts) == set(NAMES)
    for name, part in parts.items():
        assert applied(old[name], part.hunks) == new[name]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "one\n", "one\ntwo\n", "no end", "\n"])
def test_a_new_file_as_git_shows_it(tmp_path: Path, name: str, text: str) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8")
    git(tmp_path, "add", "--intent-to-add", "--all")
    theirs = git(tmp_path, "diff", "--no-color")
    lines = [line for line in theirs.split("\n") if not line.startswith("index ")]
    ours = as_difference(name, text.encode("utf-8"), 0o100644)
    assert ours is not None
    # git ends a name that has a space with a tab.
    assert ours.split("\n") == [line.removesuffix("\t") for line in lines]
    (part,) = parts_of(ours).values()
    assert (part.path, part.is_new) == (name, True)
    assert applied("", part.hunks) in (text, f"{text}\n")


def test_parts() -> None:
    text = (
        "diff --git a/x b/x\ndeleted file mode 100644\nindex 1..0\n"
        "diff --git a/y.bin b/y.bin\nindex 1..2\nBinary files a/y.bin and b/y.bin differ\n"
        "diff --git a/z b/z\nold mode 100644\nnew mode 100755\n"
        "diff --git a/c b/c\nindex 1..2\n--- a/c\n+++ b/c\n@@ -2,2 +2,2 @@ def f():\n same\n-old\n+new\n"
    )
    parts = parts_of(text)
    assert [(p.path, p.is_removed, p.is_whole, len(p.hunks)) for p in parts.values()] == [
        ("x", True, True, 0),
        ("y.bin", False, False, 0),
        ("z", False, True, 0),
        ("c", False, True, 1),
    ]
    assert (old_text(parts["c"]), new_text(parts["c"])) == ("same\nold", "same\nnew")
    assert applied("first\nsame\nold\nlast", parts["c"].hunks) == "first\nsame\nnew\nlast"
    assert applied("short", parts["c"].hunks) is None


@pytest.mark.parametrize(
    "text", ["", "x", "diff --git ", "diff --git a/x b/x\n@@ -1 +1 @@", "\n\n"]
)
def test_damaged_texts(text: str) -> None:
    parts_of(text)


def test_names_and_sizes() -> None:
    assert quoted("a\x01\x7f") == '"a\\001\\177"'
    sizes = [0, 999, 1000, 9_960, 999_400, 999_600, 40_000_000_000, 5e12, 5e15]
    assert [size_in_words(size) for size in sizes] == [
        "0 bytes", "999 bytes", "1.0 kB", "10 kB", "999 kB", "1.0 MB", "40 GB", "5.0 TB", "5000 TB",
    ]  # fmt: skip
