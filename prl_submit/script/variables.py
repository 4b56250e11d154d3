"""Assignments and declarations, followed: what a script's variables are afterwards."""

from __future__ import annotations

import msgspec

from prl_submit.script.findings import Findings
from prl_submit.script.scope import (
    Default,
    Field,
    Gap,
    Given,
    Scope,
    Unknown,
    UnknownError,
    Variable,
)
from prl_submit.script.statement import Assignment, Command, Word
from prl_submit.script.words import expand_fields, expand_value


class Variables:
    """Changes the variables of a scope as bash would."""

    def __init__(self, scope: Scope, findings: Findings) -> None:
        self._scope = scope
        self._findings = findings

    def expand(self, words: list[Word]) -> list[Given]:
        """The words a command gets; one that cannot be known is a gap."""
        given: list[Given] = []
        for word in words:
            try:
                given += expand_fields(word, self._scope)
            except UnknownError as error:
                given.append(Gap(word.text, word.line, error.unknown))
        return given

    def assign(self, assignment: Assignment, *, exported: bool = False) -> None:
        """`NAME=WORD`."""
        self._scope.set(assignment.name, self.assigned(assignment, exported=exported))

    def assigned(self, assignment: Assignment, *, exported: bool) -> Variable:
        """What an assignment makes of its variable, which stays as it is."""
        line = assignment.line
        before = self._scope.variables.get(assignment.name)
        try:
            value, defaults = self._value(assignment, before)
        except UnknownError as error:
            return Variable(value=error.unknown, line=line, exported=exported)
        return Variable(value=value, line=line, exported=exported, defaults=defaults)

    def _value(
        self, assignment: Assignment, before: Variable | None
    ) -> tuple[str | list[Given], tuple[Default, ...]]:
        written = assignment.value
        if written is None:
            raise UnknownError("one element of an array is set", "write the array at once")
        if isinstance(written, list):
            items = self._items(before) if assignment.append else []
            return [*items, *self.expand(written)], ()
        text, defaults = expand_value(written, self._scope)
        if not assignment.append:
            return text, defaults
        if before is None:
            raise UnknownError(f"${assignment.name} is not set before", "write the value")
        if isinstance(before.value, Unknown):
            raise UnknownError(before.value.why, before.value.hint)
        if isinstance(before.value, list):
            raise UnknownError("text is added to an array", "write NAME+=(WORD)")
        both = (*before.defaults, *defaults)
        if before.value and text:  # neither is the whole any more
            both = tuple(msgspec.structs.replace(default, whole=False) for default in both)
        return before.value + text, both

    def _items(self, before: Variable | None) -> list[Given]:
        if before is None:
            return []
        if isinstance(before.value, Unknown):
            raise UnknownError(before.value.why, before.value.hint)
        if isinstance(before.value, list):
            return before.value
        return [Field(before.value, before.line, before.defaults)]

    def declare(self, command: Command, line: int) -> None:
        """Export, declare, readonly, typeset, local."""
        options = "".join(word.text[1:] for word in command.words if word.text[:1] in "-+")
        exported = command.declaration == "export" or "x" in options
        if set(options) - set("xrga") or any(
            word.text[:1] == "+" or word.text == "-n" for word in command.words
        ):
            message = f"{command.declaration} {command.words[0].text} changes what a value is"
            self._findings.error(line, message, "export or set the variable plainly")
            return
        for assignment in command.assignments:
            self.assign(assignment, exported=exported)
        for word in command.words:
            if word.text[:1] in "-+":
                continue
            if not word.text.isidentifier():
                unknown = Unknown("the name of a variable is computed")
                self._findings.unknown(word.line, word.text, unknown)
            elif exported:
                self._scope.export(word.text)

    def unset(self, command: Command) -> bool:
        """Whether one of the variables may come from the outside: the script has not set it."""
        names = [word.text for word in command.words if word.text[:1] != "-"]
        foreign = [name for name in names if name not in self._scope.variables]
        for name in names:
            self._scope.variables.pop(name, None)
        return bool(foreign)
