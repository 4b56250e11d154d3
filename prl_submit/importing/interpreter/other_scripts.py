"""Functions that are called, files that are sourced, and scripts that a script hands over to."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from prl_submit.importing.bash.effects import TRAINING
from prl_submit.importing.bash.scope import Given, Scope, Variable
from prl_submit.importing.bash.statements import Line, Statement, read_script
from prl_submit.importing.findings import Findings
from prl_submit.importing.training_command import Refused, Start
from prl_submit.importing.wrappers import unwrap

#: Reads a file's bytes; None where there is none.
ReadFile = Callable[[str], "bytes | None"]
MAX_DEPTH = 16
MAX_FILES = 50


_SHELLS = frozenset(["bash", "sh"])
#: Options of these shells that change nothing for what follows.
_QUIET = frozenset("euxlvi")


class Order(Struct, frozen=True, kw_only=True):
    """What a shell is to run: a script by its path, or a text; `start` has what stands before it."""

    script: str
    arguments: list[Given]
    start: Start
    text: str | None = None
    found: tuple[str, bytes] | None = None


def read_order(given: list[Given]) -> Order | None:
    """What a command tells another shell to run; None where it tells none."""
    unwrapped = unwrap(given)
    if isinstance(unwrapped, Refused):
        return None
    words, start = unwrapped
    head = words[0].known if words else None
    if head is None:
        return None
    if posixpath.basename(head) in _SHELLS:
        return _of_shell(words, start)
    if head.endswith(".sh") and "/" in head:
        return Order(script=head, arguments=words[1:], start=start)
    return None


def _of_shell(words: list[Given], start: Start) -> Order | None:  # noqa: C901  # one case for each option of a shell
    shell, rest = words[0], words[1:]
    is_text = False
    while rest and (rest[0].known or " ")[0] in "-+":
        option, rest = rest[0].shown, rest[1:]
        if option in ("--login", "--norc", "--noprofile", "--"):
            continue
        flags = set(option[1:])
        if "o" in flags and rest:
            rest = rest[1:]
        if not flags <= _QUIET | {"c", "o"}:
            return None
        is_text |= "c" in flags
    first = rest[0].known if rest else None
    if first is None:
        return None
    if not is_text:
        return Order(script=first, arguments=rest[1:], start=start)
    if not TRAINING.search(first):
        return None
    own = rest[1] if len(rest) > 1 else shell
    return Order(script=own.known or "bash", arguments=rest[2:], start=start, text=first)


class Runner(Protocol):
    """What follows the statements of a script."""

    scope: Scope
    findings: Findings
    returned: bool

    def run(self, statements: list[Statement]) -> None:
        """Follow statements in their order."""

    def give_up(self) -> None:
        """Follow nothing more."""


class Calls:
    """Follows functions and other scripts, up to a depth and a number that no sane script exceeds."""

    def __init__(self, runner: Runner, read: ReadFile) -> None:
        self._runner = runner
        self._scope = runner.scope
        self._findings = runner.findings
        self._read = read
        self._depth = 0
        self._files = 0

    def function(self, definition: Statement, given: list[Given]) -> None:
        """Follow a call of a function, with its own arguments and local variables."""
        scope = self._scope
        before, scope.arguments = scope.arguments, given[1:]
        outer, hidden = scope.locals, dict[str, "Variable | None"]()
        scope.locals = [*outer, hidden]
        self._deeper(definition.parts, given[0].line)
        scope.arguments, scope.locals = before, outer
        for name, variable in hidden.items():
            scope.restore(name, variable)

    def _deeper(self, statements: list[Statement], line: int) -> None:
        if self._depth >= MAX_DEPTH:
            message = f"calls that go deeper than {MAX_DEPTH} are not followed"
            self._findings.error(line, message, "write out what it does")
            return
        self._depth += 1
        self._runner.run(statements)
        self._depth -= 1
        self._runner.returned = False

    # --- files --------------------------------------------------------------------------------

    def find(self, name: str, *, is_from_own: bool = False) -> tuple[str, bytes] | None:
        """A file that the script names: from its working directory, else beside the script."""
        scope = self._scope
        if posixpath.isabs(name):
            candidates = [name]
        else:
            folder = posixpath.join(scope.place.cwd, "" if is_from_own else scope.folder)
            beside = posixpath.dirname(posixpath.join(scope.place.cwd, scope.place.script))
            candidates = [posixpath.join(folder, name), posixpath.join(beside, name)]
        for at, path in enumerate(candidates):
            data = self._read(posixpath.normpath(path))
            if data is not None:
                return (name if at == 0 else posixpath.normpath(path)), data
        return None

    def source(self, given: list[Given], line: int, found: tuple[str, bytes]) -> None:
        """Follow `source FILE …`, whose statements count as if they were written here."""
        path, data = found
        statements = self._statements(path, data, line)
        if statements is None:
            return
        scope = self._scope
        before = scope.arguments
        if len(given) > 2:
            scope.arguments = given[2:]
        sources = scope.sources
        scope.sources = [*sources, path]
        self._deeper(statements, line)
        scope.sources = sources
        if len(given) > 2:
            scope.arguments = before

    def script(self, given: list[Given], line: int, found: tuple[str, bytes]) -> None:
        """Follow `bash FILE …`, a process of its own that gets what is exported."""
        path, data = found
        statements = self._statements(path, data, line)
        if statements is not None:
            self._scope.begin_process(path, given)
            self._deeper(statements, line)

    def trains(self, data: bytes) -> bool:
        """True if a script starts a training."""
        return is_trainer(data, self._read_near)

    def _read_near(self, name: str) -> bytes | None:
        found = self.find(name)
        return None if found is None else found[1]

    def text(self, text: str, line: int, *, is_process: bool = False) -> None:
        """Follow the text of `eval TEXT` or `bash -c TEXT`.

        `is_process`: the text of `bash -c`, which stands in the script, so that lines count in it.
        """
        if self._is_too_much(line):
            return
        statements, problems = read_script(
            text.encode("utf-8"), "", below(line) if is_process else lambda number: line
        )
        self._findings.take(problems)
        self._deeper(statements, line)

    def _is_too_much(self, line: int) -> bool:
        self._files += 1
        if self._files > MAX_FILES:
            message = f"more than {MAX_FILES} files and texts are not read"
            self._findings.error(line, message, "write out what is needed of them")
            self._runner.give_up()
        return self._files > MAX_FILES

    def _statements(self, path: str, data: bytes, line: int) -> list[Statement] | None:
        if self._is_too_much(line):
            return None
        if path in self._scope.sources:
            self._findings.error(line, f"{path} reads itself", "write out what is needed of it")
            return None
        statements, problems = read_script(data, path, lambda number: Line(number, path))
        for problem in problems:
            at = Line(int(problem.line or 1), path)
            self._findings.error(at, problem.message, problem.hint)
        return None if problems else statements


def below(line: int) -> Callable[[int], int]:
    """Makes lines of the script from lines of a text that begins on `line` of it."""
    if isinstance(line, Line):
        return lambda number: line.plus(number - 1)
    return lambda number: line + number - 1


def is_trainer(data: bytes, read: Callable[[str], bytes | None], depth: int = 4) -> bool:
    """True if a script starts a training, or another script that does."""
    text = re.sub(rb"(?m)^\s*#.*$", b"", data[:1_000_000]).decode("utf-8", "replace")
    if TRAINING.search(text):
        return True
    names = re.findall(r"[\w./-]+\.sh\b", text)[:20] if depth else []
    inner = [found for name in dict.fromkeys(names) if (found := read(name)) is not None]
    return any(is_trainer(found, read, depth - 1) for found in inner)
