"""Assignments, declarations and `read`: what the variables of a script are afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from prl_submit.importing.bash.command_output import standard_input
from prl_submit.importing.bash.effects import bare
from prl_submit.importing.bash.expand import (
    MAX_ITEMS,
    expand_argument,
    expand_fields,
    expand_value,
    split_value,
)
from prl_submit.importing.bash.scope import (
    Default,
    Field,
    Gap,
    Given,
    Scope,
    Unknown,
    UnknownError,
    Variable,
    known_texts,
)
from prl_submit.importing.bash.statements import Assignment, Command, Statement, read_script
from prl_submit.importing.bash.syntax import Word
from prl_submit.importing.findings import Findings
from prl_submit.importing.secrets import is_worth_hiding

_COMPUTED_NAME = Unknown("the name of a variable is computed")


class Assignments:
    """Changes the variables of a scope as bash does."""

    def __init__(self, scope: Scope, findings: Findings) -> None:
        self._scope = scope
        self._findings = findings

    def expand(self, words: list[Word]) -> list[Given]:
        """The words a command gets; one that cannot be known is a gap."""
        return self._expand(words, expand_argument)

    def _expand(
        self, words: list[Word], expand_one: Callable[[Word, Scope], list[Given]]
    ) -> list[Given]:
        given: list[Given] = []
        for word in words:
            if len(given) > MAX_ITEMS:
                unknown = Unknown(f"more than {MAX_ITEMS:,} words", "write them to a file")
                return [Gap("…", word.line, unknown)]
            try:
                given += expand_one(word, self._scope)
            except UnknownError as error:
                given.append(Gap(word.text, word.line, error.unknown))
        return given

    def assign(self, assignment: Assignment, *, exported: bool = False) -> None:
        """Follow `NAME=WORD`."""
        before = self._scope.variables.get(assignment.name)
        found = self.assigned(assignment, exported=exported)
        if isinstance(assignment.value, Word) and before is not None:
            found = _into_items(before, found)
        self._scope.set(assignment.name, found)

    def assigned(self, assignment: Assignment, *, exported: bool) -> Variable:
        """The variable that an assignment would make; the scope keeps the one it has."""
        line, name = assignment.line, assignment.name
        self.refuse_fixed(name, line)
        before = self._scope.variables.get(name)
        is_array = not isinstance(assignment.value, Word)
        try:
            value, defaults = self._value(assignment, before)
        except UnknownError as error:
            unknown = error.unknown
            if isinstance(assignment.value, Word) and not assignment.append:
                words = split_value(assignment.value, self._scope)
                unknown = msgspec.structs.replace(unknown, words=words)
            return Variable(value=unknown, line=line, exported=exported, is_perhaps_array=is_array)
        if isinstance(value, str) and is_worth_hiding(name, value):
            self._findings.hidden.add(value)
        return Variable(value=value, line=line, exported=exported, defaults=defaults)

    def refuse_fixed(self, name: str, line: int) -> None:
        """Report a `readonly` variable that is set again, where bash stops."""
        if name in self._scope.fixed:
            message = f"{name} is readonly since line {self._scope.fixed[name]}: bash stops here"
            self._findings.error(line, message, "set it once")

    def _value(  # noqa: C901  # one refusal for each value that nothing can be added to
        self, assignment: Assignment, before: Variable | None
    ) -> tuple[str | list[Given], tuple[Default, ...]]:
        written = assignment.value
        if written is None:
            raise UnknownError("one element of an array is set", "write the array at once")
        if isinstance(written, list):
            items = [
                *(self._items(before) if assignment.append else []),
                *self._expand(written, expand_fields),
            ]
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

    # --- declarations -------------------------------------------------------------------------

    def declare(self, command: Command, line: int) -> None:  # noqa: C901  # the order of its steps is that of bash
        """Follow export, declare, readonly, typeset or local."""
        options = "".join(word.text[1:] for word in command.words if word.text[:1] in "-+")
        exported = command.declaration == "export" or "x" in options
        if not self._may_declare(command, options, line):
            return
        if self._is_local(command, options):
            self._hide(command)
        for assignment in command.assignments:
            self.assign(assignment, exported=exported)
        names = [assignment.name for assignment in command.assignments]
        for word in command.words:
            if word.text[:1] in "-+":
                continue
            names.append(word.text)
            if not word.text.isidentifier():
                self._findings.unknown(word.line, word.text, _COMPUTED_NAME)
            elif exported:
                self._scope.export(word.text)
        if command.declaration == "readonly" or "r" in options:
            self._scope.fixed |= dict.fromkeys(names, line)

    def _is_local(self, command: Command, options: str) -> bool:
        """True if variables that are declared in a function end with it."""
        if command.declaration in ("declare", "typeset") and "g" in options:
            return False
        is_local = command.declaration in ("local", "declare", "typeset")
        return is_local and bool(self._scope.locals)

    def _may_declare(self, command: Command, options: str, line: int) -> bool:
        """True if a declaration is one that can be followed; say why where it is not."""
        if command.declaration == "local" and not self._scope.locals:
            message = "local outside a function, where bash refuses it"
            self._findings.error(line, message, "leave local out")
            return False
        takes_away = any(word.text[:1] == "+" or word.text == "-n" for word in command.words)
        if takes_away or set(options) - set("xrga"):
            message = f"{command.declaration} {command.words[0].text} changes what a value is"
            self._findings.error(line, message, "export or set the variable plainly")
            return False
        return True

    def _hide(self, command: Command) -> None:
        """Begin local variables. They are unset, even where an array of that name is outside."""
        plain = [word.text for word in command.words if word.text.isidentifier()]
        for name in [*(assignment.name for assignment in command.assignments), *plain]:
            before = self._scope.variables.get(name)
            self._scope.hide(name)
            if name in plain or (before is not None and not isinstance(before.value, str)):
                self._scope.variables.pop(name, None)

    def unset(self, command: Command, line: int) -> bool:
        """Follow `unset`; true where the environment may have set one of the variables."""
        words = [bare(word.text) for word in command.words]
        if any(word[:1] == "-" and "f" in word for word in words):
            return False  # a function
        is_foreign = False
        for name in words:
            element = re.fullmatch(r"([A-Za-z_]\w*)\[[^\]]*\]", name, re.ASCII)
            if name in ("-v", "--"):
                continue
            if element is not None:
                why = Unknown("one element of an array is unset", "write the array at once")
                self._scope.set(element[1], Variable(value=why, line=line, is_perhaps_array=True))
            elif not name.isidentifier():
                self._findings.unknown(line, f"unset {name}", _COMPUTED_NAME)
            else:
                self.refuse_fixed(name, line)
                is_foreign |= name not in self._scope.variables
                self._scope.drop(name)
        return is_foreign

    # --- values from elsewhere ----------------------------------------------------------------

    def assume(self, values: dict[str, str]) -> None:
        """Take the values of `--assume`: `(a b)` is an array, and a number is an argument."""
        for name, text in values.items():
            if name.isdigit():
                continue
            is_array = text.startswith("(") and text.endswith(")")
            self._scope.assumed[name] = self._assumed_items(text) if is_array else text
        numbers = [int(name) for name in values if name.isdigit()]
        if numbers:
            texts = [values.get(str(n), "") for n in range(1, max(numbers) + 1)]
            self._scope.arguments = [Field(text, 1) for text in texts]

    def _assumed_items(self, text: str) -> list[Given]:
        statements, problems = read_script(f"A={text}".encode(), "--assume")
        command = statements[0].command if len(statements) == 1 and not problems else None
        written = command.assignments[0].value if command and command.assignments else None
        if isinstance(written, list):
            return self.expand(written)
        message = f"--assume {text}: not an array as bash writes it"
        self._findings.error(None, message, "'NAME=(a b)'")
        return []

    def read(self, statement: Statement, given: list[Given]) -> bool:
        """Follow `read` from a text that is known; false where only the run knows the text."""
        found = _read_variable(statement, given, self._scope)
        if found is None:
            return False
        self.refuse_fixed(found[0], statement.line)
        self._scope.set(*found)
        return True


def _into_items(before: Variable, found: Variable) -> Variable:
    """The variable after `A=x`, which sets only the first item where A is an array."""
    if isinstance(before.value, list) and isinstance(found.value, str):
        first: Given = Field(found.value, found.line, found.defaults)
        return msgspec.structs.replace(found, value=[first, *before.value[1:]], defaults=())
    is_array = isinstance(before.value, list) or before.is_perhaps_array
    return msgspec.structs.replace(found, is_perhaps_array=is_array)


# --- `read` -------------------------------------------------------------------------------------


def _read_variable(
    statement: Statement, given: list[Given], scope: Scope
) -> tuple[str, Variable] | None:
    """The variable that `read` sets: `IFS=, read -ra A <<< "$X"`, `read -r -d '' A <<'EOF'`."""
    words = known_texts(given[1:])
    options, names = _options_and_names(words)
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
    value = _split(text, separators, is_array="a" in options, line=statement.line)
    return None if value is None else (names[0], Variable(value=value, line=statement.line))


def _options_and_names(words: list[str]) -> tuple[str | None, list[str]]:
    """The options and the names; None for options other than `r`, `a`, and `d` with nothing."""
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


def _split(text: str, separators: str, *, is_array: bool, line: int) -> str | list[Given] | None:
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
