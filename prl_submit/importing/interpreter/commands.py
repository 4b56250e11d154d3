"""Commands that change what follows: folders, options, conda, modules, files that are read in."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

from prl_submit.importing.bash.outputs import base_folder, is_from_own
from prl_submit.importing.bash.scope import Field, Gap, Given, Scope
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings
from prl_submit.importing.interpreter import activation
from prl_submit.spec.scalars import is_digits

_SET_FLAGS = frozenset("aefuxvCEThmBb")
#: Options of `shopt` that change nothing that is computed here: patterns are not.
HARMLESS_OPTIONS = frozenset(
    [
        "checkwinsize",
        "dotglob",
        "expand_aliases",
        "extglob",
        "failglob",
        "globstar",
        "histappend",
        "huponexit",
        "inherit_errexit",
        "lastpipe",
        "nocaseglob",
        "nullglob",
    ]
)
_SET_NAMES = frozenset(
    [
        "errexit",
        "nounset",
        "allexport",
        "noglob",
        "noclobber",
        "xtrace",
        "pipefail",
        "verbose",
        "errtrace",
        "functrace",
        "monitor",
        "history",
        "braceexpand",
    ]
)


class KeptError(Exception):
    """The command has an effect of its own: a shell must run it."""


class Commands:
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
            "deactivate": self._deactivate,
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

    def _cd(self, statement: Statement, given: list[Given]) -> None:
        targets = [
            word
            for word in given[1:]
            if not isinstance(word, Field) or word.text not in ("--", "-P", "-L")
        ]
        gap = next((word for word in targets if isinstance(word, Gap)), None)
        if gap is not None:
            self._findings.unknown(statement.line, "cd", gap.unknown)
            return
        texts = [word.text for word in targets if isinstance(word, Field)]
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
        command = statement.command
        own = [] if command is None else [assignment.name for assignment in command.assignments]
        is_set = "CDPATH" in self._scope.variables or "CDPATH" in own
        return is_set and not re.match(r"/|\.\.?(/|$)", folder)

    def _set(self, statement: Statement, given: list[Given]) -> None:
        words = given[1:]
        while words:
            word = words[0].text if isinstance(words[0], Field) else ""
            if word[:1] not in "-+" or not word or word in ("-", "--"):
                if word != "-" or words[1:]:
                    self._scope.arguments = words[1:] if word in ("-", "--") else words
                if word == "" and isinstance(words[0], Gap):
                    self._refuse_set(statement)
                return
            words = words[1:]
            names = set(word[1:]) - {"o"}
            if "o" in word[1:] and words and isinstance(words[0], Field):
                if words[0].text not in _SET_NAMES:
                    self._refuse_set(statement)
                self._set_option(words[0].text, on=word[0] == "-")
                words = words[1:]
            if not names <= _SET_FLAGS:
                self._refuse_set(statement)
            for name in names:
                self._set_option(name, on=word[0] == "-")

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
        words = {word.text if isinstance(word, Field) else "?" for word in given[1:]}
        if words - {"-s", "-u", "-q", "-p"} - HARMLESS_OPTIONS:
            message = "shopt with what is not followed"
            self._findings.error(statement.line, message, "leave it out")

    def _shift(self, statement: Statement, given: list[Given]) -> None:
        word = given[1] if len(given) > 1 else Field("1", statement.line)
        if isinstance(word, Field) and is_digits(word.text):
            self._scope.arguments = self._scope.arguments[int(word.text) :]
        else:
            self._findings.error(statement.line, "shift", "write the arguments out")

    def _source(self, statement: Statement, given: list[Given]) -> None:
        texts = [word.text if isinstance(word, Field) else word.written for word in given[1:]]
        known = isinstance(given[1], Field) if len(given) > 1 else False
        before = self._activated.venv
        if activation.source(self._activated, texts, known, statement.line, self._findings):
            if self._activated.venv is not None and self._activated.venv is not before:
                self._activated.venv = posixpath.join(self._scope.folder, self._activated.venv)
        elif not self._include(statement, given):
            shown = " ".join(texts)
            hint = "write what it sets into the script; environment.setup can run it before the job"
            what = "it may set anything, and is not here" if known else "it may set anything"
            self._findings.error(statement.line, f"source {shown}: {what}", hint)

    def _eval(self, statement: Statement, given: list[Given]) -> None:
        if not activation.hook(self._activated, statement.text):
            hint = "write the command itself"
            self._findings.error(statement.line, "eval: what it runs is known only then", hint)

    def _conda(self, statement: Statement, given: list[Given]) -> None:
        texts = [word.text if isinstance(word, Field) else None for word in given[1:]]
        if texts[:1] == ["activate"]:
            gap = next((word for word in given if isinstance(word, Gap)), None)
            if gap is not None:
                self._findings.unknown(statement.line, "conda activate", gap.unknown)
            else:
                names = [text for text in texts[1:] if text and text[:1] != "-"]
                activation.conda(self._activated, names[0] if names else "base")
        elif texts[:1] == ["deactivate"]:
            activation.deactivate(self._activated)
        else:
            raise KeptError

    def _deactivate(self, statement: Statement, given: list[Given]) -> None:
        activation.deactivate(self._activated)

    def _module(self, statement: Statement, given: list[Given]) -> None:
        gap = next((word for word in given if isinstance(word, Gap)), None)
        if gap is not None:
            self._findings.unknown(statement.line, "module", gap.unknown)
            return
        texts = [word.text for word in given if isinstance(word, Field)]
        activation.module(self._activated, texts, statement.line, self._findings)

    def _exec(self, statement: Statement, given: list[Given]) -> None:
        if len(given) > 1 or any("<" in redirect.operator for redirect in statement.redirects):
            self._findings.error(
                statement.line, "exec: another program takes the script's place", None
            )
        else:
            note_logs(self._findings, statement.line)


def note_logs(findings: Findings, line: int) -> None:
    """Where the output is that a script sends to a file."""
    findings.note(line, "the log is in the run directory: logs/node0.log")
