"""Assignments and declarations, followed: what a script's variables are afterwards."""

from __future__ import annotations

import re

import msgspec

from prl_submit.importing.bash.effects import bare
from prl_submit.importing.bash.scope import (
    Default,
    Field,
    Gap,
    Given,
    Scope,
    Unknown,
    UnknownError,
    Variable,
)
from prl_submit.importing.bash.statements import Assignment, Command
from prl_submit.importing.bash.syntax import Word
from prl_submit.importing.bash.words import MAX_ITEMS, expand_fields, expand_value
from prl_submit.importing.findings import Findings
from prl_submit.importing.secrets import is_worth_hiding


class Variables:
    """Changes the variables of a scope as bash would."""

    def __init__(self, scope: Scope, findings: Findings) -> None:
        self._scope = scope
        self._findings = findings

    def expand(self, words: list[Word]) -> list[Given]:
        """The words a command gets; one that cannot be known is a gap."""
        given: list[Given] = []
        for word in words:
            if len(given) > MAX_ITEMS:
                unknown = Unknown(f"more than {MAX_ITEMS:,} words", "write them to a file")
                return [Gap("…", word.line, unknown)]
            try:
                given += expand_fields(word, self._scope)
            except UnknownError as error:
                given.append(Gap(word.text, word.line, error.unknown))
        return given

    def assign(self, assignment: Assignment, *, exported: bool = False) -> None:
        """`NAME=WORD`."""
        before = self._scope.variables.get(assignment.name)
        found = self.assigned(assignment, exported=exported)
        if isinstance(assignment.value, Word) and before is not None:
            found = _into_items(before, found)
        self._scope.set(assignment.name, found)

    def assigned(self, assignment: Assignment, *, exported: bool) -> Variable:
        """What an assignment makes of its variable, which stays as it is."""
        line, name = assignment.line, assignment.name
        self.refuse_fixed(name, line)
        before = self._scope.variables.get(name)
        is_array = not isinstance(assignment.value, Word)
        try:
            value, defaults = self._value(assignment, before)
        except UnknownError as error:
            return Variable(
                value=error.unknown, line=line, exported=exported, is_perhaps_array=is_array
            )
        if isinstance(value, str) and is_worth_hiding(name, value):
            self._findings.hidden.add(value)
        return Variable(value=value, line=line, exported=exported, defaults=defaults)

    def refuse_fixed(self, name: str, line: int) -> None:
        """Bash stops where a `readonly` variable is set again."""
        if name in self._scope.fixed:
            message = f"{name} is readonly since line {self._scope.fixed[name]}: bash stops here"
            self._findings.error(line, message, "set it once")

    def _value(
        self, assignment: Assignment, before: Variable | None
    ) -> tuple[str | list[Given], tuple[Default, ...]]:
        written = assignment.value
        if written is None:
            raise UnknownError("one element of an array is set", "write the array at once")
        if isinstance(written, list):
            items = [*(self._items(before) if assignment.append else []), *self.expand(written)]
            if len(items) > MAX_ITEMS:
                raise UnknownError(f"an array of more than {MAX_ITEMS:,} items", "use a file")
            return items, ()
        text, defaults = expand_value(written, self._scope)
        if not assignment.append:
            return text, defaults
        if before is None:
            raise UnknownError(
                f"${assignment.name} is not set before", "write the value", (assignment.name,)
            )
        if isinstance(before.value, Unknown):
            raise UnknownError(before.value.why, before.value.hint, before.value.names)
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
            raise UnknownError(before.value.why, before.value.hint, before.value.names)
        if isinstance(before.value, list):
            return before.value
        return [Field(before.value, before.line, before.defaults)]

    def declare(self, command: Command, line: int) -> None:
        """Export, declare, readonly, typeset, local."""
        options = "".join(word.text[1:] for word in command.words if word.text[:1] in "-+")
        exported = command.declaration == "export" or "x" in options
        is_local = bool(self._scope.locals) and (
            command.declaration == "local"
            or (command.declaration in ("declare", "typeset") and "g" not in options)
        )
        if command.declaration == "local" and not is_local:
            message = "local outside a function, where bash refuses it"
            self._findings.error(line, message, "leave local out")
            return
        if set(options) - set("xrga") or any(
            word.text[:1] == "+" or word.text == "-n" for word in command.words
        ):
            message = f"{command.declaration} {command.words[0].text} changes what a value is"
            self._findings.error(line, message, "export or set the variable plainly")
            return
        if is_local:
            self._hide(command)
        names = [assignment.name for assignment in command.assignments]
        for assignment in command.assignments:
            self.assign(assignment, exported=exported)
        for word in command.words:
            if word.text[:1] in "-+":
                continue
            names.append(word.text)
            if not word.text.isidentifier():
                unknown = Unknown("the name of a variable is computed")
                self._findings.unknown(word.line, word.text, unknown)
            elif exported:
                self._scope.export(word.text)
        if command.declaration == "readonly" or "r" in options:
            self._scope.fixed |= dict.fromkeys(names, line)

    def _hide(self, command: Command) -> None:
        """Local variables begin unset; no array of the same name is behind them."""
        plain = [word.text for word in command.words if word.text.isidentifier()]
        for name in [*(assignment.name for assignment in command.assignments), *plain]:
            before = self._scope.variables.get(name)
            self._scope.hide(name)
            if name in plain or (before is not None and not isinstance(before.value, str)):
                self._scope.variables.pop(name, None)

    def unset(self, command: Command, line: int) -> bool:
        """Whether one of the variables may come from the outside: the script has not set it."""
        words = [bare(word.text) for word in command.words]
        if any(word[:1] == "-" and "f" in word for word in words):
            return False  # a function, which is not followed anyway
        is_foreign = False
        for name in words:
            if name in ("-v", "--"):
                continue
            element = re.fullmatch(r"([A-Za-z_]\w*)\[[^\]]*\]", name, re.ASCII)
            if element is None and not name.isidentifier():
                unknown = Unknown("the name of a variable is computed")
                self._findings.unknown(line, f"unset {name}", unknown)
            elif element is not None:
                why = Unknown("one element of an array is unset", "write the array at once")
                self._scope.set(element[1], Variable(value=why, line=line, is_perhaps_array=True))
            else:
                self.refuse_fixed(name, line)
                is_foreign |= name not in self._scope.variables
                self._scope.drop(name)
        return is_foreign


def _into_items(before: Variable, found: Variable) -> Variable:
    """`A=x` sets the first item of an array, and leaves the others."""
    if isinstance(before.value, list) and isinstance(found.value, str):
        first: Given = Field(found.value, found.line, found.defaults)
        return msgspec.structs.replace(found, value=[first, *before.value[1:]], defaults=())
    is_array = isinstance(before.value, list) or before.is_perhaps_array
    return msgspec.structs.replace(found, is_perhaps_array=is_array)
