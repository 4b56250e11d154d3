"""The variables of a script while it is followed, and why some values cannot be known."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Union

import msgspec
from msgspec import Struct

from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.bash.syntax import CmdSubst


class Unknown(Struct, frozen=True):
    """Why a value cannot be known without running the script, and what to do.

    `names`: the variables whose values would be enough to know it. `same_as`: the platform's variable
    whose value this is, unchanged. `words`: those that bash makes of the value where it is used without
    quotes, if only some of them cannot be known.
    """

    why: str
    hint: str | None = None
    names: tuple[str, ...] = ()
    same_as: str | None = None
    words: tuple[Given, ...] = ()


class UnknownError(Exception):
    """A word needs something that cannot be known."""

    def __init__(
        self,
        why: str,
        hint: str | None = None,
        names: tuple[str, ...] = (),
        same_as: str | None = None,
    ) -> None:
        super().__init__(why)
        self.unknown = Unknown(why, hint, names, same_as)

    def changed(self) -> UnknownError:
        """The error of a word that is more than the value of one variable."""
        return UnknownError(self.unknown.why, self.unknown.hint, self.unknown.names)


class Default(Struct, frozen=True):
    """A `${NAME:-default}` whose default was taken, and the line it stands on.

    `whole`: the value is this default and nothing else.
    """

    name: str
    line: int
    whole: bool = True


class Field(Struct, frozen=True):
    """A word as a program gets it, with the line it was written on.

    `value_defaults`: the defaults of what stands behind its first `=`.
    """

    text: str
    line: int
    defaults: tuple[Default, ...] = ()
    value_defaults: tuple[Default, ...] = ()

    @property
    def known(self) -> str:
        """The word's text."""
        return self.text

    @property
    def shown(self) -> str:
        """The word in a message."""
        return self.text

    @property
    def value(self) -> Field:
        """What stands behind the first `=`, as a word."""
        return Field(self.text.partition("=")[2], self.line, self.value_defaults)


class Gap(Struct, frozen=True):
    """A word whose value cannot be known, as it is written."""

    written: str
    line: int
    unknown: Unknown

    @property
    def known(self) -> None:
        """No text: nobody knows it."""
        return

    @property
    def shown(self) -> str:
        """The word in a message."""
        return self.written

    @property
    def value(self) -> Gap:
        """What stands behind the first `=`."""
        return Gap(self.written.partition("=")[2], self.line, self.unknown)


Given = Union[Field, Gap]


def known_texts(given: Iterable[Given]) -> list[str]:
    """The words that are known."""
    return [word.text for word in given if isinstance(word, Field)]


def first_gap(given: Iterable[Given]) -> Gap | None:
    """The first word that is not known."""
    return next((word for word in given if isinstance(word, Gap)), None)


def known_item(given: Given) -> Field:
    """A word whose value must be known. Raises UnknownError where it is not."""
    if isinstance(given, Gap):
        raise UnknownError(given.unknown.why, given.unknown.hint, given.unknown.names)
    return given


class Variable(Struct, frozen=True, kw_only=True):
    """A variable's value: text, the items of an array, or why it is not known."""

    value: str | list[Given] | Unknown
    line: int
    exported: bool = False
    defaults: tuple[Default, ...] = ()
    #: Whether it may have items that are not known, of which `A=x` sets the first only.
    is_perhaps_array: bool = False


class Place(Struct, frozen=True):
    """Where a script is imported: its path as given, the user's working directory, the home folder.

    `real` is the script's path without symbolic links, as `readlink -f` has it.
    """

    script: str
    cwd: str
    home: str
    real: str


#: Set in every environment, so that `${USER:-x}` is never x.
ALWAYS_SET = frozenset(["HOSTNAME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER"])
#: Always exported, so that a plain assignment reaches the training.
_INHERITED = frozenset(["HOME", "PATH"])
#: Variables whose values bash computes when it runs.
_MADE_UP = frozenset(
    "BASHPID BASH_REMATCH PPID RANDOM SECONDS SRANDOM UID EUID GROUPS LINENO EPOCHSECONDS".split()
)


class Scope:
    """The state of the shell that words are expanded with.

    `substitute` gives the output of `$(…)`, or raises UnknownError.
    """

    def __init__(self, place: Place, substitute: Callable[[CmdSubst], str]) -> None:
        self.place = place
        self.substitute = substitute
        self.variables: dict[str, Variable] = {}
        #: The script's own arguments: those of `set --`.
        self.arguments: list[Given] = []
        #: The working directory: absolute, or relative to the folder in which the user starts the script.
        self.folder = "."
        #: Variables of the environment whose values were taken, with the line.
        self.outside: dict[str, int] = {}
        #: Functions of the script, each as it is defined.
        self.functions: dict[str, Statement] = {}
        #: Variables that are exported before they are set.
        self._to_export: set[str] = set()
        #: Variables that were exported at some time.
        self.once_exported: set[str] = set()
        #: Variables that are readonly, with the line that says so.
        self.fixed: dict[str, int] = {}
        #: In a subshell, the variables to put back when it ends.
        self._before: list[tuple[str, Variable | None]] | None = None
        self.matches_files = True
        self.exports_all = False
        #: Whether `set -e` is on.
        self.stops_at_errors = False
        #: Values that the user assumes, and the names of those that were needed.
        self.assumed: dict[str, str | list[Given]] = {}
        self.needed: set[str] = set()
        #: Variables that the platform sets on each node: their defaults in the script do not count.
        self.from_platform: frozenset[str] = frozenset()
        #: Assumed variables that the script reads and does not set: the environment gives them.
        self.inherited: dict[str, Variable] = {}
        #: Variables that are set only in ways which bash does not take, with the line; and which are read.
        self.skipped: dict[str, int] = {}
        self.read_unset: dict[str, int] = {}
        #: Files that are being sourced, the innermost last.
        self.sources: list[str] = []
        #: For each function that is running, the variables that its local ones hide.
        self.locals: list[dict[str, Variable | None]] = []
        #: In a condition, the script's own arguments are empty rather than unknown.
        self.is_condition = False

    def find(self, name: str, line: int) -> Variable | None:  # noqa: C901  # one case for each variable that bash itself sets
        """A variable of the script or of the environment; None where it is not set.

        Raises UnknownError for a variable that only the run knows.
        """
        if name in self.variables:
            return self.variables[name]
        if name in self.assumed:
            return self._inherit(name, line)
        if name in self.from_platform:
            why = f"${name} is set by the platform"
            return Variable(value=Unknown(why, None, (name,), same_as=name), line=line)
        if name == "HOME":
            self.outside.setdefault("HOME", line)
            return Variable(value=self.place.home, line=line)
        if name == "OPTIND":
            return Variable(value="1", line=line)
        if name == "PWD":
            return Variable(value=self.working_directory(), line=line)
        if name == "OLDPWD" or name in _MADE_UP or name in ALWAYS_SET:
            raise UnknownError(
                f"${name} is known only when the script runs", "write the value", (name,)
            )
        if name.startswith("SLURM_"):
            raise UnknownError(f"${name} is set by Slurm", "write the value", (name,))
        if name == "BASH_SOURCE" and self.sources:
            return Variable(value=self.sources[-1], line=line)
        if name in ("BASH_SOURCE", "0"):
            return Variable(value=self.place.script, line=line)
        return None

    def _inherit(self, name: str, line: int) -> Variable:
        """A value that the user assumes; in a run, the environment would give it."""
        self.needed.add(name)
        variable = Variable(value=self.assumed[name], line=line, exported=True)
        self.inherited.setdefault(name, variable)
        return variable

    def working_directory(self) -> str:
        """The absolute working directory.

        Raises UnknownError where it is the folder in which the user starts the script.
        """
        if not posixpath.isabs(self.folder):
            hint = 'write the folder, or begin with cd "$(dirname "$0")"'
            raise UnknownError("the working directory is where one types", hint)
        return self.folder

    def set(self, name: str, variable: Variable) -> None:
        """Give a variable its value. An exported variable stays exported."""
        before = self.variables.get(name)
        if isinstance(variable.value, Unknown) and name in self.assumed:
            self.needed.add(name)
            variable = Variable(
                value=self.assumed[name], line=variable.line, exported=variable.exported
            )
        exported = variable.exported or self.exports_all or name in self._to_export
        exported = exported or (before is None and name in self.inherited)
        exported = exported or (before is not None and before.exported) or name in _INHERITED
        if self._before is not None:
            self._before.append((name, before))
        elif exported:
            self.once_exported.add(name)
        self.variables[name] = msgspec.structs.replace(variable, exported=exported)

    def drop(self, name: str) -> None:
        """Unset a variable, which also ends its export."""
        self.variables.pop(name, None)
        self._to_export.discard(name)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A subshell: the variables are put back when it ends."""
        outer, self._before = self._before, []
        try:
            yield
        finally:
            for name, variable in reversed(self._before):
                if variable is None:
                    self.variables.pop(name, None)
                else:
                    self.variables[name] = variable
            self._before = outer

    def hide(self, name: str) -> None:
        """`local NAME`: remember the variable of the caller, which comes back when the function ends."""
        if self.locals and name not in self.locals[-1]:
            self.locals[-1][name] = self.variables.get(name)

    def restore(self, name: str, variable: Variable | None) -> None:
        """Put back the variable that a local one has hidden."""
        if variable is None:
            self.variables.pop(name, None)
        else:
            self.variables[name] = variable

    def begin_process(self, script: str, given: list[Given]) -> None:
        """Begin another script, which gets what is exported and the words of `given` as arguments."""
        self.variables = {
            name: variable
            for name, variable in self.variables.items()
            if variable.exported and not isinstance(variable.value, list)
        }
        self.arguments = given
        self.functions.clear()
        self.fixed.clear()
        self.locals, self.sources = [], []
        self.place = msgspec.structs.replace(self.place, script=script, real="")
        self.exports_all = self.stops_at_errors = False
        self.matches_files = True

    def is_platforms(self, name: str) -> bool:
        """True if a variable has the value of one that the platform sets."""
        if name not in self.variables:
            return name in self.from_platform
        value = self.variables[name].value
        return isinstance(value, Unknown) and value.same_as is not None

    def is_unset(self, name: str) -> bool:
        """True if a variable is unset because bash does not take the way that would set it."""
        if name in self.skipped and name not in self.variables and name not in self.assumed:
            self.read_unset.setdefault(name, self.skipped[name])
            return True
        return False

    def separator(self) -> str:
        """What bash puts between the items of `"$*"`. Raises UnknownError where the script sets IFS."""
        if "IFS" in self.variables and self.variables["IFS"].value != " \t\n":
            why = "the script changes IFS, by which bash splits and joins words"
            raise UnknownError(why, "leave IFS alone")
        return " "

    def export(self, name: str) -> None:
        """`export NAME`: export the variable now, or when it is set."""
        self._to_export.add(name)
        self.once_exported.add(name)
        if name in self.variables:
            self.set(name, self.variables[name])

    def enter(self, folder: str) -> None:
        """Change the folder."""
        self.folder = posixpath.normpath(posixpath.join(self.folder, folder))
