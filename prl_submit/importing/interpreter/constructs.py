"""Constructs that only bash can follow: what they may set, and what must not stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from prl_submit.importing.bash.effects import ANY, DECLARATIONS, SETTERS, bare, heads
from prl_submit.importing.bash.scope import Field, Scope, UnknownError
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.bash.syntax import Node, Word
from prl_submit.importing.bash.words import expand_fields
from prl_submit.importing.interpreter.commands import HARMLESS_OPTIONS
from prl_submit.importing.interpreter.kept_lines import called_functions

#: They change nothing for what follows.
SILENT = frozenset(
    [
        *("echo", "printf", "true", ":", "date", "pwd", "clear", "hostname", "whoami"),
        *("which", "type", "sleep"),
    ]
)
#: What must not stand in lines that are kept: it would change what follows in a way nobody follows.
_FAR_REACHING = frozenset(
    [
        *("cd", "pushd", "popd", "shift", "trap", "eval", "source", ".", "alias", "unalias"),
        *("exec", "getopts", "enable", "coproc", "local"),
    ]
)
#: Commands that are followed or have a meaning of their own here: no function may take their place.
OWN_MEANING = (
    SILENT
    | _FAR_REACHING
    | DECLARATIONS
    | frozenset(
        [
            *("[", "test", "set", "shopt", "read", "mapfile", "readarray", "let", "exit", "return"),
            *("swift", "megatron", "torchrun", "python", "python3", "env", "nohup", "srun", "time"),
            *("command", "builtin", "stdbuf", "setsid", "conda", "module", "ml", "deactivate"),
            *("dirname", "basename", "expr", "readlink", "realpath", "tee", "mkdir", "false"),
        ]
    )
)
_CERTAIN = frozenset(
    [
        *("cd", "mkdir", "true", ":", "echo", "set", "conda", "source", ".", "module", "ml"),
        *("eval", "deactivate"),
    ]
)
_BAIL_OUT = frozenset(["exit", "return", "true", ":", "echo", "false", "printf"])


def written_by(statement: Statement, scope: Scope) -> set[str]:
    """The variables that a construct may set, in functions that it calls too."""
    return set(statement.writes).union(
        *(scope.functions[name].body for name in _called(statement, scope))
    )


def _called(statement: Statement, scope: Scope) -> set[str]:
    """The functions that a construct may call, and those that they may call."""
    found: set[str] = set()
    texts = [statement.text]
    while texts:
        names = {name[:-2] for name in called_functions(texts.pop(), scope)} - found
        found |= names
        texts += [scope.functions[name].text for name in names]
    return found


def far_reaching(statement: Statement, scope: Scope) -> str | None:
    """What in a construct would change everything behind it."""
    for part in _parts(statement, scope):
        for name, words in heads(part.calls):
            if found := _changes_more(name, words, part, scope):
                return found
    return "a computed name" if ANY in written_by(statement, scope) else None


def _changes_more(name: str, call: Sequence[Node], part: Statement, scope: Scope) -> str | None:
    words = tuple(word.text for word in call)
    plain = words[0]
    if "$" in name or "`" in name:
        known = _computed(call[0], scope)
        if known is None or known in DECLARATIONS | frozenset(SETTERS):
            return plain
        name = known
    elif name in DECLARATIONS and name != plain:
        return plain
    if part.kind == "a function" and name in ("shift", "local"):  # its own
        return None
    if name in _FAR_REACHING:
        return name
    if name == "set" and not _sets_little(words):
        return " ".join(words[:2])
    if name == "shopt" and not set(words[1:]) <= HARMLESS_OPTIONS | {"-q", "-s", "-u", "-p"}:
        return " ".join(words[:2])
    return "conda activate" if name == "conda" and "activate" in words[1:2] else None


def _parts(statement: Statement, scope: Scope) -> Iterator[Statement]:
    yield statement
    for name in sorted(_called(statement, scope)):
        yield scope.functions[name]


def _computed(word: Node, scope: Scope) -> str | None:
    """A command's name that comes from a variable."""
    if not isinstance(word, Word):
        return None
    try:
        with scope.aside():
            fields = expand_fields(word, scope)
    except UnknownError:
        return None
    return fields[0].text if fields and isinstance(fields[0], Field) else None


def _sets_little(words: tuple[str, ...]) -> bool:
    """`set -e`, `set +x`, `set -o pipefail`: nothing that is computed here depends on it."""
    quiet = {"errexit", "nounset", "xtrace", "verbose", "pipefail"}
    return all(re.fullmatch(r"[-+][euxvo]+", word) or word in quiet for word in words[1:])


def ends_quietly(statement: Statement, scope: Scope) -> str | None:
    """An `exit` in a construct after which a job would look done, without a training."""
    if statement.kind == "a subshell":
        return None
    for part in _parts(statement, scope):
        for name, call in heads(part.calls):
            words = tuple(word.text for word in call)
            ends = name == "exit" or (name == "return" and part.kind != "a function")
            if ends and not _is_failure(words) and not _is_after_failure(words, part.text):
                return " ".join(words)
    return None


def _is_failure(words: tuple[str, ...]) -> bool:
    number = bare(words[1]) if len(words) > 1 else ""
    return number.isdecimal() and int(number) % 256 != 0


def _is_after_failure(words: tuple[str, ...], text: str) -> bool:
    """`a || exit`, with the status of `a`; each of them is, where several stand in the text."""
    if " ".join(words) not in ("exit", "exit $?"):
        return False
    rest = re.sub(r"\|\|\s*exit(\s+\$\?)?(?=\s*($|[;&|\n}]))", "", text)
    return not re.search(r"\bexit(\s+\$\?)?\s*($|[;&|\n})])", rest)


# --- chains ---------------------------------------------------------------------------------------


def head_of(statement: Statement) -> str:
    """The first word of a command, as it is written."""
    command = statement.command
    return command.words[0].text if command is not None and command.words else ""


def is_bail_out(statement: Statement) -> bool:
    """`exit 1`, or `{ echo …; exit 1; }`."""
    if statement.kind == "group":
        return all(is_bail_out(part) for part in statement.parts)
    return statement.kind == "command" and head_of(statement) in _BAIL_OUT


def is_stop(statement: Statement) -> bool:
    """Whether a bail-out ends the script."""
    if statement.kind == "group":
        return any(is_stop(part) for part in statement.parts)
    return head_of(statement) == "exit"


def goes_well(statement: Statement) -> bool:
    """Whether what follows behind `&&` is done, or the job has failed before."""
    if statement.kind == "group":
        return all(goes_well(part) for part in statement.parts)
    command = statement.command
    if (
        command is None
        or statement.background
        or any(redirect.target not in ("1", "2", "/dev/null") for redirect in statement.redirects)
    ):
        return False
    if "$(" in statement.text or "`" in statement.text:
        return head_of(statement) in ("cd", "eval") or command.declaration is not None
    if command.declaration or not command.words:
        return True
    return head_of(statement) in _CERTAIN
