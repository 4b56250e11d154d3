"""What a bash script consists of: plain data, made by `bash.py`, followed by `follow.py`."""

from __future__ import annotations

from typing import Union

from msgspec import Struct


class Line(int):
    """A 1-based line of a file that the script reads in; lines of the script itself are plain numbers."""

    file: str

    def __new__(cls, number: int, file: str) -> Line:
        """The line `number` of `file`."""
        found = super().__new__(cls, number)
        found.file = file
        return found

    def __str__(self) -> str:
        return f"{int(self)} of {self.file}"

    def __format__(self, spec: str) -> str:
        return str(self)

    def plus(self, rows: int) -> Line:
        """A line further down."""
        return Line(int(self) + rows, self.file)


class Word(Struct, frozen=True):
    """A word as it is written, quotes and dollars included, with its 1-based line."""

    text: str
    line: int


class Assignment(Struct, frozen=True):
    """`NAME=WORD`, `NAME+=WORD` or `NAME=(WORD …)`; `value` is None where it cannot be followed."""

    name: str
    value: Union[Word, list[Word], None]
    append: bool
    line: int


class Redirect(Struct, frozen=True):
    """`2>&1`, `> log`, `<<EOF`: the operator, and where to (empty for a here-document)."""

    operator: str
    target: str
    line: int
    #: The text of a here-document in which nothing is expanded.
    body: Union[str, None] = None


class Command(Struct, frozen=True):
    """A simple command. `declaration`: export, declare, …, whose assignments and names it has."""

    assignments: list[Assignment]
    words: list[Word]
    declaration: str | None = None


class Branch(Struct, frozen=True, kw_only=True):
    """One way of an `if`, a `case` or a loop: what decides that it is gone, and what is done then.

    `conditions`: of `if` and `while`; none for `else`. `patterns`: of `case`; the words of `for`.
    `goes_on`: a way of a `case` that does not end in `;;`.
    """

    conditions: list[Statement] = []
    patterns: list[Word] = []
    body: list[Statement] = []
    goes_on: bool = False


class Statement(Struct, frozen=True, kw_only=True):
    """One statement with its text.

    `kind`: command, group (`{ …; }`), chain (`a && b || c`), pipeline, or the name of what bash
    would have to run to know what it does (if, for, function, …). `reads` and `writes` are the
    names of variables anywhere in it; a function `f` that is defined is written as `f()`.
    """

    kind: str
    text: str
    line: int
    reads: frozenset[str]
    writes: frozenset[str]
    #: What the body of a function sets, once it is called.
    body: frozenset[str] = frozenset()
    #: Of `writes`, what arithmetic sets (`((A++))`), and what `${A:=…}` may.
    computed: frozenset[str] = frozenset()
    defaults: frozenset[str] = frozenset()
    #: All simple commands in it, word by word, as they are written.
    calls: tuple[tuple[str, ...], ...] = ()
    command: Command | None = None
    parts: list[Statement] = []
    #: Of `if`, `case` and loops, where they can be followed; `subject` is the word of a `case`.
    branches: list[Branch] = []
    subject: Union[Word, None] = None
    #: Whether a training is started somewhere in it, as far as its words say.
    trains: bool = False
    #: Between the parts: `&&`, `||`, `|`, `|&`.
    operators: list[str] = []
    redirects: list[Redirect] = []
    background: bool = False
