"""Follow a script from its first line to its training, as bash would, running nothing.

What only sets variables is computed; what only prints is passed over; what has an effect of its
own is kept for `environment.setup`. What depends on something that only the run knows is kept
too, and the variables that it may set are unknown from there on.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from prl_submit.importing.bash.command_output import is_from_own, output_of
from prl_submit.importing.bash.effects import ANY, TRAINING, set_by_words
from prl_submit.importing.bash.scope import (
    Gap,
    Given,
    Place,
    Scope,
    Unknown,
    Variable,
    first_gap,
    known_texts,
)
from prl_submit.importing.bash.statements import Command, Statement
from prl_submit.importing.bash.syntax import Node, Word
from prl_submit.importing.find_training import find_start
from prl_submit.importing.findings import Findings, assumptions
from prl_submit.importing.interpreter import activation
from prl_submit.importing.interpreter.activation import Activated
from prl_submit.importing.interpreter.after_training import (
    only_tells,
    say_broken_line,
    say_what_is_lost,
)
from prl_submit.importing.interpreter.assignments import Assignments
from prl_submit.importing.interpreter.commands import CommandFollower
from prl_submit.importing.interpreter.constructs import ends_quietly
from prl_submit.importing.interpreter.for_the_shell import ForTheShell, kind_of
from prl_submit.importing.interpreter.kept_lines import STOPS, keep_lines, leave_out_checks
from prl_submit.importing.interpreter.known_commands import (
    SILENT,
    bare_builtin,
    goes_well,
    head_of,
    is_bail_out,
    is_builtin_path,
    is_clean_up,
    is_stop,
    only_reports,
    texts_of,
    writes_a_file,
)
from prl_submit.importing.interpreter.other_scripts import Calls, Order, ReadFile, read_order
from prl_submit.importing.interpreter.platform_lines import (
    given_by_launch,
    leave_out_platform_lines,
)
from prl_submit.importing.interpreter.training_line import TrainingLine
from prl_submit.importing.interpreter.ways import Key, Undecided, Ways
from prl_submit.importing.training_command import LAUNCHERS_OWN, RESOURCES, Refused, Start

_MAX_STEPS = 50_000
Ended = Literal["failure", "success"]


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
    #: Variables that the platform sets on each node.
    from_platform: frozenset[str] = frozenset()
    read: ReadFile = lambda path: None


def follow(
    statements: list[Statement], place: Place, findings: Findings, outside: Outside
) -> Followed:
    """Follow the statements."""
    follower = _Follower(place, findings, outside)
    follower.begin(outside)
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
        self._in_chain = False
        self._assignments = Assignments(self.scope, findings)
        self._shell = ForTheShell(self.scope, self._assignments, findings, self._trains_inside)
        self._ways = Ways(self, outside.choices)
        self._calls = Calls(self, outside.read)
        self._commands = CommandFollower(self.scope, self.activated, findings, self._included)
        self._line = TrainingLine(self.scope, self._assignments, self._shell.history, findings)
        self._steps = 0

    def begin(self, outside: Outside) -> None:
        """Set what the script gets from outside."""
        for name, value in outside.scheduler.items():
            if name not in outside.assumed:
                self.scope.set(name, Variable(value=value, line=1))
        self._assignments.assume(outside.assumed)
        self.scope.from_platform = outside.from_platform

    def end(self) -> Followed:
        """The outcome."""
        ours = (LAUNCHERS_OWN | RESOURCES) - {"CUDA_VISIBLE_DEVICES"}
        environment = {n: v for n, v in self._environment.items() if n not in ours}
        history = self._shell.history
        if self.start is not None:
            leave_out_checks(history, self.start.arguments, self.scope, self.findings)
            leave_out_platform_lines(history, self.scope, self.findings)
        given = given_by_launch(self.scope)
        kept = keep_lines(history, self.scope, environment, self.findings, given)
        return Followed(
            start=self.start,
            scope=self.scope,
            environment=self._environment,
            setup=kept.lines,
            set_in_setup=kept.sets,
            activated=self.activated,
            ended=self.ended,
            undecided=self._ways.undecided,
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

    def step(self, statement: Statement) -> None:  # noqa: C901  # one case for each kind of statement
        """Follow one statement."""
        if self.start is not None:
            self._after(statement)
        elif statement.background and not self._starts_training(statement):
            self._in_background(statement)
        elif statement.kind in ("group", "a subshell"):
            self._group(statement)
        elif statement.kind == "chain":
            if not self._ways.chain(statement):
                self._chain(statement)
        elif statement.kind == "pipeline":
            self._pipeline(statement)
        elif statement.branches:
            self._ways.construct(statement)
        elif statement.kind in ("a test", "`((`", "`!`") and not statement.computed:
            self._ways.test(statement)
        elif statement.kind == "command" and statement.command is not None:
            self._command(statement, statement.command)
            self._set_in_words(statement, statement.command)
        else:
            self.opaque(statement)

    def opaque(self, statement: Statement, unknown: Unknown | None = None) -> None:
        """Leave a statement to a shell, since only bash knows its way."""
        self._shell.opaque(statement, unknown)

    def stop(self, line: int, *, is_failure: bool) -> None:
        """The script ends before a training."""
        defaults = [default for group in self._ways.because for default in group]
        names = tuple(dict.fromkeys(default.name for default in defaults))
        why = f", by the default of {', '.join(names)}" if names else ""
        hint = f"{assumptions(names)} decides it otherwise" if names else None
        self.findings.error(line, f"the script ends here, before a training{why}", hint)
        self.ended = "failure" if is_failure else "success"

    def _group(self, statement: Statement) -> None:
        """`{ …; }`, and `( … )` with a training in it, behind which nothing is left of it."""
        if statement.kind == "group" and not statement.redirects:
            self.run(statement.parts)
        elif statement.parts and statement.trains:
            self.run(statement.parts)
            self._note_logs(statement)
        else:
            self.opaque(statement)

    def _note_logs(self, statement: Statement) -> None:
        """Say where the log is, where a training was found and its output goes to a file."""
        if self.start is not None and writes_a_file(statement):
            self.findings.note_logs(statement.line)

    def _in_background(self, statement: Statement) -> None:
        command = statement.command
        if command is not None and command.words:
            what, hint = posixpath.basename(head_of(statement)), "start it apart"
        else:
            what, hint = kind_of(statement), "leave the & out"
        self.findings.error(statement.line, f"{what} runs in the background", hint)

    # --- simple commands ----------------------------------------------------------------------

    def _command(self, statement: Statement, command: Command) -> None:  # noqa: C901  # one case for each kind of command
        if command.declaration:
            is_foreign = False
            if command.declaration == "unset":
                is_foreign = self._assignments.unset(command, statement.line)
            else:
                self._assignments.declare(command, statement.line)
            self._shell.remember(statement, keep=is_foreign or self._may_stop(statement, []))
            return
        given = self._assignments.expand(command.words)
        if not given:  # assignments alone, or words that are nothing: `$EMPTY`
            if not command.words:
                for assignment in command.assignments:
                    self._assignments.assign(assignment)
            self._shell.remember(statement, keep=self._may_stop(statement, []))
            return
        head = given[0].known or ""
        is_plain = head in SILENT or head == "eval" or head in self.scope.functions
        if not is_plain and (order := self._handed_over(given)) is not None:
            self._hand_over(statement, command, order)
            return
        start = None if is_plain else find_start(given)
        if isinstance(start, Refused):
            self.findings.error(start.line, start.message, start.hint)
        elif start is not None:
            self._launch(statement, command, start)
        elif isinstance(given[0], Gap):
            what = f"{given[0].written} is the command"
            self.findings.unknown(given[0].line, what, given[0].unknown)
        else:
            self._other(statement, head, given)

    def _set_in_words(self, statement: Statement, command: Command) -> None:
        """`$((A++))` in a word sets A; `${A:=x}` in a word that is not known may have."""
        if ANY in statement.writes:
            message = "sets a variable whose name is computed"
            self.findings.error(statement.line, message, "write the name")
        names = set(statement.computed)
        if statement.defaults and self._has_gap(command):
            # `${A:=x}` changes nothing where the platform sets A.
            names |= {name for name in statement.defaults if not self.scope.is_platforms(name)}
        if names:
            unknown = Unknown("the shell computes it", "write the value")
            self._shell.forget(statement, names, unknown)

    def _has_gap(self, command: Command) -> bool:
        values = [a.value for a in command.assignments if isinstance(a.value, Word)]
        return first_gap(self._peek([*values, *command.words])) is not None

    def _may_stop(self, statement: Statement, given: list[Given]) -> bool:
        """True if a statement has a `${A:?}`, where bash stops if A is not set."""
        if "?" not in statement.text or not STOPS.search(statement.text):
            return False
        if given:
            return first_gap(given) is not None
        return statement.command is not None and self._has_gap(statement.command)

    def _other(self, statement: Statement, head: str, given: list[Given]) -> None:
        """A command that starts no training."""
        name = head if is_builtin_path(head) else posixpath.basename(head)
        if head[:1] == "-":
            say_broken_line(statement, head, self.findings)
        elif name in self.scope.functions:
            self._call(name, statement, given)
        elif name in ("exit", "return"):
            self._exit(name, statement, given)
        elif name == "eval" and self._evaluate(statement, given):
            return
        elif name == "read" and self._assignments.read(statement, given):
            self._shell.remember(statement, keep=False)
        elif not self._is_left_out(name, statement, given):
            self._program(name, statement, given)

    def _is_left_out(self, name: str, statement: Statement, given: list[Given]) -> bool:
        """True if a job does without a command; say so."""
        if name == "trap" and only_reports(texts_of(given)):
            message = "trap is left out: launch.sh says how a job ends"
            self.findings.note(statement.line, message)
            return True
        if is_clean_up(texts_of(given)):
            self._note_clean_up(name, statement.line)
            return True
        return False

    def _program(self, name: str, statement: Statement, given: list[Given]) -> None:
        """A command that prints, changes what follows, or has an effect of its own."""
        if spelt := bare_builtin(given):
            message = f"{spelt} is not followed in this spelling"
            self.findings.error(statement.line, message, f"write it plainly: {spelt} …")
        elif name in SILENT and not writes_a_file(statement) and not set_by_words(texts_of(given)):
            is_check = self._in_chain and name in ("which", "type")
            # `: ${X:=y}` has been followed
            self._shell.remember(statement, keep=is_check or self._may_stop(statement, given))
        elif not self._commands.follow(name, statement, given):
            self._shell.keep(statement, name)

    def _note_clean_up(self, what: str, line: int) -> None:
        message = f"{what} is left out: a job ends with all its processes"
        self.findings.note(line, message, "clean up by hand, before you submit")

    # --- `&&`, `||` and pipes -----------------------------------------------------------------

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
        if set(operators[: first - 1]) - {"&&"} or not self._goes_through(done, bails):
            self.opaque(statement)
            return
        if "cd" in map(head_of, done[:-1]) and not self._starts_training(done[-1]):
            message = "what stands behind `cd … &&` is taken as done: a job needs the folder"
            self.findings.note(statement.line, message)
        for part in done:
            self._shell.whole = statement if first == 1 else None
            self._in_chain = True
            self.step(part)
        self._shell.whole, self._in_chain = None, False

    def _goes_through(self, done: list[Statement], bails: list[Statement]) -> bool:
        """True if the parts before `|| exit` are done one after the other, or the job fails."""
        if done[0].kind not in ("command", "group"):
            return False
        if self._starts_training(done[-1]):
            return True
        has_status = bool(bails) and bails[0].text in ("exit", "exit $?")  # that of the part before
        if not has_status and any(ends_quietly(part, self.scope) for part in bails):
            return False
        if not all(goes_well(part) for part in done[:-1]):
            return False
        return all(is_stop(part) for part in bails) or self._can_fail(done)

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
        """True if `a || true` is kept as it is, or a is an assignment."""
        head = head_of(parts[0])
        return len(parts) == 1 and head not in ("cd", "conda", "source", ".", "module", "ml")

    def _pipeline(self, statement: Statement) -> None:
        first, rest = statement.parts[0], statement.parts[1:]
        last = rest[-1].command
        if last is not None and is_clean_up(tuple(word.text for word in last.words)):
            self._note_clean_up("a pipe to kill", statement.line)
            return
        names = [head_of(part) for part in rest if head_of(part)]
        only_tee = len(names) == len(rest) and set(names) == {"tee"}
        # What `${A:=x}` sets in a pipe is gone behind it.
        sets_nothing = not statement.writes or statement.defaults == statement.writes
        if only_tee and self._may_train(first):
            self.step(first)
            if self.start is not None:
                self.findings.note_logs(statement.line)
        elif only_tee and head_of(first) in SILENT and sets_nothing:
            self._shell.remember(statement, keep=False)
        elif self._starts_training(first):
            what = ", ".join(name for name in names if name != "tee") or "a pipe"
            hint = "`2>&1 | tee LOG` alone can go; prl-submit keeps the log in the run directory"
            self.findings.error(statement.line, f"the training's output goes through {what}", hint)
        else:
            self.opaque(statement)

    # --- functions, files, other scripts ------------------------------------------------------

    def _call(self, name: str, statement: Statement, given: list[Given]) -> None:
        definition = self.scope.functions[name]
        if statement.command is not None and statement.command.assignments:
            hint = "export it on a line before"
            self.findings.error(statement.line, f"variables for {name}, a function", hint)
        elif definition.parts and (not writes_a_file(statement) or definition.trains):
            self._calls.function(definition, given)
            if writes_a_file(statement):
                self.findings.note_logs(statement.line)
        else:
            message = f"{name}, line {definition.line}, is a function: it is not followed"
            self.findings.error(statement.line, message, "write here what it does")

    def _exit(self, name: str, statement: Statement, given: list[Given]) -> None:
        if name == "return" and (self.scope.locals or self.scope.sources):
            self.returned = True
            return
        status = (given[1].known or "") if len(given) > 1 else ""
        is_failure = status.isdecimal() and int(status) % 256 != 0
        self.stop(statement.line, is_failure=is_failure)

    def _evaluate(self, statement: Statement, given: list[Given]) -> bool:
        """`eval TEXT` where the text is known; false for all else."""
        if first_gap(given) is not None or activation.is_hook(statement.text):
            return False
        self._calls.text(" ".join(known_texts(given[1:])), statement.line)
        self._note_logs(statement)
        return True

    def _included(self, statement: Statement, given: list[Given]) -> bool:
        """`source FILE` of a file that is there."""
        name = given[1].known if len(given) > 1 else None
        if name is None:
            return False
        found = self._calls.find(name, is_from_own=is_from_own(statement, self.scope))
        if found is None:
            return False
        if found[0] != name:
            message = f"{name} is taken from the script's folder: {found[0]}"
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
        self._line.hand_over(statement, command, order.start)
        before = dict(self.scope.variables)
        line = statement.line
        if order.text is not None:
            self.scope.begin_process(order.script, order.arguments)
            self._calls.text(order.text, line, is_process=True)
        elif order.found is not None:
            self._calls.script(order.arguments, line, order.found)
        if self.start is not None:
            self.start.add(order.start)
            self._note_logs(statement)
        elif self.ended is None:
            message = f"{order.script} starts no training that can be followed"
            self.findings.error(line, message, None)
        self._shell.refuse_leaks(before)

    # --- the training and what comes behind it ------------------------------------------------

    def _peek(self, words: list[Word]) -> list[Given]:
        """The words, with nothing set."""
        with self.scope.aside():
            return self._assignments.expand(words)

    def _may_train(self, statement: Statement) -> bool:
        """True if a command is the training, or cannot be known."""
        words = [] if statement.command is None else statement.command.words
        head = self._peek(words[:1])[:1]
        return first_gap(head) is not None or self._starts_training(statement)

    def _starts_training(self, statement: Statement) -> bool:
        if statement.trains:
            return True
        command = statement.command
        if command is None or not command.words:
            return any(map(self._starts_training, statement.parts))
        return self._is_training(self._peek(command.words))

    def _is_training(self, given: list[Given]) -> bool:
        """True if a command starts a training, itself or by a function or a script."""
        head = (given[0].known or "") if given else ""
        if head in self.scope.functions and self.scope.functions[head].trains:
            return True
        if head == "eval":
            return TRAINING.search(" ".join(texts_of(given))) is not None
        return find_start(given) is not None or self._handed_over(given) is not None

    def _trains_inside(self, statement: Statement) -> bool:
        """True if a training is started in a construct, by its words or by what they stand for."""
        return statement.trains or any(map(self._may_stand_for_training, statement.calls))

    def _may_stand_for_training(self, call: Sequence[Node]) -> bool:
        head = call[0].text
        is_indirect = "$" in head or head in self.scope.functions or head in ("eval", "bash", "sh")
        if not is_indirect and not head.endswith(".sh"):
            return False
        return self._is_training(self._peek([word for word in call if isinstance(word, Word)]))

    def _launch(self, statement: Statement, command: Command, start: Start) -> None:
        self.start = start
        if start.is_uv:
            self._uv(start)
        if any(redirect.target not in ("1", "2", "/dev/null") for redirect in statement.redirects):
            self.findings.note_logs(statement.line)
        self._environment = self._line.environment(statement, command, start)

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
