"""Follow a script from its first line to its training, as bash would, running nothing.

What only sets variables is computed; what only prints is passed over; what has an effect of its
own is kept for `environment.setup`; what decides by something that only the run knows is kept too,
and the variables it may set are unknown from there on.
"""

from __future__ import annotations

import posixpath
import re

from msgspec import Struct

from prl_submit.script.activation import Activated
from prl_submit.script.commands import Commands, note_logs
from prl_submit.script.findings import Findings
from prl_submit.script.launcher import (
    LAUNCHERS_OWN,
    RESOURCES,
    TRAINING,
    Refused,
    Start,
    find_start,
)
from prl_submit.script.scope import Field, Gap, Given, Place, Scope, Unknown, Variable
from prl_submit.script.setup import Past, refused, setup_lines
from prl_submit.script.statement import Assignment, Command, Redirect, Statement, Word
from prl_submit.script.substitution import substitute
from prl_submit.script.variables import Variables

#: They change nothing for what follows.
SILENT = frozenset(
    [
        "echo",
        "printf",
        "true",
        ":",
        "date",
        "pwd",
        "clear",
        "hostname",
        "whoami",
        "which",
        "type",
        "shopt",
        "sleep",
    ]
)
#: After the training, these are no loss either.
_HARMLESS_AFTER = SILENT | frozenset(
    ["exit", "return", "wait", "cd", "set", "conda", "unset", "deactivate", "kill"]
)
_BAIL_OUT = frozenset(["exit", "return", "true", ":", "echo", "false", "printf"])
#: What must not stand in lines that are kept: it would change what follows in a way nobody follows.
_FAR_REACHING = re.compile(
    r"(?:^|[;&|({\n]|\bthen|\bdo|\belse)\s*(cd|pushd|popd|shift|trap|eval|source|\.|alias|exec|getopts"
    r"|set\s+--|conda\s+activate)(?=\s|$)",
    re.MULTILINE,
)
_FAR_HINT = "do it before you submit, or on a line of its own"


class Followed(Struct, kw_only=True):
    """Where a script arrives: the training with everything around it."""

    start: Start | None
    scope: Scope
    #: The training's environment: exported variables, then those of its own line.
    environment: dict[str, Variable]
    setup: list[str]
    activated: Activated


def follow(
    statements: list[Statement], place: Place, findings: Findings, known: dict[str, str]
) -> Followed:
    """Follow the statements. `known`: variables that the scheduler sets (SLURM_NNODES, …)."""
    follower = _Follower(place, findings)
    for name, value in known.items():
        follower.scope.set(name, Variable(value=value, line=1))
    for statement in statements:
        follower.step(statement)
    return follower.end()


class _Follower:
    """One script, while it is followed."""

    def __init__(self, place: Place, findings: Findings) -> None:
        self.scope = Scope(place, lambda text, line: substitute(self.scope, text, line))
        self.findings = findings
        self.activated = Activated()
        self.start: Start | None = None
        self._environment: dict[str, Variable] = {}
        #: The chain whose only command is being followed, `a || exit`.
        self._whole: Statement | None = None
        self._history: list[Past] = []
        self._variables = Variables(self.scope, findings)
        self._commands = Commands(self.scope, self.activated, findings)

    def end(self) -> Followed:
        """The outcome."""
        unknown = {n for n, v in self._environment.items() if isinstance(v.value, Unknown)}
        unknown -= LAUNCHERS_OWN | RESOURCES
        setup = setup_lines(self._history, self.scope, unknown, self.findings)
        return Followed(
            start=self.start,
            scope=self.scope,
            environment=self._environment,
            setup=setup,
            activated=self.activated,
        )

    # --- statements ---------------------------------------------------------------------------

    def step(self, statement: Statement) -> None:
        """Follow one statement."""
        if statement.kind == "an error":
            return
        if self.start is not None:
            self._after(statement)
        elif statement.kind == "group" and not statement.redirects and not statement.background:
            for part in statement.parts:
                self.step(part)
        elif statement.kind == "chain":
            self._chain(statement)
        elif statement.kind == "pipeline":
            self._pipeline(statement)
        elif statement.kind == "command" and statement.command is not None:
            self._command(statement, statement.command)
        else:
            self._opaque(statement)

    def _command(self, statement: Statement, command: Command) -> None:
        if command.declaration:
            is_foreign = False
            if command.declaration in ("unset", "unsetenv"):
                is_foreign = self._variables.unset(command)
            else:
                self._variables.declare(command, statement.line)
            self._remember(statement, keep=is_foreign)
            return
        given = self._variables.expand(command.words)
        if not command.words:
            for assignment in command.assignments:
                self._variables.assign(assignment)
            self._remember(statement, keep=False)
            return
        silent = isinstance(given[0], Field) and given[0].text in SILENT if given else True
        start = None if silent else find_start(given)
        if isinstance(start, Refused):
            self.findings.error(start.line, start.message, start.hint)
        elif start is not None:
            self._launch(statement, command, start)
        else:
            self._other(statement, given)

    def _other(self, statement: Statement, given: list[Given]) -> None:
        """A command that starts no training."""
        if not given:
            self._remember(statement, keep=False)
            return
        head = given[0]
        if isinstance(head, Gap):
            self.findings.unknown(head.line, f"{head.written} is the command", head.unknown)
            return
        name = posixpath.basename(head.text)
        if head.text[:1] == "-":
            self._broken_line(statement, head.text)
        elif name in self.scope.functions:
            message = (
                f"{name}, line {self.scope.functions[name]}, is a function: it is not followed"
            )
            self.findings.error(statement.line, message, "write here what it does")
        elif statement.background:
            hint = "start it apart; one job is one training"
            self.findings.error(statement.line, f"{name} runs in the background", hint)
        elif name in SILENT and not _writes_a_file(statement) and not _sets(given):
            self._remember(statement, keep=False)  # `: ${X:=y}` has been followed
        elif not self._commands.follow(name, statement, given):
            self._keep(statement, name)

    def _broken_line(self, statement: Statement, text: str) -> None:
        message = f"{text!r} is a command of its own: the command above it has ended"
        hint = r"end each line above with `\` and nothing behind it; no comment lines in between"
        self.findings.error(statement.line, message, hint)

    def _chain(self, statement: Statement) -> None:
        """`a && b`, `a || exit`: b comes after a, where a went well."""
        parts, operators = statement.parts, statement.operators
        first = len(parts)
        while first > 1 and operators[first - 2] == "||" and _is_bail_out(parts[first - 1]):
            first -= 1
        plain = parts[0].kind in ("command", "group")
        if plain and all(operator == "&&" for operator in operators[: first - 1]):
            for part in parts[:first]:
                self._whole = statement if first == 1 else None
                self.step(part)
            self._whole = None
        else:
            self._opaque(statement)

    def _pipeline(self, statement: Statement) -> None:
        first, rest = statement.parts[0], statement.parts[1:]
        heads = [part.command.words[0].text for part in rest if part.command and part.command.words]
        only_tee = len(heads) == len(rest) and set(heads) == {"tee"}
        if only_tee and self._may_train(first):
            self.step(first)
            if self.start is not None:
                note_logs(self.findings, statement.line)
        elif _head(first) in SILENT and only_tee:
            self._remember(statement, keep=False)
        elif self._starts_training(first):
            what = ", ".join(head for head in heads if head != "tee") or "a pipe"
            hint = "`2>&1 | tee LOG` alone can go; prl-submit keeps the log in the run directory"
            self.findings.error(statement.line, f"the training's output goes through {what}", hint)
        else:
            self._opaque(statement)

    def _starts_training(self, statement: Statement) -> bool:
        if TRAINING.search(statement.text):
            return True
        command = statement.command
        return command is not None and find_start(self._variables.expand(command.words)) is not None

    def _may_train(self, statement: Statement) -> bool:
        """Whether a command is the training, or cannot be known."""
        words = [] if statement.command is None else statement.command.words
        head = self._variables.expand(words[:1])[:1]
        return any(isinstance(word, Gap) for word in head) or self._starts_training(statement)

    def _define(self, statement: Statement) -> None:
        """A function does nothing until it is called."""
        for name in statement.writes:
            self.scope.functions[name.removesuffix("()")] = statement.line
        self._remember(statement, keep=False)

    def _opaque(self, statement: Statement) -> None:
        """A statement whose way only bash knows: kept, if it is not in the training's way."""
        what = {"chain": "`&&` or `||`", "pipeline": "a pipe"}.get(statement.kind, statement.kind)
        far = _FAR_REACHING.search(statement.text)
        if statement.kind == "a function":
            self._define(statement)
        elif TRAINING.search(statement.text):
            hint = "one spec is one training: write it on a line of its own"
            self.findings.error(statement.line, f"the training is started inside {what}", hint)
        elif far and statement.kind != "a subshell":
            message = f"{far[1]} inside {what}: what follows depends on it"
            self.findings.error(statement.line, message, _FAR_HINT)
        elif statement.background:
            self.findings.error(statement.line, f"{what} in the background", _FAR_HINT)
        else:
            self._keep(statement, what)
            why = f"it is set inside {what}, and only the run knows which way that goes"
            if statement.kind != "a subshell":
                self._forget(statement, Unknown(why, "write the value"))

    def _forget(self, statement: Statement, unknown: Unknown) -> None:
        """From here on nobody knows the variables that the statement may set."""
        for name in statement.writes:
            exported = bool(re.search(rf"\b(export|-x)\s[^;\n]*\b{name}\b", statement.text))
            self.scope.set(name, Variable(value=unknown, line=statement.line, exported=exported))

    def _keep(self, statement: Statement, what: str) -> None:
        """Keep a statement for `environment.setup`."""
        refusal = refused(what, statement.text)
        if refusal is not None:
            self.findings.error(statement.line, f"{what}: {refusal[0]}", refusal[1])
            return
        self._remember(statement, keep=True)
        command = statement.command
        if command is not None and statement.writes:
            self._forget(statement, Unknown(f"{what} sets it when it runs", "write the value"))

    def _remember(self, statement: Statement, *, keep: bool, text: str | None = None) -> None:
        if text is None:  # `a || true` is kept with what stands behind it
            text = (self._whole or statement).text
        command = statement.command
        bare = command is not None and not command.words and not command.declaration
        if bare and self.scope.exports_all:
            text = f"export {text}"
        self._history.append(
            Past(statement=statement, text=text, folder=self.scope.folder, keep=keep)
        )

    # --- the training and what comes behind it ------------------------------------------------

    def _launch(self, statement: Statement, command: Command, start: Start) -> None:
        self.start = start
        for redirect in statement.redirects:
            self._redirected(redirect)
        if any(redirect.target not in ("1", "2", "/dev/null") for redirect in statement.redirects):
            note_logs(self.findings, statement.line)
        for message, hint in start.notes:
            self.findings.note(start.line, message, hint)
        exported = {n: v for n, v in self.scope.variables.items() if v.exported}
        for assignment in command.assignments:
            exported[assignment.name] = variable = self._variables.assigned(
                assignment, exported=True
            )
            if isinstance(variable.value, Unknown) and isinstance(assignment.value, Word):
                self._export_first(assignment.name, assignment.value, statement)
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
        self._environment = exported

    def _export_first(self, name: str, value: Word, statement: Statement) -> None:
        """`NAME=$(…) swift rlhf`: a line of its own can say it as well."""
        own = Statement(
            kind="command",
            text=f"export {name}={value.text}",
            line=value.line,
            reads=statement.reads,
            writes=frozenset([name]),
            command=Command([Assignment(name, value, False, value.line)], [], "export"),
        )
        self._remember(own, keep=False)

    def _redirected(self, redirect: Redirect) -> None:
        if "<" not in redirect.operator or redirect.target == "/dev/null":
            return
        what = "its standard input" if redirect.target else "a here-document"
        self.findings.error(redirect.line, f"the training reads {what}", "a job has none")

    def _after(self, statement: Statement) -> None:
        """Nothing of a job runs behind its training."""
        command = statement.command
        if self._starts_training(statement):
            hint = "one spec is one training: split the script"
            self.findings.error(statement.line, "a second training", hint)
        elif (statement.kind in ("chain", "group", "pipeline") and _is_harmless(statement)) or (
            command is not None and (command.declaration or not command.words)
        ):
            return
        elif _head(statement)[:1] == "-":
            self._broken_line(statement, _head(statement))
        elif _head(statement) not in _HARMLESS_AFTER or _writes_a_file(statement):
            shown = " ".join(statement.text.split())
            shown = shown if len(shown) <= 60 else shown[:59] + "…"
            hint = "run it by hand, behind `prl-submit SPEC --wait && …`"
            self.findings.error(statement.line, f"runs behind the training: {shown}", hint)


def _head(statement: Statement) -> str:
    command = statement.command
    return command.words[0].text if command is not None and command.words else ""


def _is_bail_out(statement: Statement) -> bool:
    """`exit 1`, or `{ echo …; exit 1; }`."""
    if statement.kind == "group":
        return all(_is_bail_out(part) for part in statement.parts)
    return statement.kind == "command" and _head(statement) in _BAIL_OUT


def _is_harmless(statement: Statement) -> bool:
    if statement.parts:
        return all(_is_harmless(part) for part in statement.parts)
    head = _head(statement)
    return statement.kind == "a test" or head in _HARMLESS_AFTER or head == "tee"


def _sets(given: list[Given]) -> bool:
    """`printf -v NAME`."""
    return len(given) > 1 and isinstance(given[1], Field) and given[1].text == "-v"


def _writes_a_file(statement: Statement) -> bool:
    return any(
        redirect.target not in ("1", "2", "/dev/null", "/dev/stderr", "/dev/stdout")
        for redirect in statement.redirects
    )
