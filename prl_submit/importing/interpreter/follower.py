"""Follow a script from its first line to its training, as bash would, running nothing.

What only sets variables is computed; what only prints is passed over; what has an effect of its
own is kept for `environment.setup`; what decides by something that only the run knows is kept too,
and the variables it may set are unknown from there on.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from prl_submit.importing.bash.effects import ANY, TRAINING, heads, set_by_words
from prl_submit.importing.bash.outputs import is_from_own, output_of
from prl_submit.importing.bash.scope import Field, Gap, Given, Place, Scope, Unknown, Variable
from prl_submit.importing.bash.statements import Command, Line, Statement
from prl_submit.importing.bash.syntax import Node, Word
from prl_submit.importing.findings import Findings, assumptions
from prl_submit.importing.interpreter import activation
from prl_submit.importing.interpreter.activation import Activated
from prl_submit.importing.interpreter.after_training import (
    only_tells,
    say_broken_line,
    say_what_is_lost,
    writes_a_file,
)
from prl_submit.importing.interpreter.assignments import Variables
from prl_submit.importing.interpreter.clean_up import is_clean_up, only_reports
from prl_submit.importing.interpreter.commands import Commands, note_logs
from prl_submit.importing.interpreter.constructs import (
    OWN_MEANING,
    SILENT,
    ends_quietly,
    far_reaching,
    goes_well,
    head_of,
    is_bail_out,
    is_stop,
    written_by,
)
from prl_submit.importing.interpreter.handover import Order, assume, read_order
from prl_submit.importing.interpreter.kept_lines import Past, keep_lines, refused
from prl_submit.importing.interpreter.other_scripts import Calls, ReadFile
from prl_submit.importing.interpreter.reading import read_variable
from prl_submit.importing.interpreter.spelling import bare_builtin, is_builtin_path, texts_of
from prl_submit.importing.interpreter.superfluous import leave_out_checks
from prl_submit.importing.interpreter.training_line import Launch
from prl_submit.importing.interpreter.ways import Branching, Key, Undecided
from prl_submit.importing.launchers import find_start
from prl_submit.importing.training import LAUNCHERS_OWN, RESOURCES, Refused, Start
from prl_submit.launch.quote import bash

_KINDS = {"chain": "`&&` or `||`", "pipeline": "a pipe"}
_MAX_FUNCTIONS = 100
_MAX_STEPS = 50_000
Ended = Literal["failure", "success"]
_ARGUMENTS = frozenset(["@", "*", "#", *"123456789"])
#: `${A:?why}`.
_STOPS = re.compile(r"\$\{\w+(\[[^\]]{0,80}\])?:?\?")
_FAR_HINT = "do it before you submit, or on a line of its own"


class Followed(Struct, kw_only=True):
    """Where a script arrives: the training with everything around it."""

    start: Start | None
    scope: Scope
    #: The training's environment: exported variables, then those of its own line.
    environment: dict[str, Variable]
    setup: list[str]
    #: Variables of the environment that the lines of `setup` set, at their time.
    set_in_setup: set[str]
    activated: Activated
    ended: Ended | None = None
    undecided: list[Undecided] = []


class Outside(Struct, kw_only=True, frozen=True):
    """What the script gets from outside, as far as it is known."""

    #: Variables that the scheduler sets (SLURM_NNODES, …).
    scheduler: dict[str, str] = {}
    #: What the user says of values that only the run knows.
    assumed: dict[str, str] = {}
    #: Which way to go where only the run decides.
    choices: dict[Key, int] = {}
    read: ReadFile = lambda path: None


def follow(
    statements: list[Statement], place: Place, findings: Findings, outside: Outside
) -> Followed:
    """Follow the statements."""
    follower = _Follower(place, findings, outside)
    for name, value in outside.scheduler.items():
        if name not in outside.assumed:
            follower.scope.set(name, Variable(value=value, line=1))
    assume(follower.scope, outside.assumed, findings)
    follower.run(statements)
    return follower.end()


class _Follower:
    """One script, while it is followed."""

    def __init__(self, place: Place, findings: Findings, outside: Outside) -> None:
        self.scope = Scope(place, lambda node: output_of(self.scope, node))
        self.findings = findings
        self.activated = Activated()
        self.start: Start | None = None
        #: How the script has ended before a training: with a failure, or as if all were well.
        self.ended: Ended | None = None
        #: Whether the function or the file that is being followed has ended.
        self.returned = False
        self._environment: dict[str, Variable] = {}
        #: The chain whose only command is being followed, `a || exit`.
        self._whole: Statement | None = None
        self._in_chain = False
        self._history: list[Past] = []
        self._variables = Variables(self.scope, findings)
        self._branching = Branching(self, outside.choices)
        self._calls = Calls(self, outside.read)
        self._commands = Commands(self.scope, self.activated, findings, self._included)
        self._steps = 0

    def end(self) -> Followed:
        """The outcome."""
        ours = (LAUNCHERS_OWN | RESOURCES) - {"CUDA_VISIBLE_DEVICES"}
        environment = {n: v for n, v in self._environment.items() if n not in ours}
        if self.start is not None:
            leave_out_checks(self._history, self.start.arguments, self.scope, self.findings)
        kept = keep_lines(self._history, self.scope, environment, self.findings)
        return Followed(
            start=self.start,
            scope=self.scope,
            environment=self._environment,
            setup=kept.lines,
            set_in_setup=kept.sets,
            activated=self.activated,
            ended=self.ended,
            undecided=self._branching.undecided,
        )

    # --- statements ---------------------------------------------------------------------------

    def run(self, statements: list[Statement]) -> None:
        """Follow statements in their order, to where the script or the function ends."""
        for statement in statements:
            if self.ended is not None or self.returned:
                return
            self._steps += 1
            if self._steps > _MAX_STEPS:
                message = f"more than {_MAX_STEPS:,} steps are not followed"
                self.findings.error(statement.line, message, None)
                self.give_up()
                return
            self.step(statement)

    def give_up(self) -> None:
        """Follow no further; what is in the way has been said."""
        self.ended = "success"

    def step(self, statement: Statement) -> None:
        """Follow one statement."""
        if statement.kind == "an error":
            return
        if self.start is not None:
            self._after(statement)
        elif statement.background and not self._starts_training(statement):
            self._in_background(statement)
        elif statement.kind == "group" and not statement.redirects:
            self.run(statement.parts)
        elif statement.kind in ("group", "a subshell") and statement.parts and statement.trains:
            self.run(statement.parts)  # behind it nothing is left of what it changes
            if self.start is not None and writes_a_file(statement):
                note_logs(self.findings, statement.line)
        elif statement.kind == "chain":
            if not self._branching.chain(statement):
                self._chain(statement)
        elif statement.kind == "pipeline":
            self._pipeline(statement)
        elif statement.branches:
            self._branching.construct(statement)
        elif statement.kind in ("a test", "`((`", "`!`") and not statement.computed:
            self._branching.test(statement)
        elif statement.kind == "command" and statement.command is not None:
            self._command(statement, statement.command)
            self._set_by_words(statement, statement.command)
        else:
            self.opaque(statement)

    def stop(self, line: int, *, is_failure: bool) -> None:
        """The script ends before a training."""
        defaults = [default for group in self._branching.because for default in group]
        names = tuple(dict.fromkeys(default.name for default in defaults))
        why = f", by the default of {', '.join(names)}" if names else ""
        hint = f"{assumptions(names)} decides it otherwise" if names else None
        self.findings.error(line, f"the script ends here, before a training{why}", hint)
        self.ended = "failure" if is_failure else "success"

    def _in_background(self, statement: Statement) -> None:
        command = statement.command
        if command is not None and command.words and not self._starts_training(statement):
            what, hint = posixpath.basename(head_of(statement)), "start it apart"
        elif command is not None and command.words:
            self._command(statement, command)
            return
        else:
            what, hint = _KINDS.get(statement.kind, statement.kind), "leave the & out"
        self.findings.error(statement.line, f"{what} runs in the background", hint)

    def _command(self, statement: Statement, command: Command) -> None:
        if command.declaration:
            is_foreign = False
            if command.declaration == "unset":
                is_foreign = self._variables.unset(command, statement.line)
            else:
                self._variables.declare(command, statement.line)
            self._remember(statement, keep=is_foreign or self._may_stop(statement, []))
            return
        given = self._variables.expand(command.words)
        if not command.words:
            for assignment in command.assignments:
                self._variables.assign(assignment)
            self._remember(statement, keep=self._may_stop(statement, []))
            return
        head = given[0].text if given and isinstance(given[0], Field) else ""
        silent = not given or head in SILENT or head == "eval" or head in self.scope.functions
        if not silent and (order := self._handed_over(given)) is not None:
            self._hand_over(statement, command, order)
            return
        start = None if silent else find_start(given)
        if isinstance(start, Refused):
            self.findings.error(start.line, start.message, start.hint)
        elif start is not None:
            self._launch(statement, command, start)
        else:
            self._other(statement, given)

    def _set_by_words(self, statement: Statement, command: Command) -> None:
        """`$((A++))` in a word sets A; `${A:=x}` in a word that is not known may have."""
        if ANY in statement.writes:
            message = "sets a variable whose name is computed"
            self.findings.error(statement.line, message, "write the name")
        names = set(statement.computed)
        if statement.defaults and self._has_gap(command):
            names |= statement.defaults
        if names:
            self._forget(statement, names, Unknown("the shell computes it", "write the value"))

    def _has_gap(self, command: Command) -> bool:
        values = [a.value for a in command.assignments if isinstance(a.value, Word)]
        with self.scope.aside():
            given = self._variables.expand([*values, *command.words])
        return any(isinstance(word, Gap) for word in given)

    def _may_stop(self, statement: Statement, given: list[Given]) -> bool:
        """`${A:?}`: bash stops there, where A is not set."""
        if "?" not in statement.text or not _STOPS.search(statement.text):
            return False
        command = statement.command
        if any(isinstance(word, Gap) for word in given):
            return True
        return not given and command is not None and self._has_gap(command)

    def _other(self, statement: Statement, given: list[Given]) -> None:
        """A command that starts no training."""
        if not given:
            self._remember(statement, keep=self._may_stop(statement, []))
            return
        head = given[0]
        if isinstance(head, Gap):
            self.findings.unknown(head.line, f"{head.written} is the command", head.unknown)
            return
        name = head.text if is_builtin_path(head.text) else posixpath.basename(head.text)
        if head.text[:1] == "-":
            say_broken_line(statement, head.text, self.findings)
        elif name in self.scope.functions:
            self._call(name, statement, given)
        elif name in ("exit", "return"):
            self._exit(name, statement, given)
        elif name == "eval" and self._evaluate(statement, given):
            return
        elif name == "read" and (found := read_variable(statement, given, self.scope)):
            self._variables.refuse_fixed(found[0], statement.line)
            self.scope.set(*found)
            self._remember(statement, keep=False)
        elif name == "trap" and only_reports(texts_of(given)):
            message = "trap is left out: launch.sh says how a job ends"
            self.findings.note(statement.line, message)
        elif is_clean_up(texts_of(given)):
            self._say_clean_up(name, statement.line)
        elif spelt := bare_builtin(given):
            message = f"{spelt} is not followed in this spelling"
            self.findings.error(statement.line, message, f"write it plainly: {spelt} …")
        elif name in SILENT and not writes_a_file(statement) and not set_by_words(texts_of(given)):
            # `: ${X:=y}` has been followed
            keep = self._may_stop(statement, given) or (
                self._in_chain and name in ("which", "type")
            )
            self._remember(statement, keep=keep)
        elif not self._commands.follow(name, statement, given):
            self._keep(statement, name)

    def _chain(self, statement: Statement) -> None:
        """`a && b`, `a || exit`: b comes after a, where a went well."""
        statement = self._without_reports(statement)
        if statement.kind != "chain":
            self.step(statement)
            return
        parts, operators = statement.parts, statement.operators
        first = len(parts)
        while first > 1 and operators[first - 2] == "||" and is_bail_out(parts[first - 1]):
            first -= 1
        done, bails = parts[:first], parts[first:]
        plain = parts[0].kind in ("command", "group")
        trains = plain and self._starts_training(done[-1])
        fails = bool(bails) and bails[0].text in ("exit", "exit $?")  # with the status of a
        if not (trains or fails) and any(ends_quietly(part, self.scope) for part in bails):
            self.opaque(statement)  # says so
        elif (
            plain
            and all(operator == "&&" for operator in operators[: first - 1])
            and (trains or all(goes_well(part) for part in done[:-1]))
            and (trains or all(is_stop(part) for part in bails) or self._can_fail(done))
        ):
            if not trains and "cd" in map(head_of, done[:-1]):
                message = "what stands behind `cd … &&` is taken as done: a job needs the folder"
                self.findings.note(statement.line, message)
            for part in done:
                self._whole = statement if first == 1 else None
                self._in_chain = True
                self.step(part)
            self._whole, self._in_chain = None, False
        else:
            self.opaque(statement)

    def _without_reports(self, statement: Statement) -> Statement:
        """A chain without what only tells of the training's end."""
        trains = [at for at, part in enumerate(statement.parts) if self._starts_training(part)]
        if len(trains) != 1:
            return statement
        reports = statement.parts[trains[0] + 1 :]
        if not reports or not all(only_tells(part, self.scope.functions) for part in reports):
            return statement
        parts = statement.parts[: trains[0] + 1]
        operators = statement.operators[: trains[0]]
        if len(parts) == 1:
            return parts[0]
        return msgspec.structs.replace(statement, parts=parts, operators=operators)

    def _can_fail(self, parts: list[Statement]) -> bool:
        """Whether `a || true` is kept as it is, or a is an assignment."""
        head = head_of(parts[0])
        return len(parts) == 1 and head not in ("cd", "conda", "source", ".", "module", "ml")

    def _pipeline(self, statement: Statement) -> None:
        first, rest = statement.parts[0], statement.parts[1:]
        last = rest[-1].command
        if last is not None and is_clean_up(tuple(word.text for word in last.words)):
            self._say_clean_up("a pipe to kill", statement.line)
            return
        names = [part.command.words[0].text for part in rest if part.command and part.command.words]
        only_tee = len(names) == len(rest) and set(names) == {"tee"}
        if only_tee and self._may_train(first):
            self.step(first)
            if self.start is not None:
                note_logs(self.findings, statement.line)
        elif head_of(first) in SILENT and only_tee and not statement.writes:
            self._remember(statement, keep=False)
        elif head_of(first) in SILENT and only_tee and statement.defaults == statement.writes:
            self._remember(statement, keep=False)  # in a subshell: it is gone behind the pipe
        elif self._starts_training(first):
            what = ", ".join(name for name in names if name != "tee") or "a pipe"
            hint = "`2>&1 | tee LOG` alone can go; prl-submit keeps the log in the run directory"
            self.findings.error(statement.line, f"the training's output goes through {what}", hint)
        else:
            self.opaque(statement)

    def _starts_training(self, statement: Statement) -> bool:
        if statement.trains:
            return True
        command = statement.command
        if command is None or not command.words:
            return any(map(self._starts_training, statement.parts))
        return self._is_training(self._peek(command.words))

    def _is_training(self, given: list[Given]) -> bool:
        """Whether a command starts a training, itself or by a function or a script."""
        head = given[0].text if given and isinstance(given[0], Field) else ""
        if head in self.scope.functions and self.scope.functions[head].trains:
            return True
        if head == "eval":
            return TRAINING.search(" ".join(texts_of(given))) is not None
        return find_start(given) is not None or self._handed_over(given) is not None

    # --- functions, files, other scripts ------------------------------------------------------

    def _say_clean_up(self, what: str, line: int) -> None:
        message = f"{what} is left out: a job ends with all its processes"
        self.findings.note(line, message, "clean up by hand, before you submit")

    def _call(self, name: str, statement: Statement, given: list[Given]) -> None:
        definition = self.scope.functions[name]
        if statement.command is not None and statement.command.assignments:
            hint = "export it on a line before"
            self.findings.error(statement.line, f"variables for {name}, a function", hint)
        elif definition.parts and (not writes_a_file(statement) or definition.trains):
            self._calls.function(definition, given)
            if writes_a_file(statement):
                note_logs(self.findings, statement.line)
        else:
            message = f"{name}, line {definition.line}, is a function: it is not followed"
            self.findings.error(statement.line, message, "write here what it does")

    def _exit(self, name: str, statement: Statement, given: list[Given]) -> None:
        if name == "return" and (self.scope.locals or self.scope.sources):
            self.returned = True
            return
        status = given[1].text if len(given) > 1 and isinstance(given[1], Field) else ""
        is_failure = status.isdecimal() and int(status) % 256 != 0
        self.stop(statement.line, is_failure=is_failure)

    def _evaluate(self, statement: Statement, given: list[Given]) -> bool:
        """`eval TEXT` where the text is known; false for all else."""
        texts = [word.text for word in given if isinstance(word, Field)]
        if len(texts) != len(given) or activation.is_hook(statement.text):
            return False
        self._calls.text(" ".join(texts[1:]), statement.line)
        if self.start is not None and writes_a_file(statement):
            note_logs(self.findings, statement.line)
        return True

    def _included(self, statement: Statement, given: list[Given]) -> bool:
        """`source FILE` of a file that is there."""
        word = given[1] if len(given) > 1 else None
        if not isinstance(word, Field):
            return False
        found = self._calls.find(word.text, is_from_own=is_from_own(statement, self.scope))
        if found is None:
            return False
        if found[0] != word.text:
            message = f"{word.text} is taken from the script's folder: {found[0]}"
            self.findings.note(statement.line, message, "bash finds it where it is run there")
        self._calls.source(given, statement.line, found)
        return True

    def _handed_over(self, given: list[Given]) -> Order | None:
        """`bash other.sh`, `bash -c '…'`, where that starts the training."""
        order = read_order(given)
        if order is None or order.text is not None:
            return order
        found = self._calls.find(order.script)
        if found is None or not self._calls.trains(found[1]):
            return None
        return msgspec.structs.replace(order, found=found)

    def _hand_over(self, statement: Statement, command: Command, order: Order) -> None:
        """Another shell goes on, with what is exported."""
        launch = Launch(self.scope, self._variables, self._history, self.findings)
        launch.hand_over(statement, command, order.start)
        before = dict(self.scope.variables)
        line = statement.line
        if order.text is not None:
            self.scope.begin_process(order.script, order.arguments)
            self._calls.text(order.text, line, is_process=True)
        elif order.found is not None:
            self._calls.script(order.arguments, line, order.found)
        if self.start is not None:
            self.start.add(order.start)
            if writes_a_file(statement):
                note_logs(self.findings, line)
        elif self.ended is None:
            message = f"{order.script} starts no training that can be followed"
            self.findings.error(line, message, None)
        self._refuse_leaks(before, line)

    def _refuse_leaks(self, before: dict[str, Variable], line: int) -> None:
        """What is not exported must not reach lines of the other script by environment.setup."""
        hidden = {name for name, variable in before.items() if not variable.exported}
        for past in self._history:
            if isinstance(past.statement.line, Line) and past.keep:
                for name in sorted(past.statement.reads & hidden):
                    message = f"{name} is set in the script, and not exported to this one"
                    self.findings.error(past.statement.line, message, "export or rename it")

    def _may_train(self, statement: Statement) -> bool:
        """Whether a command is the training, or cannot be known."""
        words = [] if statement.command is None else statement.command.words
        head = self._peek(words[:1])[:1]
        return any(isinstance(word, Gap) for word in head) or self._starts_training(statement)

    def _peek(self, words: list[Word]) -> list[Given]:
        """The words, with nothing set."""
        with self.scope.aside():
            return self._variables.expand(words)

    def _define(self, statement: Statement) -> None:
        """A function does nothing until it is called."""
        self._name_functions(statement)
        self._remember(statement, keep=False)

    def _name_functions(self, statement: Statement) -> None:
        for name in [name[:-2] for name in statement.writes if name.endswith("()")]:
            self.scope.functions[name] = statement
            if len(self.scope.functions) > _MAX_FUNCTIONS:
                message = f"more than {_MAX_FUNCTIONS} functions are not read"
                self.findings.error(statement.line, message, None)
                self.scope.functions.clear()
            if name in OWN_MEANING:
                message = f"{name} is a function here, in place of the command"
                self.findings.error(statement.line, message, "give it another name")

    def opaque(self, statement: Statement, unknown: Unknown | None = None) -> None:
        """A statement whose way only bash knows: kept, if it is not in the training's way.

        `unknown`: why its condition is not known.
        """
        what = _KINDS.get(statement.kind, statement.kind)
        is_aside = statement.kind == "a subshell"
        names = () if unknown is None else unknown.names
        if statement.kind == "a function":
            self._define(statement)
        elif self._trains_inside(statement):
            hint = "one spec is one training: write it on a line of its own"
            hint = f"{assumptions(names)} decides it; else {hint}" if names else hint
            self.findings.error(statement.line, f"the training is started inside {what}", hint)
        elif not is_aside and (far := far_reaching(statement, self.scope)):
            message = f"{far} inside {what}: what follows depends on it"
            self.findings.error(statement.line, message, _FAR_HINT)
        elif self.scope.locals and any(name == "return" for name, _ in heads(statement.calls)):
            message = f"return inside {what}: what follows depends on it"
            self.findings.error(statement.line, message, assumptions(names) or None)
        elif quiet := ends_quietly(statement, self.scope):
            message = f"`{quiet}` inside {what}: the job would look done, without a training"
            self.findings.error(statement.line, message, "exit 1 says that it has failed")
        else:
            self._keep(statement, what)
            self._name_functions(statement)
            why = f"it is set inside {what}, and only the run knows which way that goes"
            if not is_aside:
                written = written_by(statement, self.scope)
                self._forget(statement, written, Unknown(why, "write the value", names))

    def _trains_inside(self, statement: Statement) -> bool:
        """Whether a training is started in a construct, by its words or by what they stand for."""
        if statement.trains:
            return True
        return any(map(self._may_stand_for_training, statement.calls))

    def _may_stand_for_training(self, call: Sequence[Node]) -> bool:
        head = call[0].text
        is_indirect = "$" in head or head in self.scope.functions or head in ("eval", "bash", "sh")
        if not is_indirect and not head.endswith(".sh"):
            return False
        return self._is_training(self._peek([word for word in call if isinstance(word, Word)]))

    def _forget(self, statement: Statement, names: Iterable[str], unknown: Unknown) -> None:
        """From here on nobody knows the variables that the statement may set."""
        for name in sorted(name for name in names if name[-2:] != "()" and name != ANY):
            exported = bool(re.search(rf"\b(export|-x)\s[^;\n]*\b{name}\b", statement.text))
            self._variables.refuse_fixed(name, statement.line)
            variable = Variable(
                value=unknown, line=statement.line, exported=exported, is_perhaps_array=True
            )
            self.scope.set(name, variable)

    def _keep(self, statement: Statement, what: str) -> None:
        """Keep a statement for `environment.setup`."""
        refusal = refused(what, statement.text)
        if refusal is not None:
            self.findings.error(statement.line, f"{what}: {refusal[0]}", refusal[1])
            return
        if self.scope.locals and _ARGUMENTS & statement.reads and not statement.writes:
            self._keep_with_arguments(statement)
            return
        if self.scope.arguments and _ARGUMENTS & statement.reads:
            message = "reads the script's own arguments, which launch.sh does not have"
            self.findings.error(statement.line, message, "write them out")
        self._remember(statement, keep=True)
        if statement.command is not None and statement.writes:
            unknown = Unknown(f"{what} sets it when it runs", "write the value")
            self._forget(statement, statement.writes, unknown)

    def _keep_with_arguments(self, statement: Statement) -> None:
        """A check in a function: it runs with the function's own arguments."""
        words = [word.text for word in self.scope.arguments if isinstance(word, Field)]
        if len(words) != len(self.scope.arguments):
            message = "reads arguments that only the run knows"
            self.findings.error(statement.line, message, "write them out")
            return
        given = " ".join(map(bash, words))
        text = f"(set -- {given}; {statement.text})" if words else f"(set --; {statement.text})"
        self._remember(statement, keep=True, text=text)

    def _remember(self, statement: Statement, *, keep: bool, text: str | None = None) -> None:
        if text is None:  # `a || true` is kept with what stands behind it
            text = (self._whole or statement).text
        command = statement.command
        if command is not None and command.declaration == "local":
            text = f"declare{text.removeprefix('local')}"
        bare = command is not None and not command.words and not command.declaration
        if bare and self.scope.exports_all:
            text = f"export {text}"
        self._history.append(
            Past(statement=statement, text=text, folder=self.scope.folder, keep=keep)
        )

    # --- the training and what comes behind it ------------------------------------------------

    def _launch(self, statement: Statement, command: Command, start: Start) -> None:
        self.start = start
        if start.is_uv:
            self._uv(start)
        if any(redirect.target not in ("1", "2", "/dev/null") for redirect in statement.redirects):
            note_logs(self.findings, statement.line)
        launch = Launch(self.scope, self._variables, self._history, self.findings)
        self._environment = launch.environment(statement, command, start)

    def _uv(self, start: Start) -> None:
        """`uv run`: the project's environment, where it is there already."""
        found = None if start.venv is None else self._calls.find(f"{start.venv}/pyvenv.cfg")
        if found is not None and found[0] == f"{start.venv}/pyvenv.cfg":
            self.findings.note(start.line, f"uv run is environment.venv: {start.venv}")
            return
        start.venv = None
        hint = "environment.venv says which environment it is"
        self.findings.note(start.line, "uv run is left out: torchrun comes from PATH", hint)

    def _after(self, statement: Statement) -> None:
        """Nothing of a job runs behind its training."""
        if self._starts_training(statement):
            hint = "one spec is one training: split the script"
            self.findings.error(statement.line, "a second training", hint)
        else:
            say_what_is_lost(statement, self.scope.functions, self.findings)
