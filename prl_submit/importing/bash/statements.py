"""The statements of a script, in the form in which the interpreter follows them."""

from __future__ import annotations

from typing import Union

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.importing.bash import syntax
from prl_submit.importing.bash.effects import Effects, effects_of
from prl_submit.importing.bash.parse import Number, parse
from prl_submit.importing.bash.syntax import Word

MAX_STATEMENTS = 20_000


class Line(int):
    """A line of another file that the script reads in; a line of the script itself is an int."""

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


class Assignment(Struct, frozen=True):
    """`NAME=WORD`, `NAME+=WORD` or `NAME=(WORD …)`; `value` is None where an element is set."""

    name: str
    value: Union[Word, list[Word], None]
    append: bool
    line: int


class Redirection(Struct, frozen=True):
    """`2>&1`, `> log`: the operator, and where to, which is empty for a here-document."""

    operator: str
    target: str
    line: int
    word: Word | None = None
    #: The text of a here-document in which nothing is expanded.
    body: Union[str, None] = None


class Command(Struct, frozen=True):
    """A simple command. `declaration` is export, declare, unset, …, which has its names."""

    assignments: list[Assignment]
    words: list[Word]
    declaration: str | None = None


class Branch(Struct, frozen=True, kw_only=True):
    """One branch of an `if`, a `case` or a loop: its condition, and its body.

    `conditions`: of `if` and `while`; none for `else`. `patterns`: of `case`; the words of `for`.
    `goes_on`: whether a branch of a `case` ends in `;&` or `;;&`, and so goes on in the next.
    """

    conditions: list[Statement] = []
    patterns: list[Word] = []
    body: list[Statement] = []
    goes_on: bool = False


class Statement(Effects, frozen=True, kw_only=True):
    """One statement, with what it may do to the variables around it.

    `kind`: command, group (`{ …; }`), chain (`a && b || c`), pipeline, or what the statement is
    called in messages: `if`, a function, a test, …
    """

    kind: str
    text: str
    line: int
    command: Command | None = None
    parts: list[Statement] = msgspec.field(default_factory=list)
    #: Between the parts: `&&`, `||`, `|`, `|&`.
    operators: list[str] = msgspec.field(default_factory=list)
    #: Of `if`, `case` and loops; `subject` is the word of a `case`.
    branches: list[Branch] = msgspec.field(default_factory=list)
    subject: Union[Word, None] = None
    #: Of `[[ … ]]` and `((…))`.
    expression: Union[syntax.Node, None] = None
    #: Of `[ … ]`.
    operands: list[Word] = msgspec.field(default_factory=list)
    redirects: list[Redirection] = msgspec.field(default_factory=list)
    background: bool = False


def read_script(
    data: bytes, file: str, number: Number = int
) -> tuple[list[Statement], list[Problem]]:
    """The statements of a script, and what is wrong with it as bash.

    `file` is the name of the script in messages. `number` makes the line for messages from the line
    of the text.
    """
    stmts, problems = parse(data, file, number)
    reader = _Reader(file)
    statements = reader.block(stmts)
    return statements, [*problems, *reader.problems]


def make_statements(stmts: list[syntax.Stmt]) -> list[Statement]:
    """The statements of `$(…)`."""
    return _Reader("").block(stmts)


class _Reader:
    """Turns the nodes of a script into statements, and collects what is refused."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file

    def _refuse(self, node: syntax.Node, message: str, hint: str | None = None) -> None:
        problem = Problem(file=self._file, line=node.line, key=None, message=message, hint=hint)
        self.problems.append(problem)

    def block(self, stmts: list[syntax.Stmt]) -> list[Statement]:
        """The statements in their order."""
        if len(stmts) > MAX_STATEMENTS:
            message = f"holds {len(stmts):,} statements; more than {MAX_STATEMENTS:,} are not read"
            self._refuse(stmts[0], message)
            return []
        return [self._statement(stmt) for stmt in stmts]

    def _statement(self, stmt: syntax.Stmt) -> Statement:
        redirects = [self._redirect(redirect) for redirect in stmt.redirs]
        if stmt.negated:
            inner = msgspec.structs.replace(stmt, negated=False, text=stmt.text[1:].lstrip())
            return self._make(stmt, "`!`", parts=[self._statement(inner)])
        made = self._of_command(stmt)
        return msgspec.structs.replace(made, redirects=redirects, background=stmt.background)

    def _make(self, node: syntax.Stmt, kind: str, **more: object) -> Statement:
        return Statement(
            kind=kind,
            text=node.text,
            line=node.line,
            **msgspec.structs.asdict(effects_of(node)),
            **more,  # type: ignore[arg-type]
        )

    def _of_command(self, stmt: syntax.Stmt) -> Statement:  # noqa: C901  # one case for each class of node
        """A statement without its redirections."""
        cmd = stmt.cmd
        if isinstance(cmd, syntax.BinaryCmd):
            return self._row(stmt, cmd)
        if isinstance(cmd, syntax.Block):
            return self._make(stmt, "group", parts=self.block(cmd.stmts))
        if isinstance(cmd, syntax.Subshell):
            return self._make(stmt, "a subshell", parts=self.block(cmd.stmts))
        if isinstance(cmd, syntax.FuncDecl):
            body = cmd.body.cmd if cmd.body is not None else None
            parts = self.block(body.stmts) if isinstance(body, syntax.Block) else []
            return self._make(stmt, "a function", parts=parts)
        if isinstance(cmd, syntax.TestClause):
            return self._make(stmt, "a test", expression=cmd.x)
        if isinstance(cmd, syntax.ArithmCmd):
            return self._make(stmt, "`((`", expression=cmd.x)
        if isinstance(cmd, syntax.CallExpr) and _is_test(cmd):
            return self._make(stmt, "a test", operands=cmd.args[1:-1])
        command = self._command(cmd)
        if command is not None:
            return self._make(stmt, "command", command=command)
        return self._of_construct(stmt)

    def _of_construct(self, stmt: syntax.Stmt) -> Statement:
        cmd = stmt.cmd
        if isinstance(cmd, syntax.IfClause):
            return self._make(stmt, "`if`", branches=self._ways_of_if(cmd))
        if isinstance(cmd, syntax.CaseClause):
            ways = [self._way_of_case(item) for item in cmd.items]
            return self._make(stmt, "`case`", branches=ways, subject=cmd.word)
        if isinstance(cmd, syntax.WhileClause):
            way = Branch(conditions=self.block(cmd.cond), body=self.block(cmd.do))
            return self._make(stmt, "a loop", branches=[way])
        if isinstance(cmd, syntax.ForClause):
            return self._make(stmt, "`for`", branches=self._way_of_for(cmd))
        if cmd is None:
            return self._make(stmt, "a redirection")
        return self._make(stmt, "a coprocess" if isinstance(cmd, syntax.CoprocClause) else "`time`")

    def _row(self, stmt: syntax.Stmt, cmd: syntax.BinaryCmd) -> Statement:
        """`a && b || c` as one row of three parts; in the tree it is pairs in pairs. Pipes likewise."""
        is_pipe = cmd.op.startswith("|") and cmd.op != "||"
        kind = "pipeline" if is_pipe else "chain"
        first = self._statement(cmd.x)
        is_row = first.kind == kind and not first.redirects
        parts = [*(first.parts if is_row else [first]), self._statement(cmd.y)]
        operators = [*(first.operators if is_row else []), cmd.op]
        return self._make(stmt, kind, parts=parts, operators=operators)

    # --- ways ---------------------------------------------------------------------------------

    def _ways_of_if(self, cmd: syntax.IfClause) -> list[Branch]:
        ways: list[Branch] = []
        clause: syntax.IfClause | None = cmd
        while clause is not None:
            ways.append(Branch(conditions=self.block(clause.cond), body=self.block(clause.then)))
            clause = clause.else_
        return ways

    def _way_of_case(self, item: syntax.CaseItem) -> Branch:
        body = self.block(item.stmts)
        return Branch(patterns=item.patterns, body=body, goes_on=item.op != ";;")

    def _way_of_for(self, cmd: syntax.ForClause) -> list[Branch]:
        """The words behind `in`; without it, those of the script itself."""
        if cmd.select or not isinstance(cmd.loop, syntax.WordIter):
            return []
        words = cmd.loop.items
        if cmd.loop.in_pos is None or cmd.loop.in_pos.line == 0:
            words = [_all_arguments(cmd.line)]
        return [Branch(patterns=words, body=self.block(cmd.do))]

    # --- simple commands ----------------------------------------------------------------------

    def _command(self, cmd: syntax.Cmd | None) -> Command | None:
        if isinstance(cmd, syntax.DeclClause):
            assignments = [_assignment(arg) for arg in cmd.args if not arg.naked]
            words = [_naked(arg) for arg in cmd.args if arg.naked]
            return Command(assignments, words, cmd.variant.value)
        if isinstance(cmd, syntax.LetClause):
            return Command([], [plain_word("let", cmd.line), *map(_as_word, cmd.exprs)])
        if isinstance(cmd, syntax.CallExpr):
            assignments = [_assignment(assign) for assign in cmd.assigns]
            if not assignments and cmd.args[0].literal == "unset":
                return Command([], cmd.args[1:], "unset")
            return Command(assignments, cmd.args)
        if isinstance(cmd, syntax.TimeClause) and cmd.stmt is not None:
            timed = cmd.stmt.cmd
            if isinstance(timed, syntax.CallExpr):
                words = [*map(_as_word, timed.assigns), *timed.args]
                return Command([], [plain_word("time", cmd.line), *words])
        return None

    def _redirect(self, node: syntax.Redirect) -> Redirection:
        descriptor = "" if node.n is None else node.n.value
        if descriptor[:1] == "{":
            self._refuse(node, "{NAME}> opens a file for the shell", "leave it out")
        is_document = node.op in ("<<", "<<-")
        word = None if is_document else node.word
        return Redirection(
            operator=descriptor + node.op,
            target="" if word is None else word.text,
            line=node.line,
            word=word,
            body=_plain_body(node) if node.op == "<<" else None,
        )


def _is_test(cmd: syntax.CallExpr) -> bool:
    """True if a command is `[ … ]`."""
    words = [word.literal for word in cmd.args]
    return not cmd.assigns and words[:1] == ["["] and words[1:][-1:] == ["]"]


def _plain_body(node: syntax.Redirect) -> str | None:
    """The text of a here-document, where bash takes it as it is."""
    parts = [] if node.hdoc is None else node.hdoc.parts
    if not all(isinstance(part, syntax.Lit) for part in parts):
        return None
    text = "".join(part.value for part in parts if isinstance(part, syntax.Lit))
    is_quoted = node.word is not None and node.word.literal is None
    return text if is_quoted or not set(text) & set("$`\\") else None


def _assignment(node: syntax.Assign) -> Assignment:
    name = "" if node.name is None else node.name.value
    value: Word | list[Word] | None = node.value or Word(line=node.line)
    if node.array is not None:
        items = [elem.value for elem in node.array.elems if elem.value and elem.index is None]
        value = items if len(items) == len(node.array.elems) else None
    if node.index is not None:
        value = None
    return Assignment(name, value, node.append, node.line)


def _naked(node: syntax.Assign) -> Word:
    return node.value or _as_word(node)


def _as_word(node: syntax.Node) -> Word:
    return plain_word(node.text, node.line)


def plain_word(text: str, line: int) -> Word:
    """A word of plain characters."""
    return Word(parts=[syntax.Lit(value=text)], text=text, line=line)


def _all_arguments(line: int) -> Word:
    """`"$@"`."""
    arguments = syntax.ParamExp(param=syntax.Lit(value="@"), short=True, text="$@", line=line)
    return Word(parts=[syntax.DblQuoted(parts=[arguments])], text='"$@"', line=line)
