"""The training's own line: its redirections, and the environment that it is started in."""

from __future__ import annotations

from prl_submit.importing.bash.effects import read_names
from prl_submit.importing.bash.scope import Gap, Scope, Variable
from prl_submit.importing.bash.statements import Assignment, Command, Redirect, Statement
from prl_submit.importing.bash.syntax import Word
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.assignments import Variables
from prl_submit.importing.interpreter.kept_lines import Past
from prl_submit.importing.training import Start


class Launch:
    """Reads the line that starts the training; `history` gets what could stand before it as well."""

    def __init__(
        self, scope: Scope, variables: Variables, history: list[Past], findings: Findings
    ) -> None:
        self.scope = scope
        self.findings = findings
        self._variables = variables
        self._history = history

    def environment(
        self, statement: Statement, command: Command, start: Start
    ) -> dict[str, Variable]:
        """Exported variables, then those of the line, then those of `env`."""
        for redirect in statement.redirects:
            self._redirected(redirect)
        for message, hint in start.notes:
            self.findings.note(start.line, message, hint)
        exported = dict(self.scope.inherited)
        exported |= {n: v for n, v in self.scope.variables.items() if v.exported}
        exported |= self._prefixed(statement, command)
        for name, value in start.environment:
            if value is None:
                exported.pop(name, None)
            elif isinstance(value, Gap):
                exported[name] = Variable(value=value.unknown, line=value.line, exported=True)
                self.findings.unknown(value.line, name, value.unknown)
            else:
                exported[name] = Variable(
                    value=value.text, line=value.line, exported=True, defaults=value.defaults
                )
        return exported

    def hand_over(self, statement: Statement, command: Command, start: Start) -> None:
        """What another shell gets: exported variables, those of the line, and those of `env`."""
        for redirect in statement.redirects:
            self._redirected(redirect)
        for name, variable in self._prefixed(statement, command).items():
            self.scope.set(name, variable)
        for name, value in start.environment:
            if value is None:
                self.scope.drop(name)
            else:
                known = value.unknown if isinstance(value, Gap) else value.text
                self.scope.set(name, Variable(value=known, line=value.line, exported=True))
        start.environment = []

    def _prefixed(self, statement: Statement, command: Command) -> dict[str, Variable]:
        """`A=1 B=$A swift rlhf`: each sees those before it; a line of its own can say it as well."""
        found: dict[str, Variable] = {}
        with self.scope.aside():
            for assignment in command.assignments:
                variable = self._variables.assigned(assignment, exported=True)
                found[assignment.name] = variable
                self.scope.set(assignment.name, variable)
                if isinstance(assignment.value, Word):
                    self._export_first(assignment, assignment.value, statement)
        return found

    def _export_first(self, assignment: Assignment, value: Word, statement: Statement) -> None:
        own = Statement(
            kind="command",
            text=f"export {assignment.name}{'+' if assignment.append else ''}={value.text}",
            line=value.line,
            reads=read_names(value.text),
            writes=frozenset([assignment.name]),
            command=Command([assignment], [], "export"),
        )
        folder = self.scope.folder
        self._history.append(Past(statement=own, text=own.text, folder=folder, keep=False))

    def _redirected(self, redirect: Redirect) -> None:
        if "<" in redirect.operator and redirect.target != "/dev/null":
            what = "its standard input" if redirect.target else "a here-document"
            self.findings.error(redirect.line, f"the training reads {what}", "a job has none")
            return
        given = [] if redirect.word is None else self._variables.expand([redirect.word])
        if len(given) != 1:
            message = f"{redirect.operator} {redirect.target} is not one file: bash stops here"
            self.findings.error(redirect.line, message, "put quotes around it")
