"""`read` from a text that is known: `IFS=, read -ra A <<< "$X"`, `read -r -d '' A <<'EOF'`."""

from __future__ import annotations

from prl_submit.importing.bash.outputs import standard_input
from prl_submit.importing.bash.scope import Field, Given, Scope, UnknownError, Variable
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.bash.syntax import Word
from prl_submit.importing.bash.words import expand_value


def read_variable(
    statement: Statement, given: list[Given], scope: Scope
) -> tuple[str, Variable] | None:
    """The variable that `read` sets; None where only the run knows it."""
    words = [word.text for word in given[1:] if isinstance(word, Field)]
    options, names = _taken_apart(words)
    if len(words) != len(given) - 1 or options is None or len(names) != 1:
        return None
    try:
        text = standard_input(statement, scope)
        separators = _separators(statement, scope)
    except UnknownError:
        return None
    if text is None or separators is None or "\0" in text or not names[0].isidentifier():
        return None
    if "d" not in options:
        text = text.partition("\n")[0]
    if "r" not in options and "\\" in text:
        return None
    value = _value(text, separators, is_array="a" in options, line=statement.line)
    return None if value is None else (names[0], Variable(value=value, line=statement.line))


def _taken_apart(words: list[str]) -> tuple[str | None, list[str]]:
    """The options `r`, `a`, and `d` with an empty delimiter; None for others."""
    options = ""
    while words and words[0][:1] == "-":
        option, words = words[0][1:], words[1:]
        if "d" in option:
            if option[-1] != "d" or words[:1] != [""]:
                return None, []
            words = words[1:]
        options += option
    return (options if set(options) <= set("rad") else None), words


def _separators(statement: Statement, scope: Scope) -> str | None:
    assignments = [] if statement.command is None else statement.command.assignments
    if not assignments:
        scope.separator()
        return " \t\n"
    value = assignments[0].value
    if len(assignments) != 1 or assignments[0].name != "IFS" or not isinstance(value, Word):
        return None
    return expand_value(value, scope)[0]


def _value(text: str, separators: str, *, is_array: bool, line: int) -> str | list[Given] | None:
    if not is_array:
        if separators == "":
            return text
        return text.strip(" \t\n") if separators == " \t\n" else None
    if separators == " \t\n":
        return [Field(item, line) for item in text.split()]
    if len(separators) != 1 or separators.isspace():
        return None
    items = text.rstrip("\n").split(separators)
    return [Field(item, line) for item in (items[:-1] if items[-1] == "" else items)]
