"""`if`, `case`, loops, tests, `&&` and `||`: which way a script goes, where that is known.

What only the run knows is left to a shell. `choices` says which way to take all the same, so that
the ways of a script can be compared (see `translate.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec
from msgspec import Struct

from prl_submit.importing.bash.conditions import decide, shown, way_of
from prl_submit.importing.bash.effects import all_effects, heads
from prl_submit.importing.bash.scope import Default, Scope, Unknown, UnknownError
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.known_commands import (
    ends_the_script,
    head_of,
    is_silent,
    runs_programs,
)
from prl_submit.rules import looks_secret

#: Where a decision is taken: the file, the line and the text of the statement.
Key = tuple[str, int, str]
_TESTS = frozenset(["a test", "`((`", "`!`"])
_LOOPS = frozenset(["`for`", "a loop"])
#: Commands in conditions that change nothing.
_ASKING = frozenset("[ command which type grep pgrep nvidia-smi ls test true false".split())
#: A value that looks like a credential: with it, looks_secret() says whether a name does.
_ANY_SECRET = "x" * 20


class Undecided(Struct, frozen=True):
    """A statement whose way only the run decides, and how many ways it has.

    `names`: the variables that decide it; none where more than variables does.
    """

    key: Key
    ways: int
    names: tuple[str, ...] = ()


class Follower(Protocol):
    """The part of the interpreter that Ways needs."""

    scope: Scope
    findings: Findings

    def run(self, statements: list[Statement]) -> None:
        """Follow statements in their order."""

    def opaque(self, statement: Statement, unknown: Unknown | None = None) -> None:
        """Leave a statement to a shell, since only the run knows its way."""

    def stop(self, line: int, *, is_failure: bool) -> None:
        """End the script."""


class Ways:
    """Decides which way a script goes, and goes it."""

    def __init__(self, follower: Follower, choices: Mapping[Key, int]) -> None:
        self._follower = follower
        self._scope = follower.scope
        self._findings = follower.findings
        self._choices = choices
        self.undecided: list[Undecided] = []
        #: Defaults by which the branches that are being followed were chosen.
        self.because: list[tuple[Default, ...]] = []

    def construct(self, statement: Statement) -> None:
        """Follow an `if`, a `case` or a loop."""
        try:
            way, defaults = way_of(statement, self._scope)
        except UnknownError as error:
            choice = self._choice(statement, _ways(statement), error.unknown)
            if choice is None or statement.kind in _LOOPS:
                self._follower.opaque(statement, error.unknown)
                return
            way, defaults = choice if choice < len(statement.branches) else None, ()
        body = [] if way is None else statement.branches[way].body
        self._skip(part for at, b in enumerate(statement.branches) if at != way for part in b.body)
        if way is not None and statement.kind in _LOOPS:
            self._follower.opaque(statement)
        elif defaults and _asks_for_secrets(defaults) and ends_the_script(body):
            self._follower.opaque(statement)  # launch.sh checks it when the job runs
        else:
            if any(not is_silent(part) for branch in statement.branches for part in branch.body):
                self._say(statement, defaults)
            self._within(body, defaults)

    def _skip(self, statements: Iterable[Statement]) -> None:
        """Remember the variables that statements would set which bash does not run."""
        for statement in statements:
            for name in statement.writes:
                self._scope.skipped.setdefault(name, statement.line)

    def _within(self, body: list[Statement], defaults: tuple[Default, ...]) -> None:
        self.because.append(defaults)
        self._follower.run(body)
        self.because.pop()

    def _say(self, statement: Statement, defaults: tuple[Default, ...]) -> None:
        if defaults:
            self._findings.decided(defaults, shown(statement.text, 50), statement.line)

    def _choice(self, statement: Statement, ways: int, unknown: Unknown) -> int | None:
        """The way that `choices` says; where it says none, the statement is noted as undecided."""
        key = key_of(statement)
        if key in self._choices:
            return self._choices[key]
        if statement.kind not in _LOOPS and _matters(statement):
            self.undecided.append(Undecided(key, ways, unknown.names))
        return None

    # --- tests and chains ---------------------------------------------------------------------

    def test(self, statement: Statement) -> None:
        """Follow a test on a line of its own: with `set -e`, the script ends where the test fails."""
        try:
            verdict = decide(statement, self._scope)
        except UnknownError as error:
            self._follower.opaque(statement, error.unknown)
            return
        if not verdict.holds and self._scope.stops_at_errors and statement.kind != "`!`":
            self.because.append(verdict.defaults)
            self._follower.stop(statement.line, is_failure=True)
            self.because.pop()

    def chain(self, statement: Statement) -> bool:  # noqa: C901  # one case for each part of a chain
        """Follow `[[ … ]] && a || b`; false for a chain that does not begin with a test."""
        if not _is_test(statement.parts[0]):
            return False
        status = True
        defaults: tuple[Default, ...] = ()
        for at, part in enumerate(statement.parts):
            if at and status != (statement.operators[at - 1] == "&&"):
                self._skip([part])
                continue
            if _is_test(part):
                try:
                    verdict = decide(part, self._scope)
                except UnknownError as error:
                    return self._undecided_chain(statement, at, error.unknown)
                status, defaults = verdict.holds, (*defaults, *verdict.defaults)
                if at == 0 and self._asks_for_a_secret(statement, defaults, status=status):
                    self._follower.opaque(statement)
                    return True
                continue
            rest = _rest(statement, at)
            self._say(statement, defaults)
            if rest.kind == "chain" and _succeeds(part):
                self._within([part], defaults)
                defaults = ()
                continue
            self._within([rest], defaults)
            return True
        if not status and _is_test(statement.parts[-1]) and self._scope.stops_at_errors:
            self._follower.stop(statement.line, is_failure=True)
        elif any(not is_silent(part) for part in statement.parts if not _is_test(part)):
            self._say(statement, defaults)
        return True

    def _undecided_chain(self, statement: Statement, at: int, unknown: Unknown) -> bool:
        """Follow a chain whose test only the run decides, in the way that `choices` says."""
        rest = _rest(statement, at)
        choice = self._choice(rest, 2, unknown)
        if choice is None:
            self._follower.opaque(rest, unknown)
        elif rest.kind == "chain":
            known = msgspec.structs.replace(
                rest.parts[0], kind="command", command=None, text="true", branches=[]
            )
            self._taken(msgspec.structs.replace(rest, parts=[known, *rest.parts[1:]]), choice == 0)
        return True

    def _taken(self, statement: Statement, status: bool) -> None:
        """Follow the rest of a chain behind a test whose outcome is taken to be `status`."""
        for at, part in enumerate(statement.parts[1:], 1):
            if status == (statement.operators[at - 1] == "&&"):
                rest = _rest(statement, at)
                if rest.kind == "chain" and _succeeds(part):
                    self._within([part], ())
                    status = True
                    continue
                self._within([rest], ())
                return
            self._skip([statement.parts[at]])

    def _asks_for_a_secret(
        self, statement: Statement, defaults: tuple[Default, ...], *, status: bool
    ) -> bool:
        following = statement.parts[1:]
        goes_on = bool(following) and status == (statement.operators[0] == "&&")
        return goes_on and _asks_for_secrets(defaults) and ends_the_script(following)


def key_of(statement: Statement) -> Key:
    """Where a statement stands, and what it says."""
    return getattr(statement.line, "file", ""), int(statement.line), statement.text


def _ways(statement: Statement) -> int:
    """How many ways a construct has: its branches, and one more where bash may take none."""
    last = statement.branches[-1]
    if statement.subject is not None:
        is_complete = any(word.text == "*" for word in last.patterns)
    else:
        is_complete = not last.conditions
    return len(statement.branches) + (not is_complete)


def _rest(statement: Statement, at: int) -> Statement:
    """The part of a chain from `at` on."""
    if at == 0:
        return statement
    parts, operators = statement.parts[at:], statement.operators[at:]
    if len(parts) == 1:
        return parts[0]
    text = parts[0].text
    for operator, part in zip(operators, parts[1:], strict=True):
        text += f" {operator} {part.text}"
    return msgspec.structs.replace(
        statement,
        parts=parts,
        operators=operators,
        text=text,
        line=parts[0].line,
        **msgspec.structs.asdict(all_effects(parts)),
    )


def _is_test(statement: Statement) -> bool:
    return statement.kind in _TESTS or head_of(statement) in ("test", "false")


def _succeeds(statement: Statement) -> bool:
    """True if a command cannot fail: it sets variables, or prints."""
    if statement.kind == "group":
        return bool(statement.parts) and all(_succeeds(part) for part in statement.parts)
    command = statement.command
    if command is None or runs_programs(statement):
        return False
    return not command.words or head_of(statement) in ("echo", ":", "true", "printf")


def _asks_for_secrets(defaults: tuple[Default, ...]) -> bool:
    return bool(defaults) and all(looks_secret(d.name, _ANY_SECRET) for d in defaults)


def _matters(statement: Statement) -> bool:
    """True if trying each way of a statement can help: a way changes something, its condition does not."""
    conditions = [c for branch in statement.branches for c in branch.conditions]
    calls = [call for condition in conditions for call in condition.calls]
    is_pure = all(name in _ASKING for name, _ in heads(tuple(calls)))
    return is_pure and (bool(statement.writes) or statement.trains)
