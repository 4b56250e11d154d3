"""docs/platforms.md and its Chinese translation against the program: commands, variables, messages."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from prl_submit.launch.platforms import platform_rows

ROOT = Path(__file__).parents[2]
PAGES = ["platforms.md", "platforms.zh.md"]
#: What stands for a value in a message of the pages.
_VALUES = re.compile(
    r"\(?\b[A-Z_]+=[\w.:]+\)?|\b(?:job-master-0|node-\d)(?::\d+)?|\b\d+m?\b|MY_NODES|\bHOST\b|\bRANK\b|/shared\S*|…|[()`]"
)


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def seed_commands(page: str) -> list[str]:
    """The commands for 1, 2 and 4 GPUs, each prepared and pasted."""
    return [line for line in text_of(page).splitlines() if "PRL_CUDA_VISIBLE_DEVICES=" in line]


@pytest.mark.parametrize("line", seed_commands("platforms.md"), ids=lambda line: line[-140:][:40])
def test_the_commands_with_variables_are_right(line: str, tmp_path: Path) -> None:
    """`check` and `render` take each of them, in the repository's folder."""
    words = shlex.split(line.rpartition("&& ")[2])
    given = dict(word.split("=", 1) for word in words if re.match(r"PRL_\w+=", word))
    program, *rest = words[len(given) :]
    assert program.endswith("prl-submit")
    processes = int(given["PRL_NPROC_PER_NODE"])
    for command in ("check", "render"):
        done = subprocess.run(
            [sys.executable, "-m", "prl_submit", command, *rest],
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(tmp_path)),
                **given,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if command == "check":
            assert f"mr-4gpu, platform, {processes} GPU" in done.stderr + done.stdout
        else:
            assert f"\nprl_nproc_per_node={processes} " in done.stdout
            assert f"\n  --num_generations {given['PRL_NUM_GENERATIONS']}\n" in done.stdout
            assert f"CUDA_VISIBLE_DEVICES={given['PRL_CUDA_VISIBLE_DEVICES']}\n" in done.stdout
            assert "\n  --vllm_mode colocate\n" in done.stdout


def test_there_is_a_command_for_each_number_of_gpus_in_both_ways() -> None:
    lines = seed_commands("platforms.md")
    counts = [re.findall(r"PRL_NPROC_PER_NODE=(\d)", line)[0] for line in lines]
    assert counts == ["1", "2", "4"] * 2
    assert [line.startswith("cd ") for line in lines] == [False] * 3 + [True] * 3


def test_both_languages_say_the_same() -> None:
    """The same sections, code, tables and messages."""
    english, chinese = map(text_of, PAGES)
    for pattern in (r"(?ms)^```.*?^```$", r"(?m)^#+ ", r"(?m)^\| (`+[^|]*`+) \|", r"(?m)^\|"):
        assert re.findall(pattern, english) == re.findall(pattern, chinese), pattern
    for page in PAGES:
        assert set(re.findall(r"`([A-Z]+_[A-Z_]+)`", text_of(page))) == set(
            re.findall(r"`([A-Z]+_[A-Z_]+)`", english)
        )


@pytest.mark.parametrize("page", PAGES)
def test_the_table_of_variables_is_the_one_that_launch_reads(page: str) -> None:
    rows = [line for line in text_of(page).splitlines() if line.startswith("| ")]
    written = [re.findall(r"`([^`]+)`", row) for row in rows]
    for row in platform_rows():
        names = [name for cell in row.cells for name in cell]
        assert names in written, row.name


def said_by_the_program() -> str:
    """The source of everything that may print a message; texts of several lines are joined."""
    sources = [*(ROOT / "templates").glob("*.sh"), *(ROOT / "prl_submit").rglob("*.py")]
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(sources))
    return re.sub(r'"\s*\n\s*f?"', "", source).replace("\\`", "`")


def test_each_message_is_one_of_the_programs() -> None:
    section = text_of("platforms.md").partition("## Messages")[2].partition("\n## ")[0]
    messages = re.findall(r"(?m)^\| `+([^|]*?)`+ \|", section)
    assert len(messages) >= 20
    source = said_by_the_program()
    for message in messages:
        pieces = [piece.strip(" ,;:=") for piece in _VALUES.split(message)]
        known = [piece for piece in pieces if len(piece) >= 5]
        assert known, message
        assert [piece for piece in known if piece not in source] == [], message
