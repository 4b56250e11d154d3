"""Statements that are kept word for word: which ones, and what they need from the others."""

from __future__ import annotations

import re

from msgspec import Struct

from prl_submit.importing.bash.effects import heads
from prl_submit.importing.bash.scope import Scope, Unknown, Variable
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings
from prl_submit.importing.secrets import literal_secrets
from prl_submit.launch.quote import bash
from prl_submit.rules import looks_secret

_OWN = frozenset(["0", "BASH_SOURCE", "LINENO", "FUNCNAME"])
_FOLDERS = frozenset(["PWD", "OLDPWD", "DIRSTACK"])
#: They do the same in every folder.
_ANYWHERE = ("export", "ulimit", "umask", "declare", "readonly", "unset")


#: What a check of variables consists of.
_CHECKS = frozenset(["echo", "printf", "exit", "test", "[", ":", "true", "return", "pgrep"])
_HINT = "do it before you submit, or on a line of its own"
_SECRET_HINT = "environment.secrets: [NAME] takes it from where you submit"
_LOGIN = ("a login holds a secret", _SECRET_HINT)
#: Not for launch.sh, which would go on in their way.
_REFUSED = {
    "alias": ("an alias", _HINT),
    "trap": ("a trap would take the place of launch.sh's own", _HINT),
    "pushd": ("pushd", _HINT),
    "popd": ("popd", _HINT),
    "getopts": ("getopts reads the script's arguments", _HINT),
    "false": ("it fails, and what follows depends on that", "leave it out"),
    "enable": ("it changes what commands are", _HINT),
    "coproc": ("a process in the background", _HINT),
}
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
_STOPS = re.compile(r"\$\{\w+(\[[^\]]{0,80}\])?:?\?")


def refused(name: str, text: str) -> tuple[str, str] | None:
    """Why a command is not kept, and what to do; None where it is."""
    return _LOGIN if name in _WITH_LOGINS and "login" in text else _REFUSED.get(name)


class Past(Struct, kw_only=True):
    """A statement that was followed. `text`: what a shell must run to have its effect."""

    statement: Statement
    text: str
    folder: str
    keep: bool


class Kept(Struct):
    """The lines to run before the training, and the variables that they set in its stead."""

    lines: list[str]
    sets: set[str]


def keep_lines(
    history: list[Past], scope: Scope, environment: dict[str, Variable], findings: Findings
) -> Kept:
    """The lines in the script's order, with what they need.

    `environment`: the training's. Where a value in it is not known, its lines are kept.
    """
    keeper = _Keeper(history, scope, environment, findings)
    for name in sorted(environment):
        if isinstance(environment[name].value, Unknown):
            keeper.need(name, len(history))
    for name, variable in scope.variables.items():
        if not variable.exported and _OFTEN_INHERITED.fullmatch(name) and name not in environment:
            keeper.inherit(name, variable)
    keeper.close()
    lines = [keeper.line(past) for past in history if past.keep]
    return Kept([line for line in lines if line is not None], keeper.sets)


def called_functions(text: str, scope: Scope) -> set[str]:
    """The script's functions that a text may call, as `f()`."""
    if not scope.functions:
        return set()
    words = set(re.findall(r"[\w.:-]+", text))
    return {f"{name}()" for name in words if name in scope.functions}


class _Keeper:
    """Marks what is kept. Each line is looked at once, and each writer of a name once."""

    def __init__(
        self,
        history: list[Past],
        scope: Scope,
        environment: dict[str, Variable],
        findings: Findings,
    ) -> None:
        self.sets: set[str] = set()
        self._history = history
        self._scope = scope
        self._environment = environment
        self._findings = findings
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
            for name in past.statement.reads | called_functions(past.text, self._scope):
                self.need(name, at)

    def need(self, name: str, at: int) -> None:
        """A line at `at` depends on a variable."""
        writers = self._writers.get(name)
        if not writers or self._is_settled(name, writers, at):
            return
        done = self._done.get(name, 0)
        if name in self._scope.once_exported or name in self._environment:
            # environment.env has but the last value, and from the start.
            if writers[0] >= at and name in self._environment:
                self.sets.add(name)
            at = len(self._history)
        if at <= done:
            return
        self._done[name] = at
        for writer in writers:
            if done <= writer < at:
                self._keep(writer)

    def inherit(self, name: str, variable: Variable) -> None:
        """A plain `NAME=x` whose variable may be in the environment of the job."""
        if isinstance(variable.value, list):
            return
        if isinstance(variable.value, str) and looks_secret(name, variable.value):
            message = f"{name} is not exported: the training gets it only where it is set before"
            self._findings.note(variable.line, message, _SECRET_HINT)
        else:
            self.need(name, len(self._history))

    def _keep(self, at: int) -> None:
        if not self._history[at].keep:
            self._history[at].keep = True
            self._open.append(at)

    def _is_settled(self, name: str, writers: list[int], at: int) -> bool:
        """Whether the variable has the right value at `at`, from environment.env or .secrets."""
        variable = self._environment.get(name)
        if variable is None or not isinstance(variable.value, str):
            return False
        if len(writers) > 3:
            return False
        pasts = [self._history[writer] for writer in writers]
        if any(past.keep or past.statement.kind != "command" for past in pasts):
            return False
        if looks_secret(name, variable.value):
            return sum(_gives_value(past.statement, name) for past in pasts) == 1
        return len(writers) == 1 and writers[0] < at

    def line(self, past: Past) -> str | None:
        """The line as it is kept; None where the spec has what it does already."""
        statement, scope = past.statement, self._scope
        if found := literal_secrets(past.text):
            return self._without_secret(statement, set(found))
        command = statement.command
        does_more = command is None or command.words or command.declaration
        if does_more or _STOPS.search(past.text):
            shown = " ".join(past.text.split())
            shown = shown if len(shown) <= 60 else shown[:59] + "…"
            message = f"runs before the training, in environment.setup: {shown}"
            self._findings.note(statement.line, message)
        if any(name.startswith("prl_") for name in statement.writes):
            hint = "rename it"
            message = "variables named prl_… are those of launch.sh"
            self._findings.error(statement.line, message, hint)
        if statement.reads & _OWN and command and [w.text for w in command.words[:1]] == ["cp"]:
            message = "a copy of the script is left out: the run directory has the spec"
            self._findings.note(statement.line, message)
            return None
        if statement.reads & _OWN:
            value = self._known(statement)
            if value is not None:
                return value
            message = "needs the script's own path, which is another one in a job"
            self._findings.error(statement.line, message, "write the path")
        elif past.folder != scope.folder and not _is_anywhere(statement):
            message = f"runs in another folder than the training ({past.folder}, {scope.folder})"
            hint = "put it behind the `cd`, or do it before you submit"
            self._findings.error(statement.line, message, hint)
        return past.text

    def _known(self, statement: Statement) -> str | None:
        """`NAME=VALUE` where the statement does no more than that, and the value is known."""
        command = statement.command
        if command is None or command.words or len(command.assignments) != 1:
            return None
        name = command.assignments[0].name
        variable = self._scope.variables.get(name)
        if variable is None or len(self._writers[name]) != 1:  # another line may have changed it
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
        variable = self._environment.get(name)
        text = None if variable is None else variable.value
        given = sum(_gives_value(self._history[at].statement, name) for at in self._writers[name])
        return isinstance(text, str) and looks_secret(name, text) and given == 1


def _gives_value(statement: Statement, name: str) -> bool:
    """Whether a statement sets the variable, and does not only export it."""
    command = statement.command
    if command is None or command.declaration is None:
        return True
    return command.declaration == "unset" or name in {a.name for a in command.assignments}


def _is_anywhere(statement: Statement) -> bool:
    command = statement.command
    if command is None:
        return _asks_anywhere(statement)
    if "$(" in statement.text or "`" in statement.text:
        return False
    if statement.reads & _FOLDERS:
        return False
    head = command.declaration or (command.words[0].text if command.words else "export")
    return head in _ANYWHERE


def _asks_anywhere(statement: Statement) -> bool:
    """A check of variables that only prints and stops: no file and no folder is in it."""
    heads_ = {name for name, _ in heads(statement.calls)}
    if not heads_ <= _CHECKS or statement.reads & _FOLDERS or statement.writes:
        return False
    return not re.search(
        r"\$\(|`|<|>\s*[^&\s]|\s-[abcdefghkprstuwxGLNOS]\s|-[no]t\s|-ef\s", statement.text
    )
