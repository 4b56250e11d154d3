"""What shfmt's parser makes of scripts: every character keeps its place, and what it cannot read is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prl_submit.errors import PrlSubmitError
from prl_submit.importing.bash.arithmetic import compute
from prl_submit.importing.bash.scope import UnknownError
from prl_submit.importing.bash.statements import read_script


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_every_character_keeps_its_place(text: str) -> None:
    """Offsets count bytes, and characters have one to four of them."""
    quoted = "'" + text.replace("'", "") + "'"
    (statement,), problems = read_script(f"swift {quoted} --x".encode(), "x.sh")
    assert problems == []
    assert statement.command is not None
    assert [word.text for word in statement.command.words] == ["swift", quoted, "--x"]


@pytest.mark.parametrize("text", ["雨", "🌧", "ｅ", "，", "é", "a雨b", "雨/影.jsonl", "雨=1"])
def test_words_are_read_from_the_script_itself(text: str) -> None:
    (statement,), problems = read_script(f"swift {text} --x".encode(), "x.sh")
    assert problems == []
    assert statement.command is not None
    assert [word.text for word in statement.command.words] == ["swift", text, "--x"]


@pytest.mark.parametrize("text", ["cat <<A\nB\n", "cat <<雨\n夜\n", "cat <<'é'\né.\n"])
def test_a_here_document_without_an_end(text: str) -> None:
    _, problems = read_script(f"x\n{text}swift rlhf".encode(), "x.sh")
    assert [(problem.line, problem.message[:47]) for problem in problems] == [
        (2, "bash cannot read this: unclosed here-document `")
    ]


def test_a_here_document_with_an_end_of_any_letters() -> None:
    (first, second), problems = read_script("cat <<雨\n夜\n雨\nx".encode(), "x.sh")
    assert problems == []
    assert first.redirects[0].body == "夜\n"
    assert second.text == "x"


@pytest.mark.parametrize(
    "text", ["x \\\n # a \\\n y", "# a \\\ny", "x # a \\\n\ny", "if x; then # a\\\n y\nfi"]
)
def test_a_comment_ends_with_its_line(text: str) -> None:
    r"""shfmt goes on in the next line, where a comment ends in `\`; bash does not."""
    statements, problems = read_script(text.encode(), "x.sh")
    assert problems == []
    last = statements[-1].branches[0].body[0] if statements[-1].branches else statements[-1]
    assert last.command is not None
    assert [word.text for word in last.command.words] == ["y"]


def test_what_looks_like_a_comment_in_quotes_is_text() -> None:
    (statement,), _ = read_script(b"x 'a\n# b \\\nc'", "x.sh")
    assert statement.text == "x 'a\n# b \\\nc'"


def test_the_last_backslash_of_a_file_is_dropped() -> None:
    (statement,), problems = read_script(b"swift a\\", "x.sh")
    assert problems == []
    assert statement.command is not None
    assert [word.literal for word in statement.command.words] == ["swift", "a"]


@pytest.mark.parametrize("text", ["1 +", "1 2", "a)"])
def test_what_is_no_arithmetic(text: str) -> None:
    with pytest.raises(UnknownError, match="is not an expression"):
        compute(text)


def test_shfmt_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("sys.argv", [str(tmp_path / "prl-submit")])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrlSubmitError, match="is missing"):
        read_script(b"x", "x.sh")


def test_a_shfmt_that_prints_another_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before 3.14, shfmt printed numbers for operators."""
    program = tmp_path / "shfmt"
    program.write_text(
        '#!/bin/sh\necho \'{"Type": "File", "Stmts": [{"Redirs": [{"Op": 54}]}]}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(PrlSubmitError, match="another syntax tree"):
        read_script(b"x", "x.sh")
