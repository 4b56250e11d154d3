"""Checks of files in a script that are left out, because `prl-submit check` makes them anyway."""

from __future__ import annotations

import posixpath

from prl_submit.importing.bash.conditions import shown
from prl_submit.importing.bash.scope import Given, Scope, UnknownError, known_texts
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.bash.syntax import UnaryTest, Word
from prl_submit.importing.bash.words import expand_value
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.kept_lines import Past
from prl_submit.importing.interpreter.known_commands import ends_the_script

_FILE_TESTS = frozenset(["-d", "-e", "-f", "-r", "-s"])


def leave_out_checks(
    history: list[Past], arguments: list[Given], scope: Scope, findings: Findings
) -> None:
    """Keep no check of a file that an argument of the training names; say so."""
    named = known_texts(arguments)
    for past in history:
        path = _checked(past.statement, scope) if past.keep else None
        is_same_place = past.folder == scope.folder or (path or "").startswith("/")
        if path in named and is_same_place and past.text == past.statement.text:
            past.keep = False
            what = posixpath.basename((path or "").rstrip("/"))
            message = f"`{shown(past.statement.text, 50)}` is left out: `check` looks for {what}"
            findings.note(past.statement.line, message)


def _checked(statement: Statement, scope: Scope) -> str | None:
    """The file without which a statement ends the script; None where it does anything else."""
    if statement.writes or statement.background or statement.redirects:
        return None
    test, stops_if_it_fails = _test_of(statement)
    is_negated, word = (False, None) if test is None or test.redirects else _file_of(test)
    if word is None or is_negated == stops_if_it_fails:
        return None
    try:
        return expand_value(word, scope)[0]
    except UnknownError:
        return None


def _file_of(test: Statement) -> tuple[bool, Word | None]:
    """Of `[ ! -f FILE ]`: whether there is a `!`, and FILE; None for any other test."""
    node, operands = test.expression, test.operands
    if node is None:
        is_negated = operands[:1] != [] and operands[0].literal == "!"
        words = operands[1:] if is_negated else operands
        is_of_file = len(words) == 2 and words[0].literal in _FILE_TESTS
        return is_negated, words[1] if is_of_file else None
    is_negated = isinstance(node, UnaryTest) and node.op == "!"
    if isinstance(node, UnaryTest) and is_negated:
        node = node.x
    is_of_file = isinstance(node, UnaryTest) and node.op in _FILE_TESTS
    operand = node.x if isinstance(node, UnaryTest) else None
    return is_negated, operand if is_of_file and isinstance(operand, Word) else None


def _test_of(statement: Statement) -> tuple[Statement | None, bool]:
    """The test, and whether the script ends where it fails: `[ -f x ] || exit 1`."""
    if (
        statement.kind == "chain"
        and len(statement.parts) == 2
        and ends_the_script(statement.parts[1:])
    ):
        return statement.parts[0], statement.operators == ["||"]
    if statement.kind == "`if`" and len(statement.branches) == 1:
        branch = statement.branches[0]
        if len(branch.conditions) == 1 and ends_the_script(branch.body):
            return branch.conditions[0], False
    return None, False
