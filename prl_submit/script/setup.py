"""Statements that are kept word for word: which ones, and what they need from the others."""

from __future__ import annotations

import re

from msgspec import Struct

from prl_submit.quote import bash
from prl_submit.script.findings import Findings
from prl_submit.script.scope import Scope, Variable
from prl_submit.script.statement import Statement

_OWN = frozenset(["0", "BASH_SOURCE", "LINENO", "FUNCNAME"])
#: They do the same in every folder.
_ANYWHERE = ("export", "ulimit", "umask", "declare", "readonly", "unset")


_HINT = "do it before you submit, or on a line of its own"
_LOGIN = ("a login holds a secret", "environment.secrets: [NAME] takes it from where you submit")
#: Not for launch.sh, which would go on in their way.
_REFUSED = {
    "alias": ("an alias", _HINT),
    "trap": ("a trap would take the place of launch.sh's own", _HINT),
    "pushd": ("pushd", _HINT),
    "popd": ("popd", _HINT),
    "getopts": ("getopts reads the script's arguments", _HINT),
}
_WITH_LOGINS = ("wandb", "huggingface-cli", "hf")


def refused(name: str, text: str) -> tuple[str, str] | None:
    """Why a command is not kept, and what to do; None where it is."""
    return _LOGIN if name in _WITH_LOGINS and "login" in text else _REFUSED.get(name)


class Past(Struct, kw_only=True):
    """A statement that was followed. `text`: what a shell must run to have its effect."""

    statement: Statement
    text: str
    folder: str
    keep: bool


def setup_lines(
    history: list[Past], scope: Scope, needed: set[str], findings: Findings
) -> list[str]:
    """The lines to run before the training, in the script's order.

    `needed`: variables of the training's environment whose value is not known. A line's own
    variables come with it.
    """
    last = len(history)
    for name in sorted(needed):
        _keep_writers(history, name, last, scope)
    for at in range(last - 1, -1, -1):
        if history[at].keep:
            for name in history[at].statement.reads | called_functions(history[at].text, scope):
                _keep_writers(history, name, at, scope)
    return [_line(past, scope, findings) for past in history if past.keep]


def called_functions(text: str, scope: Scope) -> set[str]:
    """The script's functions that a text may call, as `f()`."""
    words = set(re.findall(r"[\w.-]+", text))
    return {f"{name}()" for name in scope.functions if name in words}


def _keep_writers(history: list[Past], name: str, end: int, scope: Scope) -> None:
    writers = [past for past in history[:end] if name in past.statement.writes]
    variable = scope.variables.get(name)
    if len(writers) == 1 and not any(past.keep for past in writers) and _is_exported(variable):
        return  # environment.env has it before any line runs
    for past in writers:
        past.keep = True


def _is_exported(variable: Variable | None) -> bool:
    return variable is not None and variable.exported and isinstance(variable.value, str)


def _line(past: Past, scope: Scope, findings: Findings) -> str:
    statement = past.statement
    if statement.command is None or statement.command.words or statement.command.declaration:
        shown = " ".join(past.text.split())
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        message = f"runs before the training, in environment.setup: {shown}"
        findings.note(statement.line, message)
    if any(name.startswith("prl_") for name in statement.writes):
        hint = "rename it"
        findings.error(statement.line, "variables named prl_… are those of launch.sh", hint)
    if statement.reads & _OWN:
        value = _known(statement, scope)
        if value is not None:
            return value
        message = "needs the script's own path, which is another one in a job"
        findings.error(statement.line, message, "write the path")
    elif past.folder != scope.folder and not _is_anywhere(statement):
        message = f"runs in another folder than the training ({past.folder}, {scope.folder})"
        findings.error(
            statement.line, message, "put it behind the `cd`, or do it before you submit"
        )
    return past.text


def _known(statement: Statement, scope: Scope) -> str | None:
    """`NAME=VALUE` where the statement does no more than that, and the value is known."""
    command = statement.command
    if command is None or command.words or len(command.assignments) != 1:
        return None
    name = command.assignments[0].name
    variable = scope.variables.get(name)
    if variable is None or not isinstance(variable.value, str):
        return None
    return f"{'export ' if variable.exported else ''}{name}={bash(variable.value)}"


def _is_anywhere(statement: Statement) -> bool:
    command = statement.command
    if command is None or "$(" in statement.text or "`" in statement.text:
        return False
    head = command.declaration or (command.words[0].text if command.words else "export")
    return head in _ANYWHERE
