"""What stands behind the training: a job has nothing there."""

from __future__ import annotations

import re

from prl_submit.importing.bash.effects import heads
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.constructs import SILENT, head_of

#: Behind the training, these are no loss.
_HARMLESS = SILENT | frozenset(
    ["exit", "return", "wait", "cd", "set", "shopt", "conda", "unset", "deactivate", "kill"]
)
_TELLING = _HARMLESS | frozenset(
    [
        "test",
        "[",
        "local",
        "export",
        "true",
        "false",
        "let",
        "declare",
        "tput",
        "basename",
        "dirname",
    ]
)


def say_what_is_lost(
    statement: Statement, functions: dict[str, Statement], findings: Findings
) -> None:
    """An error for what runs behind the training and does something."""
    command = statement.command
    if statement.kind in ("chain", "group", "pipeline") and _is_harmless(statement):
        return
    if only_tells(statement, functions):
        return
    if command is not None and (command.declaration or not command.words):
        return
    if head_of(statement)[:1] == "-":
        say_broken_line(statement, head_of(statement), findings)
    elif head_of(statement) not in _HARMLESS or writes_a_file(statement):
        shown = " ".join(statement.text.split())
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        hint = "run it by hand, behind `prl-submit SPEC --wait && …`"
        findings.error(statement.line, f"runs behind the training: {shown}", hint)


def only_tells(statement: Statement, functions: dict[str, Statement]) -> bool:
    """Whether a statement only prints, compares and ends, as what stands behind a training may."""
    if statement.trains or statement.background or statement.kind in ("pipeline", "a redirection"):
        return False
    if statement.kind == "command" and head_of(statement)[:1] == "-":
        return False
    text = re.sub(r"\d?>&\d|[&\d]?>\s*/dev/\w+|\s>\s*\S+\.pid\b|->|=>", "", statement.text)
    if re.search(r">\s*[\w./$\"'~]", text):
        return False
    names = {name for name, _ in heads(statement.calls)}
    for name in names & set(functions):
        if name in functions[name].text.partition("{")[2].split() or not only_tells(
            functions[name], {}
        ):
            return False
    return bool(names) and names - set(functions) <= _TELLING


def say_broken_line(statement: Statement, head: str, findings: Findings) -> None:
    """An argument that has become a command."""
    message = f"{head!r} is a command of its own: the command above it has ended"
    hint = r"end each line above with `\` and nothing behind it; no comment lines in between"
    findings.error(statement.line, message, hint)


def _is_harmless(statement: Statement) -> bool:
    if statement.parts:
        return all(_is_harmless(part) for part in statement.parts)
    head = head_of(statement)
    return statement.kind == "a test" or head in _HARMLESS or head == "tee"


def writes_a_file(statement: Statement) -> bool:
    """Whether its output goes to a file."""
    return any(
        redirect.target not in ("1", "2", "/dev/null", "/dev/stderr", "/dev/stdout")
        for redirect in statement.redirects
    )
