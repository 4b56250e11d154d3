"""Variables for conditions and substitutions in tests of `import`, and what it makes of them."""

from __future__ import annotations

from prl_submit.importing.bash.command_output import output_of
from prl_submit.importing.bash.conditions import decide
from prl_submit.importing.bash.scope import Field, Given, Scope, UnknownError, Variable
from prl_submit.importing.bash.scope import Place as ScriptPlace
from prl_submit.importing.bash.statements import read_script
from prl_submit.importing.bash.syntax import CmdSubst, Word


def words_scope() -> Scope:
    """The variables of the generated words."""
    place = ScriptPlace(script="x.sh", cwd="/w", home="/home/me", real="/w/x.sh")
    scope = Scope(place, lambda node: output_of(scope, node))
    items: list[Given] = [Field(item, 1) for item in ("one two", "three", "")]
    values: dict[str, str | list[Given]] = {
        "X": "a  b",
        "E": "",
        "A": items,
        "P": "org/sub/name.gz",
        "N": "7",
    }
    for name, value in values.items():
        scope.set(name, Variable(value=value, line=1))
    return scope


def written(text: str) -> Word:
    """A word as bash reads it from a script."""
    (statement,), problems = read_script(f"x {text}\n".encode(), "x.sh")
    assert problems == []
    assert statement.command is not None
    (_, word) = statement.command.words
    return word


def printed(text: str, scope: Scope) -> str:
    """What `$(text)` prints. Raises UnknownError."""
    (part,) = written(f"$({text}\n)").parts
    assert isinstance(part, CmdSubst)
    return output_of(scope, part).rstrip("\n")


def judged(text: str) -> bool | None:
    """The outcome of a condition; None where it is refused."""
    scope = words_scope()
    statements, problems = read_script(f"{text}\n".encode(), "x.sh")
    if problems or len(statements) != 1:
        return None
    try:
        return decide(statements[0], scope).holds
    except UnknownError:
        return None
