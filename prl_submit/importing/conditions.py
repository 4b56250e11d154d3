"""Conditions whose outcome is known without running them: `[[ … ]]`, `[ … ]`, `(( … ))`, `!`, `&&`, `||`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from prl_submit.importing import expressions
from prl_submit.importing.lexical import bare_source, split_words
from prl_submit.importing.parameter import pattern_of
from prl_submit.importing.scope import Default, Field, Gap, Scope, UnknownError
from prl_submit.importing.statement import Branch, Statement, Word
from prl_submit.importing.words import expand_fields, expand_marks, pieces_of, value_of_arithmetic

_DOUBLE_OPERATORS = frozenset(["=~", "(", ")", "!", "&&", "||"])
_OPTION = re.compile(r"-[a-zA-Z]")
_QUIET = frozenset(["1", "2", "/dev/null"])
#: They succeed, whatever they print.
_SUCCEED = frozenset(["true", ":", "echo"])


class Verdict(Struct, frozen=True):
    """Whether a condition holds, and the defaults that it was decided by."""

    holds: bool
    defaults: tuple[Default, ...] = ()


def decide(statement: Statement, scope: Scope) -> Verdict:
    """The outcome of a condition, which sets nothing. Raises UnknownError where only the run knows it."""
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
    return UnknownError(f"only the run knows the outcome of `{shown(statement)}`")


def shown(statement: Statement) -> str:
    """A statement in a message: its beginning, on one line."""
    text = " ".join(statement.text.split())
    return text if len(text) <= 50 else text[:49] + "…"


def _decided(statement: Statement, scope: Scope) -> Verdict:
    kind = statement.kind
    if kind == "a test":
        return _test(statement, scope)
    if kind == "`((`":
        return _arithmetic(statement, scope)
    if kind == "`!`" and len(statement.parts) == 1:
        inner = decide(statement.parts[0], scope)
        return Verdict(not inner.holds, inner.defaults)
    if kind in ("group", "a subshell") and len(statement.parts) == 1:
        return decide(statement.parts[0], scope)
    if kind == "chain":
        return _chain(statement, scope)
    if kind == "command" and statement.command is not None:
        return _command(statement, scope)
    raise _only_the_run(statement)


def _chain(statement: Statement, scope: Scope) -> Verdict:
    verdict = decide(statement.parts[0], scope)
    for operator, part in zip(statement.operators, statement.parts[1:], strict=True):
        if verdict.holds == (operator == "&&"):
            found = decide(part, scope)
            verdict = Verdict(found.holds, (*verdict.defaults, *found.defaults))
    return verdict


def _command(statement: Statement, scope: Scope) -> Verdict:
    command = statement.command
    words = [] if command is None or command.assignments else command.words
    head = words[0].text if words else ""
    if head[:1] == "$" and len(words) == 1:  # `if $USE_LORA`
        marks, fields = expand_marks(words[0], scope), expand_fields(words[0], scope)
        named = [field.text for field in fields if isinstance(field, Field)]
        if named in (["true"], ["false"]):
            return Verdict(named == ["true"], marks)
    if head in ("true", ":") and len(words) == 1:
        return Verdict(True)
    if head == "false":
        return Verdict(False)
    if head == "test":
        return _by_number(words[1:], statement, scope)
    if head == "getopts" and not scope.arguments:
        scope.outside.setdefault("@", statement.line)
        return Verdict(False)
    if head in _SUCCEED:
        expand_fields(words[-1], scope)
        return Verdict(True)
    raise _only_the_run(statement)


def _test(statement: Statement, scope: Scope) -> Verdict:
    text = statement.text.strip()
    if text.startswith("[[") and text.endswith("]]"):
        words = split_words(text[2:-2], statement.line, operators=True)
        return _Double(words, statement, scope).verdict()
    if text.startswith("[") and text.endswith("]"):
        return _by_number(split_words(text[1:-1], statement.line), statement, scope)
    if text.startswith("((") and text.endswith("))"):
        return _arithmetic(statement, scope)
    raise _only_the_run(statement)


def _arithmetic(statement: Statement, scope: Scope) -> Verdict:
    text = statement.text.strip()[2:-2]
    value, defaults = value_of_arithmetic(text, statement.line, scope)
    return Verdict(value != 0, defaults)


def _by_number(words: list[Word], statement: Statement, scope: Scope) -> Verdict:
    """`[ … ]`, which takes its words apart by their number, after they are split."""
    texts: list[str] = []
    plain: list[bool] = []
    defaults: tuple[Default, ...] = ()
    for word in words:
        defaults += expand_marks(word, scope)
        for field in expand_fields(word, scope):
            if isinstance(field, Gap):
                raise UnknownError(field.unknown.why, field.unknown.hint, field.unknown.names)
            texts.append(field.text)
            plain.append(word.text == field.text)
    if any(redirect.operator for redirect in statement.redirects if redirect.target not in _QUIET):
        raise _only_the_run(statement)
    return Verdict(expressions.holds(texts, plain), tuple(dict.fromkeys(defaults)))


class _Double:
    """`[[ … ]]`: a grammar of its own; what is behind a decided `&&` or `||` is not looked at."""

    def __init__(self, words: list[Word], statement: Statement, scope: Scope) -> None:
        self._words = words
        self._statement = statement
        self._scope = scope
        self._defaults: list[Default] = []
        self._at = 0

    def verdict(self) -> Verdict:
        """The outcome of the whole."""
        found = self._or(live=True)
        if self._at != len(self._words):
            raise _only_the_run(self._statement)
        return Verdict(found, tuple(dict.fromkeys(self._defaults)))

    def _peek(self) -> str:
        return self._words[self._at].text if self._at < len(self._words) else ""

    def _take(self) -> Word:
        if self._at >= len(self._words):
            raise _only_the_run(self._statement)
        self._at += 1
        return self._words[self._at - 1]

    def _operand(self) -> Word:
        word = self._take()
        text = word.text
        if text in expressions.BINARY or text in _DOUBLE_OPERATORS or _OPTION.fullmatch(text):
            raise _only_the_run(self._statement)  # for bash an error, mostly
        return word

    def _or(self, *, live: bool) -> bool:
        found = self._and(live=live)
        while self._peek() == "||":
            self._at += 1
            right = self._and(live=live and not found)
            found = found or right
        return found

    def _and(self, *, live: bool) -> bool:
        found = self._not(live=live)
        while self._peek() == "&&":
            self._at += 1
            right = self._not(live=live and found)
            found = found and right
        return found

    def _not(self, *, live: bool) -> bool:
        if self._peek() == "!":
            self._at += 1
            return not self._not(live=live)
        if self._peek() == "(":
            self._at += 1
            found = self._or(live=live)
            if self._take().text != ")":
                raise _only_the_run(self._statement)
            return found
        return self._primary(live=live)

    def _primary(self, *, live: bool) -> bool:
        if _OPTION.fullmatch(self._peek()):
            operator, operand = self._take().text, self._operand()
            return live and self._unary(operator, operand)
        first, following = self._operand(), self._peek()
        if following in expressions.BINARY or following == "=~":
            self._at += 1
            right = self._operand()
            return live and self._compared(first, following, right)
        return live and bool(self._value(first))

    def _value(self, word: Word) -> str:
        self._defaults += expand_marks(word, self._scope)
        return "".join(piece.text for piece in pieces_of(word, self._scope))

    def _unary(self, operator: str, operand: Word) -> bool:
        if operator == "-v":
            return expressions.is_set(operand.text, self._scope, operand.line)
        return expressions.unary(operator, self._value(operand))

    def _compared(self, left: Word, operator: str, right: Word) -> bool:
        if operator in ("=", "==", "!="):
            text = self._value(left)
            self._defaults += expand_marks(right, self._scope)
            pattern = pattern_of(pieces_of(right, self._scope), right.text)
            return bool(re.fullmatch(pattern, text)) == (operator != "!=")
        if operator == "=~":
            self._value(right)
            return expressions.matches(self._value(left), pieces_of(right, self._scope))
        return expressions.binary(self._value(left), operator, self._value(right))


def way_of(statement: Statement, scope: Scope) -> tuple[int | None, tuple[Default, ...]]:
    """Which branch of a construct is gone, None: none of them. Raises UnknownError."""
    if any(redirect.target not in _QUIET for redirect in statement.redirects):
        raise _only_the_run(statement)
    defaults: list[Default] = []
    if statement.subject is not None:
        return _case(statement, statement.subject, scope)
    for at, branch in enumerate(statement.branches):
        if statement.kind == "`for`":
            return (0 if _has_words(branch, scope) else None), ()
        if not branch.conditions and branch is not statement.branches[-1]:
            raise _only_the_run(statement)
        if len(branch.conditions) > 1:
            raise _only_the_run(branch.conditions[0])
        if branch.conditions:
            verdict = decide(branch.conditions[0], scope)
            defaults += verdict.defaults
            wanted = not statement.text.startswith("until")
            if verdict.holds != wanted:
                continue
        return at, tuple(dict.fromkeys(defaults))
    return None, tuple(dict.fromkeys(defaults))


def _has_words(branch: Branch, scope: Scope) -> bool:
    return any(expand_fields(word, scope) for word in branch.patterns)


def _case(
    statement: Statement, subject: Word, scope: Scope
) -> tuple[int | None, tuple[Default, ...]]:
    with _in_condition(scope), scope.aside():
        defaults = expand_marks(subject, scope)
        text = "".join(piece.text for piece in pieces_of(subject, scope))
        for at, branch in enumerate(statement.branches):
            for word in branch.patterns:
                if "(" in bare_source(word.text):
                    raise _only_the_run(statement)
                if re.fullmatch(pattern_of(pieces_of(word, scope), word.text), text):
                    if branch.goes_on:
                        raise _only_the_run(statement)
                    return at, defaults
        return None, defaults
