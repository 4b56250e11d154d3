"""Commands that change what follows: folders, options, conda, modules, files that are read in."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from prl_submit.importing.bash.command_output import base_folder, is_from_own
from prl_submit.importing.bash.scope import Gap, Given, Scope, first_gap, known_texts
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter import activation
from prl_submit.spec.scalars import is_digits

_SET_FLAGS = frozenset("aefuxvCEThmBb")
_SET_NAMES = frozenset(
    "errexit nounset allexport noglob noclobber xtrace pipefail verbose errtrace"
    " functrace monitor history braceexpand".split()
)
#: Options of `shopt` that change nothing that is computed here: patterns are not.
HARMLESS_OPTIONS = frozenset(
    "checkwinsize dotglob expand_aliases extglob failglob globstar histappend huponexit"
    " inherit_errexit lastpipe nocaseglob nullglob".split()
)


class KeptError(Exception):
    """The command has an effect of its own: a shell must run it."""


class CommandFollower:
    """Follows single commands by their names."""

    def __init__(
        self,
        scope: Scope,
        activated: activation.Activated,
        findings: Findings,
        include: Callable[[Statement, list[Given]], bool],
    ) -> None:
        self._include = include
        self._scope = scope
        self._activated = activated
        self._findings = findings
        self._handlers: dict[str, Callable[[Statement, list[Given]], None]] = {
            "cd": self._cd,
            "set": self._set,
            "shopt": self._shopt,
            "shift": self._shift,
            "source": self._source,
            ".": self._source,
            "eval": self._eval,
            "conda": self._conda,
            "module": self._module,
            "ml": self._module,
            "exec": self._exec,
            "deactivate": lambda statement, given: activation.deactivate(self._activated),
        }

    def follow(self, name: str, statement: Statement, given: list[Given]) -> bool:
        """Follow the command; false where it is for a shell to run."""
        handler = self._handlers.get(name)
        if handler is None:
            return False
        try:
            handler(statement, given)
        except KeptError:
            return False
        return True

    def _has_gap(self, what: str, statement: Statement, given: list[Given]) -> bool:
        """True if a word of a command is not known, which is an error then."""
        gap = first_gap(given)
        if gap is not None:
            self._findings.unknown(statement.line, what, gap.unknown)
        return gap is not None

    # --- folders and options ------------------------------------------------------------------

    def _cd(self, statement: Statement, given: list[Given]) -> None:
        targets = [word for word in given[1:] if word.known not in ("--", "-P", "-L")]
        if self._has_gap("cd", statement, targets):
            return
        texts = known_texts(targets)
        if not texts:
            home = self._scope.find("HOME", statement.line)
            texts = [str(home.value) if home and isinstance(home.value, str) else "-"]
        if self._looks_elsewhere(statement, texts[0]):
            message = "CDPATH is set: it says where cd looks for folders"
            self._findings.error(statement.line, message, "write the path, ./FOLDER")
        elif len(texts) > 1 or texts[0] == "-":
            self._findings.error(statement.line, f"cd {' '.join(texts)}", "name the folder")
        elif is_from_own(statement, self._scope):
            self._scope.enter(posixpath.join(base_folder(statement, self._scope), texts[0]))
        else:
            self._scope.enter(texts[0])

    def _looks_elsewhere(self, statement: Statement, folder: str) -> bool:
        """True if CDPATH may say what folder that is."""
        command = statement.command
        own = [] if command is None else [assignment.name for assignment in command.assignments]
        is_set = "CDPATH" in self._scope.variables or "CDPATH" in own
        return is_set and not re.match(r"/|\.\.?(/|$)", folder)

    def _set(self, statement: Statement, given: list[Given]) -> None:
        words = given[1:]
        while words:
            word = words[0].known or ""
            if word[:1] not in "-+" or word in ("", "-", "--"):
                self._set_arguments(statement, words)
                return
            words = words[1:]
            names = set(word[1:]) - {"o"}
            if "o" in word[1:] and words and (name := words[0].known) is not None:
                if name not in _SET_NAMES:
                    self._refuse_set(statement)
                self._set_option(name, on=word[0] == "-")
                words = words[1:]
            if not names <= _SET_FLAGS:
                self._refuse_set(statement)
            for letter in names:
                self._set_option(letter, on=word[0] == "-")

    def _set_arguments(self, statement: Statement, words: list[Given]) -> None:
        """`set -- a b`; a `-` alone leaves the arguments as they are."""
        word = words[0].known
        if word != "-" or words[1:]:
            self._scope.arguments = words[1:] if word in ("-", "--") else words
        if isinstance(words[0], Gap):
            self._refuse_set(statement)

    def _refuse_set(self, statement: Statement) -> None:
        self._findings.error(statement.line, "set with what is not followed", "leave it out")

    def _set_option(self, name: str, *, on: bool) -> None:
        if name in ("a", "allexport"):
            self._scope.exports_all = on
        elif name in ("f", "noglob"):
            self._scope.matches_files = not on
        elif name in ("e", "errexit"):
            self._scope.stops_at_errors = on

    def _shopt(self, statement: Statement, given: list[Given]) -> None:
        words = {word.known or "?" for word in given[1:]}
        if words - {"-s", "-u", "-q", "-p"} - HARMLESS_OPTIONS:
            message = "shopt with what is not followed"
            self._findings.error(statement.line, message, "leave it out")

    def _shift(self, statement: Statement, given: list[Given]) -> None:
        count = given[1].known if len(given) > 1 else "1"
        if count is not None and is_digits(count):
            self._scope.arguments = self._scope.arguments[int(count) :]
        else:
            self._findings.error(statement.line, "shift", "write the arguments out")

    # --- environments and other files ---------------------------------------------------------

    def _source(self, statement: Statement, given: list[Given]) -> None:
        texts = [word.shown for word in given[1:]]
        known = len(given) > 1 and given[1].known is not None
        before = self._activated.venv
        if activation.source(self._activated, texts, known, statement.line, self._findings):
            if self._activated.venv is not None and self._activated.venv is not before:
                self._activated.venv = posixpath.join(self._scope.folder, self._activated.venv)
        elif not self._include(statement, given):
            hint = "write what it sets into the script; environment.setup can run it before the job"
            what = "it may set anything, and is not here" if known else "it may set anything"
            self._findings.error(statement.line, f"source {' '.join(texts)}: {what}", hint)

    def _eval(self, statement: Statement, given: list[Given]) -> None:
        if not activation.hook(self._activated, statement.text):
            hint = "write the command itself"
            self._findings.error(statement.line, "eval: what it runs is known only then", hint)

    def _conda(self, statement: Statement, given: list[Given]) -> None:
        action = given[1].known if len(given) > 1 else None
        if action == "deactivate":
            activation.deactivate(self._activated)
        elif action != "activate":
            raise KeptError
        elif not self._has_gap("conda activate", statement, given):
            names = [text for text in known_texts(given[2:]) if text and text[:1] != "-"]
            activation.conda(self._activated, names[0] if names else "base")

    def _module(self, statement: Statement, given: list[Given]) -> None:
        if not self._has_gap("module", statement, given):
            texts = known_texts(given)
            activation.module(self._activated, texts, statement.line, self._findings)

    def _exec(self, statement: Statement, given: list[Given]) -> None:
        if len(given) > 1 or any("<" in redirect.operator for redirect in statement.redirects):
            message = "exec: another program takes the script's place"
            self._findings.error(statement.line, message, None)
        else:
            self._findings.note_logs(statement.line)
