"""The output of `$(…)`, where it is known without running anything."""

from __future__ import annotations

import posixpath
import re

from prl_submit.importing.bash.arithmetic import compute
from prl_submit.importing.bash.conditions import decide, shown
from prl_submit.importing.bash.expand import expand_fields, expand_value
from prl_submit.importing.bash.scope import Field, Scope, UnknownError, known_item
from prl_submit.importing.bash.statements import Statement, make_statements
from prl_submit.importing.bash.syntax import CmdSubst
from prl_submit.importing.bash.text_programs import filtered, printed

_OWN = frozenset(["0", "BASH_SOURCE"])


def output_of(scope: Scope, node: CmdSubst) -> str:
    """What `$(…)` prints. Raises UnknownError where only running it would tell."""
    statements = make_statements(node.stmts)
    if not statements:  # a comment in backquotes
        return ""
    if len(statements) == 1:
        with scope.aside():  # its variables are gone when it ends
            found = _output(statements[0], scope)
        if found is not None:
            return found
    inner = node.text.removeprefix("$(").strip("`").removesuffix(")")
    why = f"the output of $({shown(inner, 70)}) is known only when it runs"
    raise UnknownError(why, "write the value")


def _output(statement: Statement, scope: Scope) -> str | None:  # noqa: C901  # one case for each kind of statement
    if statement.kind == "chain":
        first, *rest = statement.parts
        is_entered = statement.operators == ["&&"] and _words(rest[0], scope)[:1] == ["pwd"]
        return _entered(first, scope) if is_entered else _chosen(statement, scope)
    if statement.kind == "pipeline" and set(statement.operators) == {"|"}:
        return _piped(statement, scope)
    if statement.kind != "command":
        return None
    if statement.redirects:
        text = standard_input(statement, scope)
        return None if text is None else filtered(_known_words(statement, scope), text)
    words = _words(statement, scope)
    if words[:1] in (["printf"], ["seq"]):
        return printed(_known_words(statement, scope))
    if words == ["pwd"]:
        return scope.working_directory()
    if words[:2] in (["readlink", "-f"], ["realpath", scope.place.script]):
        is_own = words[-1] == scope.place.script and _is_own(statement)
        return scope.place.real or None if is_own else None
    return _plain_output(words)


def _plain_output(words: list[str]) -> str | None:
    """What `echo`, `dirname`, `basename` and `expr` print."""
    name, *rest = words or [""]
    if name == "echo" and not (rest and rest[0][:1] == "-"):
        text = " ".join(rest)
        return None if "\\" in text else text
    if name in ("dirname", "basename") and rest[:1] == ["--"]:
        rest = rest[1:]
    if name == "dirname" and len(rest) == 1:
        return _dirname(rest[0])
    if name == "basename" and len(rest) in (1, 2) and rest[0][:1] != "-":
        return _basename(rest[0], rest[1] if len(rest) == 2 else "")
    return _expr(rest) if name == "expr" else None


def _chosen(statement: Statement, scope: Scope) -> str | None:
    """The output of `[ a = b ] && echo c || echo d`."""
    holds, found = True, ""
    for at, part in enumerate(statement.parts):
        if at and holds != (statement.operators[at - 1] == "&&"):
            continue
        if part.kind in ("a test", "`((`", "`!`"):
            holds = decide(part, scope).holds
            continue
        text = _output(part, scope)
        if text is None or not part.text.startswith(("echo ", "printf ")):
            return None
        holds, found = True, found + text + ("\n" if part.text.startswith("echo") else "")
    return found


def _piped(statement: Statement, scope: Scope) -> str | None:
    """The output of `echo a,b | tr , ' ' | wc -w`."""
    first = statement.parts[0]
    text = _output(first, scope)
    if text is None:
        return None
    if not first.text.startswith(("printf", "seq")):  # all other programs end their last line
        text = text if text.endswith("\n") else f"{text}\n"
    for part in statement.parts[1:]:
        if part.kind != "command" or part.redirects:
            return None
        words = _known_words(part, scope)
        found = _bc(text) if words == ["bc"] else filtered(words, text)
        if found is None:
            return None
        text = found
    return text


def _bc(text: str) -> str | None:
    """What `bc` prints for whole numbers; it rounds a quotient as bash does."""
    plain = text.strip()
    return f"{compute(plain)}\n" if re.fullmatch(r"[0-9 +*/()-]+", plain) else None


def standard_input(statement: Statement, scope: Scope) -> str | None:
    """The text of `<<< WORD`, or of a here-document."""
    if len(statement.redirects) != 1:
        return None
    redirect = statement.redirects[0]
    if redirect.operator == "<<<" and redirect.word is not None:
        return expand_value(redirect.word, scope)[0] + "\n"
    return redirect.body


def _known_words(statement: Statement, scope: Scope) -> list[str]:
    """The words of a command, all of them known. Raises UnknownError."""
    command = statement.command
    if command is None or command.assignments or command.declaration:
        return []
    return [
        known_item(field).text for word in command.words for field in expand_fields(word, scope)
    ]


def _words(statement: Statement, scope: Scope) -> list[str]:
    command = statement.command
    if command is None or command.assignments or command.declaration:
        return []
    fields = [field for word in command.words for field in expand_fields(word, scope)]
    return [field.text for field in fields if isinstance(field, Field)]


def _expr(words: list[str]) -> str | None:
    """What `expr` prints. For expr, each number and each operator is a word of its own."""
    wants_number = True
    for word in words:
        if wants_number != bool(re.fullmatch(r"-?[0-9]+|\(", word)):
            return None
        if not wants_number and word not in (*"+-*/%", ")"):
            return None
        wants_number = word in (*"+-*/%", "(")
    return None if wants_number else str(compute(" ".join(words)))


# --- folders --------------------------------------------------------------------------------------


def _entered(statement: Statement, scope: Scope) -> str | None:
    """The folder after `cd FOLDER`, absolute."""
    words = [word for word in _words(statement, scope) if word not in ("--", "-P")]
    if len(words) != 2 or words[0] != "cd" or words[1] == "-":
        return None
    if posixpath.isabs(words[1]):
        return posixpath.normpath(words[1])
    return posixpath.normpath(posixpath.join(base_folder(statement, scope), words[1]))


def base_folder(statement: Statement, scope: Scope) -> str:
    """The absolute folder that paths in a statement are relative to.

    A path made from `$0` is relative to the folder in which the user starts the script.
    """
    return scope.place.cwd if is_from_own(statement, scope) else scope.working_directory()


def is_from_own(statement: Statement, scope: Scope) -> bool:
    """True if a relative path in the statement is made from the path of the script."""
    return _is_own(statement) and scope.folder == "."


def _is_own(statement: Statement) -> bool:
    return bool(statement.reads & _OWN)


def _dirname(path: str) -> str:
    bare = path.rstrip("/")
    if not bare:
        return "/" if path else "."
    return posixpath.dirname(bare).rstrip("/") or ("/" if bare[:1] == "/" else ".")


def _basename(path: str, suffix: str) -> str:
    name = posixpath.basename(path.rstrip("/")) or ("/" if path else "")
    return name[: -len(suffix)] if suffix and name != suffix and name.endswith(suffix) else name
