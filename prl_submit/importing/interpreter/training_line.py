"""The line that starts the training: its redirections, and the environment that it sets up."""

from __future__ import annotations

from prl_submit.importing.bash.effects import read_names
from prl_submit.importing.bash.scope import Gap, Scope, Variable
from prl_submit.importing.bash.statements import Assignment, Command, Redirection, Statement
from prl_submit.importing.bash.syntax import Word
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.assignments import Assignments
from prl_submit.importing.interpreter.kept_lines import Past
from prl_submit.importing.training_command import Start


class TrainingLine:
    """Reads such a line. What could stand on a line before it as well is added to `history`."""

    def __init__(
        self, scope: Scope, assignments: Assignments, history: list[Past], findings: Findings
    ) -> None:
        self._scope = scope
        self._findings = findings
        self._assignments = assignments
        self._history = history

    def environment(
        self, statement: Statement, command: Command, start: Start
    ) -> dict[str, Variable]:
        """Exported variables, then those of the line, then those of `env`."""
        for redirect in statement.redirects:
            self._check_redirect(redirect)
        for message, hint in start.notes:
            self._findings.note(start.line, message, hint)
        exported = dict(self._scope.inherited)
        exported |= {n: v for n, v in self._scope.variables.items() if v.exported}
        exported |= self._prefixed(command)
        for name, value in start.environment:
            if value is None:
                exported.pop(name, None)
            elif isinstance(value, Gap):
                exported[name] = Variable(value=value.unknown, line=value.line, exported=True)
                self._findings.unknown(value.line, name, value.unknown)
            else:
                exported[name] = Variable(
                    value=value.text, line=value.line, exported=True, defaults=value.defaults
                )
        return exported

    def hand_over(self, statement: Statement, command: Command, start: Start) -> None:
        """Give another shell the exported variables, those of the line, and those of `env`."""
        for redirect in statement.redirects:
            self._check_redirect(redirect)
        for name, variable in self._prefixed(command).items():
            self._scope.set(name, variable)
        for name, value in start.environment:
            if value is None:
                self._scope.drop(name)
            else:
                known = value.unknown if isinstance(value, Gap) else value.text
                self._scope.set(name, Variable(value=known, line=value.line, exported=True))
        start.environment = []

    def _prefixed(self, command: Command) -> dict[str, Variable]:
        """The variables of `A=1 B=$A swift rlhf`: each assignment sees those before it."""
        found: dict[str, Variable] = {}
        with self._scope.aside():
            for assignment in command.assignments:
                variable = self._assignments.assigned(assignment, exported=True)
                found[assignment.name] = variable
                self._scope.set(assignment.name, variable)
                if isinstance(assignment.value, Word):
                    self._remember_export(assignment, assignment.value)
        return found

    def _remember_export(self, assignment: Assignment, value: Word) -> None:
        """Remember the assignment as an `export` on a line of its own."""
        text = f"export {assignment.name}{'+' if assignment.append else ''}={value.text}"
        export = Statement(
            kind="command",
            text=text,
            line=value.line,
            reads=read_names(value.text),
            writes=frozenset([assignment.name]),
            command=Command([assignment], [], "export"),
        )
        folder = self._scope.folder
        self._history.append(Past(statement=export, text=text, folder=folder, keep=False))

    def _check_redirect(self, redirect: Redirection) -> None:
        if "<" in redirect.operator and redirect.target != "/dev/null":
            what = "its standard input" if redirect.target else "a here-document"
            self._findings.error(redirect.line, f"the training reads {what}", "a job has none")
            return
        given = [] if redirect.word is None else self._assignments.expand([redirect.word])
        if len(given) != 1:
            message = f"{redirect.operator} {redirect.target} is not one file: bash stops here"
            self._findings.error(redirect.line, message, "put quotes around it")
