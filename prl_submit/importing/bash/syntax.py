"""The syntax tree of a bash script, as `shfmt --to-json` prints it: one class for each kind of node.

The classes and fields are those of shfmt's parser (https://pkg.go.dev/mvdan.cc/sh/v3/syntax);
fields that `prl-submit import` does not use are left out. shfmt writes the class of a node as
`Type`, wherever a field may hold nodes of several classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

import msgspec
from msgspec import Struct


class Position(Struct, rename="pascal", frozen=True, gc=False):
    """A place in the script: `offset` counts bytes from 0, `line` counts from 1."""

    offset: int = 0
    line: int = 0


class Tree(Struct, rename="pascal"):
    """Anything that holds nodes."""


class Node(Tree, tag_field="Type", tag=True, kw_only=True):
    """A part of the script.

    `text` is the part as it is written, and `line` is where it begins. shfmt prints neither:
    `parse` adds both.
    """

    pos: Position = Position()
    end: Position = Position()
    text: str = msgspec.field(default="", name="text")
    line: int = msgspec.field(default=0, name="line")


# --- words ----------------------------------------------------------------------------------------


class Lit(Node):
    r"""Plain characters, with backslashes as they are written; lines joined by `\\` are one."""

    value: str = ""


class SglQuoted(Node):
    """`'value'`, or `$'value'` where `dollar` is true."""

    dollar: bool = False
    value: str = ""


class DblQuoted(Node):
    """`"parts"`, or `$"parts"` where `dollar` is true."""

    dollar: bool = False
    parts: list[Part] = []


class Slice(Tree):
    """`:offset:length` of `${A:1:2}`."""

    offset: ArithmeticNode
    length: ArithmeticNode | None = None


class Replace(Tree):
    """`/orig/with` of `${A/x/y}`; `//` where `all` is true."""

    orig: Word | None = None
    with_: Word | None = msgspec.field(default=None, name="With")
    all: bool = False


class Expansion(Tree):
    """An operator with a word: `:-word` of `${A:-word}`."""

    op: str
    word: Word | None = None


class ParamExp(Node):
    """`$A` (`short`), `${A}`, `${#A}` (`length`), `${!A}` (`excl`), and what may follow the name."""

    param: Lit | None = None
    short: bool = False
    excl: bool = False
    length: bool = False
    index: ArithmeticNode | None = None
    slice: Slice | None = None
    repl: Replace | None = None
    names: str = ""
    exp: Expansion | None = None


class CmdSubst(Node):
    """`$(stmts)`, or the same in backquotes."""

    stmts: list[Stmt] = []


class ArithmExp(Node):
    """`$((x))`, or `$[x]` where `bracket` is true."""

    x: ArithmeticNode | None = None
    bracket: bool = False


class ProcSubst(Node):
    """`<(stmts)` or `>(stmts)`."""

    stmts: list[Stmt] = []


class ExtGlob(Node):
    """`@(a|b)` and its like."""


Part = Union[Lit, SglQuoted, DblQuoted, ParamExp, CmdSubst, ArithmExp, ProcSubst, ExtGlob]


class Word(Node):
    """One word, as its parts."""

    parts: list[Part] = []

    @property
    def literal(self) -> str | None:
        """The word's text, where it is written without quotes, escapes and expansions."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Lit):
            value = self.parts[0].value
            return None if "\\" in value else value
        return None


# --- arithmetic -----------------------------------------------------------------------------------


class BinaryArithm(Node):
    """`x op y`; `a ? b : c` is `?` with a `:` as its `y`."""

    op: str
    x: ArithmeticNode
    y: ArithmeticNode


class UnaryArithm(Node):
    """`op x`, or `x op` of `x++`."""

    op: str
    x: ArithmeticNode


class ParenArithm(Node):
    """`(x)`."""

    x: ArithmeticNode


ArithmeticNode = Union[BinaryArithm, UnaryArithm, ParenArithm, Word]


# --- tests ----------------------------------------------------------------------------------------


class BinaryTest(Node):
    """`x op y` in `[[ … ]]`. shfmt gives `&&` and `||` one rank, and reads both from the right."""

    op: str
    x: TestNode
    y: TestNode


class UnaryTest(Node):
    """`op x` in `[[ … ]]`. The `x` of a `!` reaches as far as the next bracket."""

    op: str
    x: TestNode


class ParenTest(Node):
    """`(x)` in `[[ … ]]`."""

    x: TestNode


TestNode = Union[BinaryTest, UnaryTest, ParenTest, Word]


# --- commands -------------------------------------------------------------------------------------


class ArrayElem(Node):
    """One item of an array, `value` or `[index]=value`."""

    index: ArithmeticNode | None = None
    value: Word | None = None


class ArrayExpr(Node):
    """`(elems)` behind a `=`."""

    elems: list[ArrayElem] = []


class Assign(Node):
    """`name=value`, `name+=value`, `name[index]=value`, `name=(array)`.

    `naked`: a name, an option or a computed word of `export` and `declare`, without a `=`.
    """

    name: Lit | None = None
    value: Word | None = None
    array: ArrayExpr | None = None
    index: ArithmeticNode | None = None
    append: bool = False
    naked: bool = False


class Redirect(Node):
    """`n op word`; `hdoc` is the text of a here-document, and `word` is then its delimiter."""

    op: str
    n: Lit | None = None
    word: Word | None = None
    hdoc: Word | None = None


class CallExpr(Node):
    """A simple command."""

    assigns: list[Assign] = []
    args: list[Word] = []


class DeclClause(Node):
    """`export`, `declare`, `local`, `readonly`, `typeset` or `nameref`, which `variant` says."""

    variant: Lit
    args: list[Assign] = []


class LetClause(Node):
    """`let exprs`."""

    exprs: list[ArithmeticNode] = []


class ArithmCmd(Node):
    """`((x))`."""

    x: ArithmeticNode | None = None


class TestClause(Node):
    """`[[ x ]]`."""

    x: TestNode | None = None


class BinaryCmd(Node):
    """`x op y` with `&&`, `||`, `|` or `|&`."""

    op: str
    x: Stmt
    y: Stmt


class Block(Node):
    """`{ stmts; }`."""

    stmts: list[Stmt] = []


class Subshell(Node):
    """`( stmts )`."""

    stmts: list[Stmt] = []


class FuncDecl(Node):
    """`name() body`."""

    name: Lit | None = None
    body: Stmt | None = None


class IfClause(Node):
    """`if cond; then …`; `else_` is the next `elif`, or an `else`, which has no `cond`."""

    cond: list[Stmt] = []
    then: list[Stmt] = []
    else_: IfClause | None = msgspec.field(default=None, name="Else")


class WhileClause(Node):
    """`while cond; do …`, or `until`."""

    cond: list[Stmt] = []
    do: list[Stmt] = []


class WordIter(Node):
    """`name in items`; without `in`, the items are the script's own arguments."""

    name: Lit | None = None
    in_pos: Position | None = None
    items: list[Word] = []


class CStyleLoop(Node):
    """`((init; cond; post))`."""

    init: ArithmeticNode | None = None
    cond: ArithmeticNode | None = None
    post: ArithmeticNode | None = None


class ForClause(Node):
    """`for loop; do …`, or `select`."""

    loop: Union[WordIter, CStyleLoop]
    select: bool = False
    do: list[Stmt] = []


class CaseItem(Node):
    """`patterns) stmts op`, where `op` is `;;`, `;&` or `;;&`."""

    op: str = ";;"
    patterns: list[Word] = []
    stmts: list[Stmt] = []


class CaseClause(Node):
    """`case word in items esac`."""

    word: Word | None = None
    items: list[CaseItem] = []


class TimeClause(Node):
    """`time stmt`."""

    stmt: Stmt | None = None


class CoprocClause(Node):
    """`coproc stmt`."""

    stmt: Stmt | None = None


Cmd = Union[
    CallExpr,
    DeclClause,
    LetClause,
    ArithmCmd,
    TestClause,
    BinaryCmd,
    Block,
    Subshell,
    FuncDecl,
    IfClause,
    WhileClause,
    ForClause,
    CaseClause,
    TimeClause,
    CoprocClause,
]


class Stmt(Node):
    """A command with its redirections; `semicolon` is where its `;` or `&` stands."""

    cmd: Cmd | None = None
    semicolon: Position | None = None
    negated: bool = False
    background: bool = False
    redirs: list[Redirect] = []


class File(Node):
    """A whole script."""

    stmts: list[Stmt] = []


def children(node: Tree) -> Iterator[Tree]:
    """What a node consists of, in the order of its fields."""
    for name in node.__struct_fields__:
        value = getattr(node, name)
        if isinstance(value, Tree):
            yield value
        elif isinstance(value, list):
            yield from value


def walk(node: Tree) -> Iterator[Tree]:
    """A node and everything in it."""
    yield node
    for child in children(node):
        yield from walk(child)
