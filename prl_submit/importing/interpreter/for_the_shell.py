"""Statements that only a shell can run: they are kept, and what they set is not known afterwards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from prl_submit.importing.bash.effects import ANY, heads
from prl_submit.importing.bash.scope import Scope, Unknown, Variable, known_texts
from prl_submit.importing.bash.statements import Line, Statement
from prl_submit.importing.findings import Findings, assumptions
from prl_submit.importing.interpreter.assignments import Assignments
from prl_submit.importing.interpreter.constructs import ends_quietly, far_reaching, written_by
from prl_submit.importing.interpreter.kept_lines import Past, refused
from prl_submit.importing.interpreter.known_commands import OWN_MEANING
from prl_submit.launch.quote import bash

_KINDS = {"chain": "`&&` or `||`", "pipeline": "a pipe"}
_MAX_FUNCTIONS = 100
_ARGUMENTS = frozenset(["@", "*", "#", *"123456789"])
_FAR_HINT = "do it before you submit, or on a line of its own"


def kind_of(statement: Statement) -> str:
    """What a statement is called in messages."""
    return _KINDS.get(statement.kind, statement.kind)


class ForTheShell:
    """Remembers what was followed, and keeps what a shell must run.

    `trains` says whether a statement starts a training somewhere in it.
    """

    def __init__(
        self,
        scope: Scope,
        assignments: Assignments,
        findings: Findings,
        trains: Callable[[Statement], bool],
    ) -> None:
        self.history: list[Past] = []
        #: The chain whose only command is being followed, `a || exit`: both are kept.
        self.whole: Statement | None = None
        self._scope = scope
        self._assignments = assignments
        self._findings = findings
        self._trains = trains

    def remember(self, statement: Statement, *, keep: bool, text: str | None = None) -> None:
        """Remember a statement that was followed. `text`: what has its effect in launch.sh."""
        if text is None:
            text = (self.whole or statement).text
        command = statement.command
        if command is not None and command.declaration == "local":
            text = f"declare{text.removeprefix('local')}"
        bare = command is not None and not command.words and not command.declaration
        if bare and self._scope.exports_all:
            text = f"export {text}"
        folder = self._scope.folder
        self.history.append(Past(statement=statement, text=text, folder=folder, keep=keep))

    def keep(self, statement: Statement, what: str) -> None:
        """Keep a statement for `environment.setup`. `what` it is called in messages."""
        refusal = refused(what, statement.text)
        if refusal is not None:
            self._findings.error(statement.line, f"{what}: {refusal[0]}", refusal[1])
            return
        reads_arguments = bool(_ARGUMENTS & statement.reads)
        if self._scope.locals and reads_arguments and not statement.writes:
            self._keep_with_arguments(statement)
            return
        if self._scope.arguments and reads_arguments:
            message = "reads the script's own arguments, which launch.sh does not have"
            self._findings.error(statement.line, message, "write them out")
        self.remember(statement, keep=True)
        if statement.command is not None and statement.writes:
            unknown = Unknown(f"{what} sets it when it runs", "write the value")
            self.forget(statement, statement.writes, unknown)

    def _keep_with_arguments(self, statement: Statement) -> None:
        """Keep a check in a function, with the function's own arguments."""
        words = known_texts(self._scope.arguments)
        if len(words) != len(self._scope.arguments):
            message = "reads arguments that only the run knows"
            self._findings.error(statement.line, message, "write them out")
            return
        given = " ".join(["set --", *map(bash, words)])
        self.remember(statement, keep=True, text=f"({given}; {statement.text})")

    def forget(self, statement: Statement, names: Iterable[str], unknown: Unknown) -> None:
        """From here on nobody knows the variables that the statement may set."""
        for name in sorted(name for name in names if name[-2:] != "()" and name != ANY):
            exported = bool(re.search(rf"\b(export|-x)\s[^;\n]*\b{name}\b", statement.text))
            self._assignments.refuse_fixed(name, statement.line)
            variable = Variable(
                value=unknown, line=statement.line, exported=exported, is_perhaps_array=True
            )
            self._scope.set(name, variable)

    def opaque(self, statement: Statement, unknown: Unknown | None = None) -> None:
        """Keep a statement whose way only bash knows, if it is not in the training's way.

        `unknown`: why its condition is not known.
        """
        names = () if unknown is None else unknown.names
        if statement.kind == "a function":  # it does nothing until it is called
            self._name_functions(statement)
            self.remember(statement, keep=False)
            return
        what = kind_of(statement)
        refusal = self._refusal(statement, what, names)
        if refusal is not None:
            self._findings.error(statement.line, *refusal)
            return
        self.keep(statement, what)
        self._name_functions(statement)
        if statement.kind != "a subshell":
            why = f"it is set inside {what}, and only the run knows which way that goes"
            written = written_by(statement, self._scope)
            self.forget(statement, written, Unknown(why, "write the value", names))

    def _refusal(
        self, statement: Statement, what: str, names: tuple[str, ...]
    ) -> tuple[str, str | None] | None:
        """Why a statement cannot be kept, and what to do; None where it can."""
        if self._trains(statement):
            hint = "one spec is one training: write it on a line of its own"
            hint = f"{assumptions(names)} decides it; else {hint}" if names else hint
            return f"the training is started inside {what}", hint
        far = None if statement.kind == "a subshell" else far_reaching(statement, self._scope)
        if far:
            return f"{far} inside {what}: what follows depends on it", _FAR_HINT
        if self._scope.locals and any(name == "return" for name, _ in heads(statement.calls)):
            message = f"return inside {what}: what follows depends on it"
            return message, assumptions(names) or None
        if quiet := ends_quietly(statement, self._scope):
            message = f"`{quiet}` inside {what}: the job would look done, without a training"
            return message, "exit 1 says that it has failed"
        return None

    def _name_functions(self, statement: Statement) -> None:
        for name in [name[:-2] for name in statement.writes if name.endswith("()")]:
            self._scope.functions[name] = statement
            if len(self._scope.functions) > _MAX_FUNCTIONS:
                message = f"more than {_MAX_FUNCTIONS} functions are not read"
                self._findings.error(statement.line, message, None)
                self._scope.functions.clear()
            if name in OWN_MEANING:
                message = f"{name} is a function here, in place of the command"
                self._findings.error(statement.line, message, "give it another name")

    def refuse_leaks(self, before: dict[str, Variable]) -> None:
        """Refuse kept lines of another script that read what is not exported to it.

        `before`: the variables of the script that starts it, which environment.setup would have.
        """
        hidden = {name for name, variable in before.items() if not variable.exported}
        for past in self.history:
            if isinstance(past.statement.line, Line) and past.keep:
                for name in sorted(past.statement.reads & hidden):
                    message = f"{name} is set in the script, and not exported to this one"
                    self._findings.error(past.statement.line, message, "export or rename it")
