"""The variables of a script while it is followed, and what cannot be known of them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Union

import msgspec
from msgspec import Struct

from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.bash.syntax import CmdSubst


class Unknown(Struct, frozen=True):
    """Why a value cannot be known without running the script, and what to do.

    `names`: the variables whose values would be enough to know it.
    """

    why: str
    hint: str | None = None
    names: tuple[str, ...] = ()


class UnknownError(Exception):
    """A word needs something that cannot be known."""

    def __init__(self, why: str, hint: str | None = None, names: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.unknown = Unknown(why, hint, names)


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
    def value(self) -> Field:
        """What stands behind the first `=`, as a word."""
        return Field(self.text.partition("=")[2], self.line, self.value_defaults)


class Gap(Struct, frozen=True):
    """A word whose value cannot be known, as it is written."""

    written: str
    line: int
    unknown: Unknown

    @property
    def value(self) -> Gap:
        """What stands behind the first `=`."""
        return Gap(self.written.partition("=")[2], self.line, self.unknown)


Given = Union[Field, Gap]


def known_item(given: Given) -> Field:
    """A word whose value must be known. Raises UnknownError where it is not."""
    if isinstance(given, Gap):
        raise UnknownError(given.unknown.why, given.unknown.hint, given.unknown.names)
    return given


class Variable(Struct, frozen=True, kw_only=True):
    """A variable's value: text, an array's items, or what is in the way of knowing it."""

    value: str | list[Given] | Unknown
    line: int
    exported: bool = False
    defaults: tuple[Default, ...] = ()
    #: It may have had items that are not known: `A=x` sets the first alone.
    is_perhaps_array: bool = False


class Place(Struct, frozen=True):
    """Where a script is imported: its path as given, where one types, and the home folder.

    `real` is the script's path without symbolic links, as `readlink -f` has it.
    """

    script: str
    cwd: str
    home: str
    real: str


#: Set in every environment; `${USER:-x}` is never x.
ALWAYS_SET = frozenset(["HOSTNAME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER"])
#: Of these, what every process inherits, so that a plain assignment reaches the training.
_INHERITED = frozenset(["HOME", "PATH"])
#: What bash itself makes up.
_MADE_UP = frozenset(
    [
        "BASHPID",
        "BASH_REMATCH",
        "PPID",
        "RANDOM",
        "SECONDS",
        "SRANDOM",
        "UID",
        "EUID",
        "GROUPS",
        "LINENO",
        "EPOCHSECONDS",
    ]
)


class Scope:
    """Everything words are expanded with. `substitute` gives the output of `$(…)`, or raises."""

    def __init__(self, place: Place, substitute: Callable[[CmdSubst], str]) -> None:
        self.place = place
        self.substitute = substitute
        self.variables: dict[str, Variable] = {}
        #: The script's own arguments: those of `set --`.
        self.arguments: list[Given] = []
        #: Relative to where one types, or absolute.
        self.folder = "."
        #: Lines where a value of the outside was written down: name -> line.
        self.outside: dict[str, int] = {}
        #: Functions of the script, each as it is defined.
        self.functions: dict[str, Statement] = {}
        #: Exported before they are set.
        self._to_export: set[str] = set()
        #: All that were exported at some time.
        self.once_exported: set[str] = set()
        #: `readonly`, with the line.
        self.fixed: dict[str, int] = {}
        #: What to put back when a subshell ends: None outside of one.
        self._before: list[tuple[str, Variable | None]] | None = None
        self.matches_files = True
        self.exports_all = False
        #: `set -e`.
        self.stops_at_errors = False
        #: Values that the user gives for what only the run knows, and which of them were needed.
        self.assumed: dict[str, str | list[Given]] = {}
        self.needed: set[str] = set()
        #: Of these, what the script reads without having set it: it comes from the environment.
        self.inherited: dict[str, Variable] = {}
        #: Variables that only ways set which are not gone, with the line; and those of them that are read.
        self.skipped: dict[str, int] = {}
        self.read_unset: dict[str, int] = {}
        #: Files that are being sourced, the innermost last.
        self.sources: list[str] = []
        #: What the local variables of functions hide, the innermost last.
        self.locals: list[dict[str, Variable | None]] = []
        #: In a condition, the script's own arguments are empty rather than unknown.
        self.is_condition = False

    def find(self, name: str, line: int) -> Variable | None:
        """A variable of the script, or of the environment where that can be known; None: unset.

        Raises UnknownError for one that only the run knows.
        """
        if name in self.variables:
            return self.variables[name]
        if name in self.assumed:
            return self._inherit(name, line)
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
        """An assumed value, which the environment would have given."""
        self.needed.add(name)
        variable = Variable(value=self.assumed[name], line=line, exported=True)
        self.inherited.setdefault(name, variable)
        return variable

    def working_directory(self) -> str:
        """The absolute working directory. Raises UnknownError where it is where one types."""
        if not posixpath.isabs(self.folder):
            hint = 'write the folder, or begin with cd "$(dirname "$0")"'
            raise UnknownError("the working directory is where one types", hint)
        return self.folder

    def set(self, name: str, variable: Variable) -> None:
        """Give a variable its value; once exported it stays so."""
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
        """`unset`, which also ends its export."""
        self.variables.pop(name, None)
        self._to_export.discard(name)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A subshell: what is set in it is gone behind it."""
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
        """`local NAME`: what it is outside comes back when the function ends."""
        if self.locals and name not in self.locals[-1]:
            self.locals[-1][name] = self.variables.get(name)

    def restore(self, name: str, variable: Variable | None) -> None:
        """The end of a local variable."""
        if variable is None:
            self.variables.pop(name, None)
        else:
            self.variables[name] = variable

    def begin_process(self, script: str, given: list[Given]) -> None:
        """Another script goes on with what is exported: its path, and its arguments behind that."""
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

    def is_unset(self, name: str) -> bool:
        """Whether a variable is not set because the script does not come to where it would be."""
        if name in self.skipped and name not in self.variables and name not in self.assumed:
            self.read_unset.setdefault(name, self.skipped[name])
            return True
        return False

    def separator(self) -> str:
        """Between the items of `"$*"`. Raises UnknownError where the script has set IFS."""
        if "IFS" in self.variables and self.variables["IFS"].value != " \t\n":
            why = "the script changes IFS, by which bash splits and joins words"
            raise UnknownError(why, "leave IFS alone")
        return " "

    def export(self, name: str) -> None:
        """`export NAME`, now or once it is set."""
        self._to_export.add(name)
        self.once_exported.add(name)
        if name in self.variables:
            self.set(name, self.variables[name])

    def enter(self, folder: str) -> None:
        """`cd`."""
        self.folder = posixpath.normpath(posixpath.join(self.folder, folder))
