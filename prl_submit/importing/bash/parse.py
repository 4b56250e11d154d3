"""The bytes of a script -> its syntax tree, by shfmt's parser (from the wheel shfmt-py)."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from prl_submit.errors import PrlSubmitError, Problem
from prl_submit.importing.bash.syntax import (
    ArithmCmd,
    ArithmeticNode,
    CallExpr,
    CmdSubst,
    DblQuoted,
    File,
    Lit,
    Node,
    Redirect,
    Stmt,
    Tree,
    children,
    walk,
)
from prl_submit.system.shell import run

MAX_BYTES = 1_000_000
#: How deep nodes may be nested: Python allows about 1,000 calls in calls.
MAX_DEPTH = 160
#: 20,000 plain lines are 17 MB of JSON. Of deeply nested text, shfmt would print gigabytes.
MAX_JSON = 60_000_000
_TIMEOUT = 60.0
_TOO_DEEP = "is too long or nested too deep to be read"
#: `head` ends shfmt when shfmt prints too much.
_COMMAND = f'"$0" -ln bash --to-json | head -c {MAX_JSON}'
#: `<your_path>`, which only looks like one word: bash takes it for two redirections.
_PLACEHOLDER = re.compile(r"(?<![<\d&$])<[^\W\d](?:[\w ./-]*\w)?>(?![\w>&(])")
_ERROR = re.compile(r"^(?:.*:)?(\d+):\d+: (.*)$", re.MULTILINE)
_DECODER = msgspec.json.Decoder(File)

#: Makes the line for messages from the line of a text; the line of a sourced file names the file.
Number = Callable[[int], int]


class UnreadableError(Exception):
    """The text is no bash, or is too large to be read."""

    def __init__(self, message: str, hint: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.line = line


def parse(data: bytes, file: str, number: Number = int) -> tuple[list[Stmt], list[Problem]]:
    """The statements of a script, and what is wrong with it. `file` is its name in messages."""
    problems: list[Problem] = []

    def report(message: str, hint: str | None, line: int | None) -> None:
        at = None if line is None else number(line)
        problems.append(Problem(file=file, line=at, key=None, message=message, hint=hint))

    try:
        text = _decoded(data, file)
        tree, placeholders = _parsed(text)
        source = f"{text}\n".encode()
        _complete(tree, source, number, MAX_DEPTH)
    except UnreadableError as error:
        report(error.message, error.hint, error.line)
        return [], problems
    for line, written in placeholders.items():
        hint = f"write the value in place of {written}"
        report(f"{written} is a redirection for bash", hint, line)
    for row in _broken_lines(tree, source):
        message = "a space behind the `\\` at the end of the line: the command ends here"
        report(message, "remove the space behind the backslash", row)
    return tree.stmts, problems


def parse_arithmetic(text: str) -> ArithmeticNode | None:
    """The expression of `((text))`; None where it is none. Raises UnreadableError."""
    tree = _run_shfmt(f"(({text}))")
    _complete(tree, f"(({text}))".encode(), int, MAX_DEPTH)
    command = tree.stmts[0].cmd if len(tree.stmts) == 1 else None
    return command.x if isinstance(command, ArithmCmd) else None


def _decoded(data: bytes, file: str) -> str:
    """The text of a script. Raises UnreadableError where it is not a text that bash runs."""

    def line_of(place: int) -> int:
        return data[:place].count(b"\n") + 1

    if len(data) > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES:,} bytes, which no training script is")
    if b"\0" in data:
        raise UnreadableError("is not text: it holds NUL bytes", "give a shell script in UTF-8")
    if (place := data.find(b"\r\n")) >= 0:
        hint = f"bash cannot run it either: sed -i 's/\\r$//' {file}"
        raise UnreadableError("has Windows line ends (CRLF)", hint, line_of(place))
    if (odd := re.search(rb"[\r\v\f]", data)) is not None:
        hint = "bash takes it for text, and shows it as a blank; remove it"
        message = f"holds a control character, 0x{odd[0][0]:02x}"
        raise UnreadableError(message, hint, line_of(odd.start()))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte 0x{data[error.start]:02x}"
        raise UnreadableError(message, "save it as UTF-8", line_of(error.start)) from None


def _parsed(text: str) -> tuple[File, dict[int, str]]:
    """The tree, and the placeholders (by line) that bash would take for redirections.

    Where there are such placeholders, `___` stands for each in the tree, because bash could not
    read their lines otherwise.
    """
    if not _PLACEHOLDER.search(text):
        return _run_shfmt(f"{text}\n"), {}
    covered = _PLACEHOLDER.sub(lambda found: "_" * len(found[0].encode("utf-8")), text)
    tree = _run_shfmt(f"{covered}\n")
    source = text.encode("utf-8")
    found: dict[int, str] = {}
    for literal in _unquoted(tree):
        written = source[literal.pos.offset : literal.end.offset].decode("utf-8")
        if (match := _PLACEHOLDER.search(written)) is not None:
            found.setdefault(literal.pos.line, match[0])
    return (tree, found) if found else (_run_shfmt(f"{text}\n"), {})


def _unquoted(node: Tree) -> Iterator[Lit]:
    """The literal text in a node that stands in no quotes and in no here-document."""
    for child in children(node):
        if isinstance(child, Lit):
            if not isinstance(node, DblQuoted):
                yield child
        elif isinstance(child, CmdSubst) or not isinstance(node, DblQuoted):
            is_document = isinstance(node, Redirect) and child is node.hdoc
            if not is_document:
                yield from _unquoted(child)


def _run_shfmt(text: str) -> File:
    """The tree of a text. Raises UnreadableError for what is not bash."""
    printed = _printed(text)
    if re.search(r"#.*\\\n", text):
        printed = _printed(_without_continued_comments(text, printed))
    try:
        return _DECODER.decode(printed)
    except msgspec.ValidationError as error:
        message = f"shfmt prints another syntax tree than that of shfmt-py 4: {error}"
        raise PrlSubmitError(message, "pip install -U shfmt-py") from None
    except (RecursionError, msgspec.DecodeError):
        raise UnreadableError(_TOO_DEEP) from None


def _printed(text: str) -> str:
    """The JSON that shfmt prints for a text. Raises PrlSubmitError where shfmt is not there."""
    beside = [os.path.dirname(sys.executable), os.path.dirname(os.path.abspath(sys.argv[0]))]
    search = os.pathsep.join([*beside, os.environ.get("PATH", os.defpath)])
    program = shutil.which("shfmt", path=search)
    if program is None:
        raise PrlSubmitError("shfmt, which reads shell scripts, is missing", "pip install shfmt-py")
    answer = run(["/bin/sh", "-c", _COMMAND, program], stdin=text, timeout=_TIMEOUT)
    if answer.out:
        return answer.out
    error = _ERROR.search(answer.err)
    if error is None:
        raise UnreadableError(_TOO_DEEP)
    raise UnreadableError(
        f"bash cannot read this: {error[2]}", "`bash -n` says more", int(error[1])
    )


def _without_continued_comments(text: str, printed: str) -> str:
    r"""The text with a blank for each `\` at the end of a comment.

    bash ends a comment at the end of its line; shfmt 3.14 goes on in the next one.
    """
    data = bytearray(text.encode("utf-8"))
    for comment in _comments(msgspec.json.decode(printed)):
        if comment["Text"].endswith("\\\n"):
            end = comment["Hash"]["Offset"] + len(comment["Text"].encode("utf-8"))
            data[end - 1 : end] = b" "
    return data.decode("utf-8")


def _comments(value: Any) -> Iterator[Any]:
    """The comments in a tree that is plain data."""
    if isinstance(value, dict):
        if "Hash" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _comments(inner)


def _complete(node: Tree, source: bytes, number: Number, depth: int) -> None:
    """Give each node its text and its line."""
    if depth == 0:
        raise UnreadableError(_TOO_DEEP)
    if isinstance(node, Node):
        end = node.end.offset
        if isinstance(node, Stmt) and node.semicolon is not None:
            end = node.semicolon.offset
        node.text = source[node.pos.offset : end].decode("utf-8")
        if isinstance(node, Stmt):
            node.text = node.text.rstrip()
        node.line = number(node.pos.line)
    for child in children(node):
        _complete(child, source, number, depth - 1)


def _broken_lines(tree: File, source: bytes) -> Iterator[int]:
    r"""The lines that end in `\` and blanks, where bash takes a blank for the last word.

    That word is taken out of the tree.
    """
    for node in walk(tree):
        if isinstance(node, CallExpr) and node.args:
            last = node.args[-1]
            rest = source[last.end.offset :].partition(b"\n")[0]
            if re.fullmatch(r"\\[ \t]", last.text) and not rest.strip(b" \t"):
                node.args.pop()
                yield last.line
