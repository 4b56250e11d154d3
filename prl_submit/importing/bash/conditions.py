"""Conditions whose outcome is known without running them: `[[ … ]]`, `[ … ]`, `((…))`, `!`, `&&`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from prl_submit.importing.bash import comparisons
from prl_submit.importing.bash.expand import (
    expand_fields,
    expand_marks,
    pieces_of,
    value_of_arithmetic,
)
from prl_submit.importing.bash.parameters import pattern_of
from prl_submit.importing.bash.scope import Default, Field, Scope, UnknownError, known_item
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.bash.syntax import (
    BinaryTest,
    ParenTest,
    TestNode,
    UnaryTest,
    Word,
)

#: bash would take such an operand of `[[` for an operator.
_OPERATOR = re.compile(r"-[a-zA-Z]|=~|!|&&|\|\||[()]")
_QUIET = frozenset(["1", "2", "/dev/null"])
#: Commands that always succeed.
_SUCCEED = frozenset(["true", ":", "echo"])


class Outcome(Struct, frozen=True):
    """Whether a condition holds, and the defaults that it was decided by."""

    holds: bool
    defaults: tuple[Default, ...] = ()


def decide(statement: Statement, scope: Scope) -> Outcome:
    """The outcome of a condition that sets nothing.

    Raises UnknownError where only the run knows the outcome.
    """
    if statement.computed or statement.defaults or statement.background:
        raise _only_the_run(statement)
    if any(redirect.target not in _QUIET for redirect in statement.redirects):
        raise _only_the_run(statement)
    with _in_condition(scope), scope.aside():
        return _decided(statement, scope)


@contextmanager
def _in_condition(scope: Scope) -> Iterator[None]:
    before, scope.is_condition = scope.is_condition, True
    try:
        yield
    finally:
        scope.is_condition = before


def _only_the_run(statement: Statement) -> UnknownError:
    return UnknownError(f"only the run knows the outcome of `{shown(statement.text, 50)}`")


def shown(text: str, most: int) -> str:
    """The beginning of a text on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _decided(statement: Statement, scope: Scope) -> Outcome:  # noqa: C901  # one case for each kind of condition
    kind = statement.kind
    if kind == "a test":
        if statement.expression is None:
            return _by_number(statement.operands, statement, scope)
        return _Double(statement, scope).verdict()
    if kind == "`((`":
        value, defaults = value_of_arithmetic(statement.expression, scope)  # type: ignore[arg-type]
        return Outcome(value != 0, defaults)
    if kind == "`!`":
        inner = decide(statement.parts[0], scope)
        return Outcome(not inner.holds, inner.defaults)
    if kind in ("group", "a subshell") and len(statement.parts) == 1:
        return decide(statement.parts[0], scope)
    if kind == "chain":
        return _chain(statement, scope)
    if kind == "command":
        return _command(statement, scope)
    raise _only_the_run(statement)


def _chain(statement: Statement, scope: Scope) -> Outcome:
    verdict = decide(statement.parts[0], scope)
    for operator, part in zip(statement.operators, statement.parts[1:], strict=True):
        if verdict.holds == (operator == "&&"):
            found = decide(part, scope)
            verdict = Outcome(found.holds, (*verdict.defaults, *found.defaults))
    return verdict


def _command(statement: Statement, scope: Scope) -> Outcome:  # noqa: C901  # one case for each command
    command = statement.command
    words = [] if command is None or command.assignments else command.words
    head = words[0].text if words else ""
    if head[:1] == "$" and len(words) == 1:  # `if $USE_LORA`
        marks, fields = expand_marks(words[0], scope), expand_fields(words[0], scope)
        named = [field.text for field in fields if isinstance(field, Field)]
        if named in (["true"], ["false"]):
            return Outcome(named == ["true"], marks)
    if head in ("true", ":") and len(words) == 1:
        return Outcome(True)
    if head == "false":
        return Outcome(False)
    if head == "test":
        return _by_number(words[1:], statement, scope)
    if head == "getopts" and not scope.arguments:
        scope.outside.setdefault("@", statement.line)
        return Outcome(False)
    if head in _SUCCEED:
        expand_fields(words[-1], scope)
        return Outcome(True)
    raise _only_the_run(statement)


def _by_number(words: list[Word], statement: Statement, scope: Scope) -> Outcome:
    """The outcome of `[ … ]`, which bash decides by the number of words after splitting them."""
    texts: list[str] = []
    plain: list[bool] = []
    defaults: tuple[Default, ...] = ()
    for word in words:
        defaults += expand_marks(word, scope)
        for field in map(known_item, expand_fields(word, scope)):
            texts.append(field.text)
            plain.append(word.text == field.text)
    return Outcome(comparisons.holds(texts, plain), tuple(dict.fromkeys(defaults)))


# --- `[[ … ]]` ------------------------------------------------------------------------------------

#: A term, or one of `!`, `&&` and `||`.
Term = TestNode | str


class _Double:
    """Decides `[[ … ]]`. A term behind a decided `&&` or `||` is not evaluated, as in bash."""

    def __init__(self, statement: Statement, scope: Scope) -> None:
        self._statement = statement
        self._scope = scope
        self._defaults: list[Default] = []

    def verdict(self) -> Outcome:
        """The outcome of the whole."""
        found = self._holds(self._statement.expression)  # type: ignore[arg-type]
        return Outcome(found, tuple(dict.fromkeys(self._defaults)))

    def _holds(self, node: TestNode) -> bool:
        """True if a test holds.

        `&&` binds tighter than `||`, and `!` binds tighter than both: the tree does not show that.
        """
        either = _split_at("||", list(_terms(node)))
        return any(all(map(self._term, _split_at("&&", terms))) for terms in either)

    def _term(self, terms: list[Term]) -> bool:
        *nots, term = terms
        if isinstance(term, str):
            raise _only_the_run(self._statement)
        return self._primary(term) != (len(nots) % 2 == 1)

    def _primary(self, node: TestNode) -> bool:
        if isinstance(node, ParenTest):
            return self._holds(node.x)
        if isinstance(node, UnaryTest):
            operand = self._operand(node.x)
            if node.op == "-v":
                return comparisons.is_set(operand.text, self._scope, operand.line)
            return comparisons.unary(node.op, self._value(operand))
        if isinstance(node, BinaryTest):
            return self._compared(self._operand(node.x), node.op, self._operand(node.y))
        return bool(self._value(self._operand(node)))

    def _operand(self, node: TestNode) -> Word:
        if not isinstance(node, Word) or _is_operator(node.text):
            raise _only_the_run(self._statement)  # bash mostly reports an error here
        return node

    def _value(self, word: Word) -> str:
        self._defaults += expand_marks(word, self._scope)
        return "".join(piece.text for piece in pieces_of(word, self._scope))

    def _compared(self, left: Word, operator: str, right: Word) -> bool:
        if operator in ("=", "==", "!="):
            text = self._value(left)
            self._defaults += expand_marks(right, self._scope)
            pattern = pattern_of(pieces_of(right, self._scope), right.text)
            return bool(re.fullmatch(pattern, text)) == (operator != "!=")
        if operator == "=~":
            self._value(right)
            return comparisons.matches(self._value(left), pieces_of(right, self._scope))
        return comparisons.binary(self._value(left), operator, self._value(right))


def _is_operator(text: str) -> bool:
    return text in comparisons.BINARY or _OPERATOR.fullmatch(text) is not None


def _terms(node: TestNode) -> Iterator[Term]:
    """A test as it is written, from left to right."""
    if isinstance(node, UnaryTest) and node.op == "!":
        yield "!"
        yield from _terms(node.x)
    elif isinstance(node, BinaryTest) and node.op in ("&&", "||"):
        yield from _terms(node.x)
        yield node.op
        yield from _terms(node.y)
    else:
        yield node


def _split_at(operator: str, terms: list[Term]) -> Iterator[list[Term]]:
    """The groups of terms that stand between the operators."""
    found: list[Term] = []
    for term in terms:
        if term == operator:
            yield found
            found = []
        else:
            found.append(term)
    yield found


# --- which way ------------------------------------------------------------------------------------


def way_of(statement: Statement, scope: Scope) -> tuple[int | None, tuple[Default, ...]]:
    """The branch of a construct that bash takes, or None where it takes none. Raises UnknownError.

    With it come the defaults that have decided.
    """
    if any(redirect.target not in _QUIET for redirect in statement.redirects):
        raise _only_the_run(statement)
    if statement.subject is not None:
        return _case(statement, statement.subject, scope)
    if statement.kind == "`for`":
        words = statement.branches[0].patterns
        return (0 if any(expand_fields(word, scope) for word in words) else None), ()
    return _first_that_holds(statement, scope)


def _first_that_holds(statement: Statement, scope: Scope) -> tuple[int | None, tuple[Default, ...]]:
    """The first branch of an `if`, `while` or `until` whose condition holds, as `way_of` returns it."""
    defaults: list[Default] = []
    wanted = not statement.text.startswith("until")
    for at, branch in enumerate(statement.branches):
        if len(branch.conditions) > 1:
            raise _only_the_run(branch.conditions[0])
        if not branch.conditions:
            return at, tuple(dict.fromkeys(defaults))
        verdict = decide(branch.conditions[0], scope)
        defaults += verdict.defaults
        if verdict.holds == wanted:
            return at, tuple(dict.fromkeys(defaults))
    return None, tuple(dict.fromkeys(defaults))


def _case(
    statement: Statement, subject: Word, scope: Scope
) -> tuple[int | None, tuple[Default, ...]]:
    with _in_condition(scope), scope.aside():
        defaults = expand_marks(subject, scope)
        text = "".join(piece.text for piece in pieces_of(subject, scope))
        for at, branch in enumerate(statement.branches):
            for word in branch.patterns:
                if re.fullmatch(pattern_of(pieces_of(word, scope), word.text), text):
                    if branch.goes_on:
                        raise _only_the_run(statement)
                    return at, defaults
        return None, defaults
