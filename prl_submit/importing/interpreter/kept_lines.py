"""Statements that a shell must run before the training: which ones, and what they need from others.

They become the lines of `environment.setup`.
"""

from __future__ import annotations

import posixpath
import re

from msgspec import Struct

from prl_submit.importing.bash.conditions import shown
from prl_submit.importing.bash.effects import heads
from prl_submit.importing.bash.expand import expand_value
from prl_submit.importing.bash.scope import (
    Given,
    Scope,
    Unknown,
    UnknownError,
    Variable,
    known_texts,
)
from prl_submit.importing.bash.statements import Command, Statement
from prl_submit.importing.bash.syntax import UnaryTest, Word
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter.constructs import called_functions
from prl_submit.importing.interpreter.known_commands import ends_the_script
from prl_submit.importing.secrets import literal_secrets
from prl_submit.launch.quote import bash
from prl_submit.rules import looks_secret

#: What depends on the script's own place.
_OWN = frozenset(["0", "BASH_SOURCE", "LINENO", "FUNCNAME"])
_FOLDERS = frozenset(["PWD", "OLDPWD", "DIRSTACK"])
#: Commands that do the same in every folder.
_ANYWHERE = frozenset(["export", "ulimit", "umask", "declare", "readonly", "unset"])
#: What a check of variables consists of.
_CHECKS = frozenset(["echo", "printf", "exit", "test", "[", ":", "true", "return", "pgrep"])
#: What makes such a check depend on files or programs.
ASKS_MORE = re.compile(r"\$\(|`|<|>\s*[^&\s]|\s-[abcdefghkprstuwxGLNOS]\s|-[no]t\s|-ef\s")
_HINT = "do it before you submit, or on a line of its own"
_SECRET_HINT = "environment.secrets: [NAME] takes it from where you submit"
#: Commands that launch.sh must not run, since they would change how launch.sh itself goes on.
_REFUSED = {
    "alias": ("an alias", _HINT),
    "trap": ("a trap would take the place of launch.sh's own", _HINT),
    "pushd": ("pushd", _HINT),
    "popd": ("popd", _HINT),
    "getopts": ("getopts reads the script's arguments", _HINT),
    "false": ("it fails, and what follows depends on that", "leave it out"),
    "enable": ("it changes what commands are", _HINT),
}
#: Tests of `[` that ask for a file.
_FILE_TESTS = frozenset(["-d", "-e", "-f", "-r", "-s"])
_WITH_LOGINS = ("wandb", "huggingface-cli", "hf")
#: Variables that are often there where a job starts: a plain `NAME=x` then reaches the training.
_OFTEN_INHERITED = re.compile(
    r"USER|LOGNAME|SHELL|LANG(UAGE)?|LC_\w+|TERM|TZ|TMPDIR|HOSTNAME|EDITOR|LD_(LIBRARY_PATH|PRELOAD)|(C|CPLUS_)INCLUDE_PATH"
    r"|LIBRARY_PATH|MANPATH|PKG_CONFIG_PATH|[A-Za-z]+_[Pp][Rr][Oo][Xx][Yy]|XDG_\w+"
    r"|(CUDA|CUDNN|NCCL|HF|HUGGINGFACE|TRANSFORMERS|TORCH|PYTORCH|OMP|MKL|WANDB|PIP|CONDA|MODELSCOPE"
    r"|VLLM|TRITON|DS|SWANLAB)_\w+|PYTHON[A-Z]\w*",
    re.ASCII,
)
#: `${A:?why}` ends the job where A is not set.
STOPS = re.compile(r"\$\{\w+(\[[^\]]{0,80}\])?:?\?")


def refused(name: str, text: str) -> tuple[str, str] | None:
    """Why a command is not kept, and what to do; None where it is."""
    if name in _WITH_LOGINS and "login" in text:
        return "a login holds a secret", _SECRET_HINT
    return _REFUSED.get(name)


class Past(Struct, kw_only=True):
    """A statement that was followed. `text`: what a shell must run to have its effect."""

    statement: Statement
    text: str
    folder: str
    keep: bool


class Kept(Struct):
    """The lines to run before the training, and the variables that they set."""

    lines: list[str]
    sets: set[str]


def keep_lines(
    history: list[Past],
    scope: Scope,
    environment: dict[str, Variable],
    findings: Findings,
    given: dict[str, str],
) -> Kept:
    """The lines to keep in the script's order, with the lines that they need.

    `environment`: the training's. Where a value in it is not known, the lines that set it are kept.
    `given`: lines that set variables, in place of the script's own.
    """
    selection = _Selection(history, scope, environment, given)
    for name in sorted(environment):
        if isinstance(environment[name].value, Unknown):
            selection.need(name, len(history))
    for name, variable in scope.variables.items():
        is_inherited = not variable.exported and _OFTEN_INHERITED.fullmatch(name)
        if is_inherited and name not in environment and not isinstance(variable.value, list):
            if isinstance(variable.value, str) and looks_secret(name, variable.value):
                message = (
                    f"{name} is not exported: the training gets it only where it is set before"
                )
                findings.note(variable.line, message, _SECRET_HINT)
            else:
                selection.need(name, len(history))
    selection.close()
    writer = _LineWriter(scope, selection, findings)
    lines = [writer.line(past) for past in history if past.keep]
    read = {name for past in history if past.keep for name in past.statement.reads}
    first = [given[name] for name in sorted(read & set(given))]
    return Kept([*first, *(line for line in lines if line is not None)], selection.sets)


class _Selection:
    """Marks what is kept. Each line is looked at once, and each line that sets a name once."""

    def __init__(
        self,
        history: list[Past],
        scope: Scope,
        environment: dict[str, Variable],
        given: dict[str, str],
    ) -> None:
        self._given = given
        #: Variables of the training that kept lines set, in place of environment.env.
        self.sets: set[str] = set()
        self.environment = environment
        self._history = history
        self._scope = scope
        #: The lines that set a name.
        self._writers: dict[str, list[int]] = {}
        #: Up to where a name's writers have been kept.
        self._done: dict[str, int] = {}
        for at, past in enumerate(history):
            for name in past.statement.writes:
                self._writers.setdefault(name, []).append(at)
        self._open = [at for at, past in enumerate(history) if past.keep]

    def close(self) -> None:
        """Keep what the kept lines need, and what those need."""
        while self._open:
            at = self._open.pop()
            past = self._history[at]
            functions = {f"{name}()" for name in called_functions(past.text, self._scope)}
            for name in past.statement.reads | functions:
                self.need(name, at)

    def need(self, name: str, at: int) -> None:
        """Keep what the line at `at` needs to know a variable."""
        writers = self._writers.get(name)
        if not writers or name in self._given or self._is_settled(name, writers, at):
            return
        done = self._done.get(name, 0)
        if name in self._scope.once_exported or name in self.environment:
            # environment.env has but the last value, and from the start.
            if writers[0] >= at and name in self.environment:
                self.sets.add(name)
            at = len(self._history)
        if at <= done:
            return
        self._done[name] = at
        for writer in writers:
            if done <= writer < at and not self._history[writer].keep:
                self._history[writer].keep = True
                self._open.append(writer)

    def _is_settled(self, name: str, writers: list[int], at: int) -> bool:
        """True if the variable has the right value at `at`, from environment.env or .secrets."""
        variable = self.environment.get(name)
        if variable is None or not isinstance(variable.value, str) or len(writers) > 3:
            return False
        pasts = [self._history[writer] for writer in writers]
        if any(past.keep or past.statement.kind != "command" for past in pasts):
            return False
        if looks_secret(name, variable.value):
            return self.is_given_once(name)
        return len(writers) == 1 and writers[0] < at

    def is_given_once(self, name: str) -> bool:
        """True if one line alone gives the variable a value; others may export it."""
        lines = [self._history[writer].statement for writer in self._writers[name]]
        return sum(_gives_value(statement, name) for statement in lines) == 1

    def is_set_once(self, name: str) -> bool:
        """True if one line alone sets the variable."""
        return len(self._writers[name]) == 1


class _LineWriter:
    """Writes kept statements as lines of `environment.setup`, and says what a shell will run."""

    def __init__(self, scope: Scope, selection: _Selection, findings: Findings) -> None:
        self._scope = scope
        self._selection = selection
        self._findings = findings

    def line(self, past: Past) -> str | None:
        """The line as it is kept; None where the spec has what it does already."""
        statement, command = past.statement, past.statement.command
        if found := literal_secrets(past.text):
            return self._without_secret(statement, set(found))
        does_more = command is None or command.words or command.declaration
        if does_more or STOPS.search(past.text):
            message = f"runs before the training, in environment.setup: {shown(past.text, 60)}"
            self._findings.note(statement.line, message)
        if any(name.startswith("prl_") for name in statement.writes):
            message = "variables named prl_… are those of launch.sh"
            self._findings.error(statement.line, message, "rename it")
        if statement.reads & _OWN:
            return self._of_own_place(past)
        if past.folder != self._scope.folder and not _is_anywhere(statement):
            message = (
                f"runs in another folder than the training ({past.folder}, {self._scope.folder})"
            )
            hint = "put it behind the `cd`, or do it before you submit"
            self._findings.error(statement.line, message, hint)
        return past.text

    def _of_own_place(self, past: Past) -> str | None:
        """A statement that needs the path of the script, which is another one in a job."""
        statement, command = past.statement, past.statement.command
        if command is not None and [word.text for word in command.words[:1]] == ["cp"]:
            message = "a copy of the script is left out: the run directory has the spec"
            self._findings.note(statement.line, message)
            return None
        value = self._known(command)
        if value is not None:
            return value
        message = "needs the script's own path, which is another one in a job"
        self._findings.error(statement.line, message, "write the path")
        return past.text

    def _known(self, command: Command | None) -> str | None:
        """`NAME=VALUE` where the statement does no more than that, and the value is known."""
        if command is None or command.words or len(command.assignments) != 1:
            return None
        name = command.assignments[0].name
        variable = self._scope.variables.get(name)
        if variable is None or not self._selection.is_set_once(name):
            return None
        if not isinstance(variable.value, str):
            return None
        return f"{'export ' if variable.exported else ''}{name}={bash(variable.value)}"

    def _without_secret(self, statement: Statement, names: set[str]) -> str | None:
        """A statement that only exports secrets is `environment.secrets`; any other is refused."""
        command = statement.command
        if command is not None and (command.declaration or not command.words):
            written = {assignment.name for assignment in command.assignments}
            if written == names and all(map(self._is_secret, names)):
                return None
        what = ", ".join(sorted(name for name in names if name)) or "a credential"
        message = f"{what} is written out in what would run before the training"
        self._findings.error(statement.line, message, _SECRET_HINT)
        return None

    def _is_secret(self, name: str) -> bool:
        variable = self._selection.environment.get(name)
        text = None if variable is None else variable.value
        is_secret = isinstance(text, str) and looks_secret(name, text)
        return is_secret and self._selection.is_given_once(name)


def _gives_value(statement: Statement, name: str) -> bool:
    """True if a statement sets the variable, and does not only export it."""
    command = statement.command
    if command is None or command.declaration is None:
        return True
    return command.declaration == "unset" or name in {a.name for a in command.assignments}


def _is_anywhere(statement: Statement) -> bool:
    """True if a statement does the same in every folder."""
    command = statement.command
    if command is None:  # a check of variables: no file and no folder is in it
        names = {name for name, _ in heads(statement.calls)}
        if not names <= _CHECKS or statement.reads & _FOLDERS or statement.writes:
            return False
        return not ASKS_MORE.search(statement.text)
    if "$(" in statement.text or "`" in statement.text or statement.reads & _FOLDERS:
        return False
    head = command.declaration or (command.words[0].text if command.words else "export")
    return head in _ANYWHERE


# --- checks that `prl-submit check` makes anyway --------------------------------------------------


def leave_out_checks(
    history: list[Past], arguments: list[Given], scope: Scope, findings: Findings
) -> None:
    """Keep no check of a file that an argument of the training names; say so."""
    named = known_texts(arguments)
    for past in history:
        path = _checked(past.statement, scope) if past.keep else None
        is_same_place = past.folder == scope.folder or (path or "").startswith("/")
        if path in named and is_same_place and past.text == past.statement.text:
            past.keep = False
            what = posixpath.basename((path or "").rstrip("/"))
            message = f"`{shown(past.statement.text, 50)}` is left out: `check` looks for {what}"
            findings.note(past.statement.line, message)


def _checked(statement: Statement, scope: Scope) -> str | None:
    """The file without which a statement ends the script; None where it does anything else."""
    if statement.writes or statement.background or statement.redirects:
        return None
    test, stops_if_it_fails = _test_of(statement)
    is_negated, word = (False, None) if test is None or test.redirects else _file_of(test)
    if word is None or is_negated == stops_if_it_fails:
        return None
    try:
        return expand_value(word, scope)[0]
    except UnknownError:
        return None


def _file_of(test: Statement) -> tuple[bool, Word | None]:
    """Of `[ ! -f FILE ]`: whether there is a `!`, and FILE; None for any other test."""
    node, operands = test.expression, test.operands
    if node is None:
        is_negated = operands[:1] != [] and operands[0].literal == "!"
        words = operands[1:] if is_negated else operands
        is_of_file = len(words) == 2 and words[0].literal in _FILE_TESTS
        return is_negated, words[1] if is_of_file else None
    is_negated = isinstance(node, UnaryTest) and node.op == "!"
    if isinstance(node, UnaryTest) and is_negated:
        node = node.x
    is_of_file = isinstance(node, UnaryTest) and node.op in _FILE_TESTS
    operand = node.x if isinstance(node, UnaryTest) else None
    return is_negated, operand if is_of_file and isinstance(operand, Word) else None


def _test_of(statement: Statement) -> tuple[Statement | None, bool]:
    """The test, and whether the script ends where it fails: `[ -f x ] || exit 1`."""
    if (
        statement.kind == "chain"
        and len(statement.parts) == 2
        and ends_the_script(statement.parts[1:])
    ):
        return statement.parts[0], statement.operators == ["||"]
    if statement.kind == "`if`" and len(statement.branches) == 1:
        branch = statement.branches[0]
        if len(branch.conditions) == 1 and ends_the_script(branch.body):
            return branch.conditions[0], False
    return None, False
