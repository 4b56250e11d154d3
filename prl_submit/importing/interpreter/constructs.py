"""Constructs that only bash can follow: what they may set, and what must not stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from prl_submit.importing.bash.effects import ANY, DECLARATIONS, SETTERS, bare, heads
from prl_submit.importing.bash.expand import expand_fields
from prl_submit.importing.bash.scope import Scope, UnknownError
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.bash.syntax import Node, Word
from prl_submit.importing.interpreter.commands import HARMLESS_OPTIONS
from prl_submit.importing.interpreter.known_commands import FAR_REACHING


def called_functions(text: str, scope: Scope) -> set[str]:
    """The names of the script's functions that a text may call."""
    if not scope.functions:
        return set()
    return {word for word in re.findall(r"[\w.:-]+", text) if word in scope.functions}


def written_by(statement: Statement, scope: Scope) -> set[str]:
    """The variables that a construct may set, in functions that it calls too."""
    return set(statement.writes).union(
        *(scope.functions[name].body for name in _all_called(statement, scope))
    )


def _all_called(statement: Statement, scope: Scope) -> set[str]:
    """The functions that a construct may call, and those that they may call."""
    found: set[str] = set()
    texts = [statement.text]
    while texts:
        names = called_functions(texts.pop(), scope) - found
        found |= names
        texts += [scope.functions[name].text for name in names]
    return found


def _parts(statement: Statement, scope: Scope) -> Iterator[Statement]:
    """A construct, and the functions that it may call."""
    yield statement
    for name in sorted(_all_called(statement, scope)):
        yield scope.functions[name]


# --- what changes everything behind a construct ---------------------------------------------------


def far_reaching(statement: Statement, scope: Scope) -> str | None:
    """What in a construct would change everything behind it."""
    for part in _parts(statement, scope):
        for name, words in heads(part.calls):
            if found := _changes_more(name, words, part, scope):
                return found
    return "a computed name" if ANY in written_by(statement, scope) else None


def _changes_more(name: str, call: Sequence[Node], part: Statement, scope: Scope) -> str | None:  # noqa: C901  # one case for each command
    words = [word.text for word in call]
    if "$" in name or "`" in name:
        known = _computed_name(call[0], scope)
        if known is None or known in DECLARATIONS or known in SETTERS:
            return words[0]
        name = known
    elif name in DECLARATIONS and name != words[0]:
        return words[0]
    if part.kind == "a function" and name in ("shift", "local"):  # its own
        return None
    if name in FAR_REACHING:
        return name
    if name == "set" and not _sets_little(words[1:]):
        return " ".join(words[:2])
    if name == "shopt" and not set(words[1:]) <= HARMLESS_OPTIONS | {"-q", "-s", "-u", "-p"}:
        return " ".join(words[:2])
    return "conda activate" if name == "conda" and "activate" in words[1:2] else None


def _computed_name(word: Node, scope: Scope) -> str | None:
    """The name of a command that comes from a variable."""
    try:
        with scope.aside():
            fields = expand_fields(word, scope) if isinstance(word, Word) else []
    except UnknownError:
        return None
    return fields[0].known if fields else None


def _sets_little(words: list[str]) -> bool:
    """`set -e`, `set +x`, `set -o pipefail`: nothing that is computed here depends on them."""
    quiet = {"errexit", "nounset", "xtrace", "verbose", "pipefail"}
    return all(re.fullmatch(r"[-+][euxvo]+", word) or word in quiet for word in words)


# --- an end that looks like success ---------------------------------------------------------------


def ends_quietly(statement: Statement, scope: Scope) -> str | None:
    """An `exit` in a construct after which a job would look done, without a training."""
    if statement.kind == "a subshell":
        return None
    for part in _parts(statement, scope):
        for name, call in heads(part.calls):
            ends = name == "exit" or (name == "return" and part.kind != "a function")
            words = " ".join(word.text for word in call)
            if ends and not _is_failure(call) and not _is_after_failure(words, part.text):
                return words
    return None


def _is_failure(call: Sequence[Node]) -> bool:
    number = bare(call[1].text) if len(call) > 1 else ""
    return number.isdecimal() and int(number) % 256 != 0


def _is_after_failure(words: str, text: str) -> bool:
    """True if each `exit` of a text is that of `a || exit`, which has the status of `a`."""
    if words not in ("exit", "exit $?"):
        return False
    rest = re.sub(r"\|\|\s*exit(\s+\$\?)?(?=\s*($|[;&|\n}]))", "", text)
    return not re.search(r"\bexit(\s+\$\?)?\s*($|[;&|\n})])", rest)
