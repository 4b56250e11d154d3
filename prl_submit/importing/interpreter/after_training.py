"""What stands behind the training: a job has nothing there, so that only harmless lines may."""

from __future__ import annotations

import re

from prl_submit.importing.bash.conditions import shown
from prl_submit.importing.bash.effects import heads
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.known_commands import SILENT, head_of, writes_a_file

#: Behind the training, these are no loss.
_HARMLESS = SILENT | frozenset(
    ["exit", "return", "wait", "cd", "set", "shopt", "conda", "unset", "deactivate", "kill"]
)
#: With these, a statement only tells how the training has ended.
_TELLING = _HARMLESS | frozenset(
    "test [ local export true false let declare tput basename dirname".split()
)
#: Redirections that write no file of the user's.
_TO_TERMINAL = re.compile(r"\d?>&\d|[&\d]?>\s*/dev/\w+|\s>\s*\S+\.pid\b|->|=>")


def say_what_is_lost(
    statement: Statement, functions: dict[str, Statement], findings: Findings
) -> None:
    """Report what runs behind the training and does something."""
    command, head = statement.command, head_of(statement)
    if statement.kind in ("chain", "group", "pipeline") and _is_harmless(statement):
        return
    if only_tells(statement, functions):
        return
    if command is not None and (command.declaration or not command.words):
        return
    if head[:1] == "-":
        say_broken_line(statement, head, findings)
    elif head not in _HARMLESS or writes_a_file(statement):
        message = f"runs behind the training: {shown(statement.text, 60)}"
        hint = "run it by hand, behind `prl-submit SPEC --wait && …`"
        findings.error(statement.line, message, hint)


def only_tells(statement: Statement, functions: dict[str, Statement]) -> bool:
    """True if a statement only prints, compares and ends, as what stands behind a training may."""
    if statement.trains or statement.background or statement.kind in ("pipeline", "a redirection"):
        return False
    if statement.kind == "command" and head_of(statement)[:1] == "-":
        return False
    if re.search(r">\s*[\w./$\"'~]", _TO_TERMINAL.sub("", statement.text)):
        return False
    names = {name for name, _ in heads(statement.calls)}
    for name in names & set(functions):
        calls_itself = name in functions[name].text.partition("{")[2].split()
        if calls_itself or not only_tells(functions[name], {}):
            return False
    return bool(names) and names - set(functions) <= _TELLING


def say_broken_line(statement: Statement, head: str, findings: Findings) -> None:
    """Report an argument that has become a command."""
    message = f"{head!r} is a command of its own: the command above it has ended"
    hint = r"end each line above with `\` and nothing behind it; no comment lines in between"
    findings.error(statement.line, message, hint)


def _is_harmless(statement: Statement) -> bool:
    if statement.parts:
        return all(_is_harmless(part) for part in statement.parts)
    head = head_of(statement)
    return statement.kind == "a test" or head in _HARMLESS or head == "tee"
