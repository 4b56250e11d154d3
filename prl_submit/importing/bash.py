"""Bytes -> statements, by tree-sitter's grammar of bash.

The grammar says where statements, words and redirections are. What stands between two words is
looked at too: where the grammar passes over something (an escaped space, a line joined to the next
inside a word), the bytes say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import msgspec

from prl_submit.errors import Problem
from prl_submit.importing.branches import BRANCHING, branches_of, subject_of
from prl_submit.importing.effects import default_names, effects_of, read_names
from prl_submit.importing.grammar import PLACEHOLDER, parse, without_last_backslash
from prl_submit.importing.lexical import bare_source
from prl_submit.importing.source import decode
from prl_submit.importing.statement import Assignment, Command, Redirect, Statement, Word

if TYPE_CHECKING:
    from tree_sitter import Node

MAX_DEPTH = 80
MAX_STATEMENTS = 20_000
#: Constructs in constructs that are read; what lies deeper stays closed.
MAX_FOLLOWED_DEPTH = 12
T = TypeVar("T")
ARITHMETIC = "`((`"

#: Constructs whose effect only bash knows, as they are called in messages.
OPAQUE = {
    "if_statement": "`if`",
    "for_statement": "`for`",
    "c_style_for_statement": "`for`",
    "while_statement": "a loop",
    "case_statement": "`case`",
    "function_definition": "a function",
    "subshell": "a subshell",
    "test_command": "a test",
    "negated_command": "`!`",
    "arithmetic_expansion": "arithmetic",
}
_DECLARATIONS = ("declaration_command", "unset_command")
_CONTINUED = re.compile(r"(?:\\\n)+")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TEXTS = frozenset(
    ["string", "raw_string", "ansi_c_string", "comment", "heredoc_body", "test_command"]
)
_DESCRIPTOR = re.compile(r"(^|\s)\{[A-Za-z_]\w*\}$", re.ASCII)


def read_script(
    data: bytes, file: str, number: Callable[[int], int] = int
) -> tuple[list[Statement], list[Problem]]:
    """The statements of a script and what is wrong with it as bash.

    `file` is its name in messages, `number` makes the lines of its statements from their numbers.
    """
    text, problem = decode(data, file)
    if problem is not None:
        return [], [problem]
    text = f"{without_last_backslash(text)}\n"
    reader = _Reader(text.encode(), file, number)
    root = parse(text)
    if (line := _too_deep(root)) is not None:
        message = f"is nested deeper than {MAX_DEPTH} levels"
        return [], [Problem(file=file, line=number(line), key=None, message=message)]
    statements = reader.block(root)
    return statements, reader.refused_placeholders(root) or reader.problems


def _too_deep(root: Node) -> int | None:
    """The line on which the tree goes deeper than anybody writes, or None."""
    cursor, depth = root.walk(), 0
    while True:
        if depth > MAX_DEPTH and cursor.node is not None:
            return _line(cursor.node)
        if cursor.goto_first_child():
            depth += 1
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return None
            depth -= 1


class _Reader:
    """Turns the nodes of one script into statements, and gathers what bash would stumble over."""

    def __init__(self, source: bytes, file: str, number: Callable[[int], int]) -> None:
        self.source = source
        self._number = number
        self.problems: list[Problem] = []
        self._file = file
        self._depth = 0

    # --- statements ---------------------------------------------------------------------------

    def block(self, parent: Node) -> list[Statement]:
        """The statements in a node, in order."""
        if self._is_too_long(parent):
            return []
        return self.row(parent.children, parent.start_byte, parent.end_byte)

    def row(self, nodes: list[Node], start: int, stop: int) -> list[Statement]:
        """The statements of nodes that stand in a row, between two places of the source."""
        found: list[Statement] = []
        end, separated = start, True
        for child in nodes:
            # What is neither a statement nor between two was not understood.
            between = self._leftover(end, child.start_byte)
            separated |= bool(set(between) & set("\n;"))
            end = child.end_byte
            if not child.is_named:
                separated = True
                if child.type == "&" and found:
                    found[-1] = msgspec.structs.replace(found[-1], background=True)
            elif child.type == "comment":
                if not between and not separated:  # the # is in a word
                    self._refuse(child, "a comment in a command", "put it above the command")
            else:
                if not separated:
                    self._refuse(child, "two statements meet", "put them on lines of their own")
                separated = False
                found.append(self.statement(child))
        self._leftover(end, stop)
        return found

    def statement(self, node: Node) -> Statement:
        """One statement."""
        if node.type == "ERROR" or node.is_missing:
            self._syntax(node)
            return self._make(node, "an error")
        if node.has_error and not _is_around_errors(node):
            self._syntax(next(_errors(node), node))
            return self._make(node, "an error")
        if node.type == "redirected_statement":
            return self._redirected(node)
        if node.type == "list":
            return self._chain(node)
        if node.type == "pipeline":
            return self._pipeline(node)
        if node.type == "compound_statement" and node.children[0].type == "{":
            return self._make(node, "group", parts=self._body(node))
        if node.type in ("command", "variable_assignment", "variable_assignments", *_DECLARATIONS):
            redirects: list[Redirect] = []
            command = self._command(node, redirects)
            return self._make(node, "command", command=command, redirects=redirects)
        if node.type == "compound_statement":
            return self._make(node, ARITHMETIC)
        if node.type in ("negated_command", "function_definition", "subshell"):
            return self._make(node, OPAQUE[node.type], parts=self._tried(node, self._inner))
        if node.type in BRANCHING:
            subject = subject_of(node)
            return self._make(
                node,
                OPAQUE[node.type],
                branches=self._tried(node, lambda of: branches_of(of, self)),
                subject=None if subject is None else self.word(subject),
            )
        return self._make(node, OPAQUE.get(node.type, node.type.replace("_", " ")))

    def _tried(self, node: Node, read: Callable[[Node], list[T]]) -> list[T]:
        """What is read of a construct, where all of it can be; else it stays closed."""
        known = len(self.problems)
        self._depth += 1
        found = read(node) if self._depth <= MAX_FOLLOWED_DEPTH else []
        self._depth -= 1
        if len(self.problems) > known:
            del self.problems[known:]
            return []
        return found

    def _inner(self, node: Node) -> list[Statement]:
        """The command behind `!`, or the body of a function or of a subshell."""
        if node.type == "function_definition":
            body = node.child_by_field_name("body")
            is_group = body is not None and body.type == "compound_statement"
            return self._body(body) if body is not None and is_group else []
        return self._body(node)

    def word(self, node: Node) -> Word:
        """A node as the word that it is."""
        return Word(self._text(node), self._line(node))

    def _make(self, node: Node, kind: str, **more: object) -> Statement:
        text = self._text(node)
        effects, defaults = effects_of(node, self._text), default_names(text)
        writes, body = effects.writes | defaults, frozenset[str]()
        if kind == OPAQUE["function_definition"]:  # it does nothing until it is called
            body, writes = writes, frozenset(name for name in writes if name.endswith("()"))
        return Statement(
            kind=kind,
            text=text,
            line=self._line(node),
            reads=read_names(text),
            writes=writes,
            body=body - writes,
            computed=effects.computed,
            defaults=defaults,
            calls=effects.calls,
            trains=effects.trains,
            **more,  # type: ignore[arg-type]
        )

    def _body(self, node: Node) -> list[Statement]:
        if self._is_too_long(node):
            return []
        first, last = node.children[0], node.children[-1]
        if first.is_named or last.is_named:
            inner = [child for child in node.children if child.is_named and child.type != "comment"]
            return [self.statement(child) for child in inner]
        return self.row(node.children[1:-1], first.end_byte, last.start_byte)

    def _is_too_long(self, parent: Node) -> bool:
        count = parent.named_child_count
        if count > MAX_STATEMENTS:
            message = f"holds {count:,} statements; more than {MAX_STATEMENTS:,} are not read"
            self._problem(self._line(parent), message, None)
        return count > MAX_STATEMENTS

    def _chain(self, node: Node) -> Statement:
        """`a && b || c` is a tree of pairs; here it is one row."""
        left, operator, right = node.children[0], node.children[1], node.children[-1]
        first = self.statement(left)
        flat = first if first.kind == "chain" else None
        parts = [*(flat.parts if flat else [first]), self.statement(right)]
        operators = [*(flat.operators if flat else []), operator.type]
        return self._make(node, "chain", parts=parts, operators=operators)

    def _pipeline(self, node: Node) -> Statement:
        operators = [child.type for child in node.children if not child.is_named]
        return self._make(node, "pipeline", parts=self._body(node), operators=operators)

    def _redirected(self, node: Node) -> Statement:
        redirects: list[Redirect] = []
        late: list[Word] = []
        inner: Statement | None = None
        for child in node.children:
            if child.type.endswith("_redirect"):
                late += self._redirect(child, redirects)
            elif child.is_named:
                inner = self.statement(child)
        if inner is None:  # `> file` alone
            return self._make(node, "a redirection", redirects=redirects)
        command = inner.command
        if late and command is not None:  # words after a redirection are the command's own
            command = Command(command.assignments, [*command.words, *late], command.declaration)
        return self._make(
            node,
            inner.kind,
            command=command,
            parts=inner.parts,
            operators=inner.operators,
            branches=inner.branches,
            subject=inner.subject,
            redirects=[*inner.redirects, *redirects],
        )

    def _redirect(self, node: Node, found: list[Redirect]) -> list[Word]:
        """Note the redirection; return the words that the grammar counts to its target."""
        operator, target, late = "", "", []
        if _DESCRIPTOR.search(self.source[: node.start_byte][-80:].decode("utf-8", "replace")):
            self._refuse(node, "{NAME}> opens a file for the shell", "leave it out")
        end = -1
        for child in node.children:
            if child.type == "file_descriptor":
                operator = self._text(child)
            elif not child.is_named:
                operator += child.type
            elif node.type == "herestring_redirect":
                target += self._text(child)
            elif node.type == "file_redirect" and (not target or child.start_byte == end):
                target, end = target + self._text(child), child.end_byte
            elif node.type == "file_redirect":
                late.append(Word(self._text(child), self._line(child)))
        if (
            node.type == "file_redirect"
            and not target.startswith(">(")
            and (re.search(r"\s", bare_source(target)) or b"\n" in self._blanks(node))
        ):
            self._refuse(node, "a redirection that cannot be read for certain", "use quotes")
        found.append(Redirect(operator, target, self._line(node), self._plain_document(node)))
        return late

    def _plain_document(self, node: Node) -> str | None:
        """The text of a here-document, where bash takes it as it is."""
        texts = {child.type: self._text(child) for child in node.children}
        start, body = texts.get("heredoc_start", ""), texts.get("heredoc_body", "")
        others = set(texts) - {"<<", "heredoc_start", "heredoc_body", "heredoc_end"}
        if (
            node.type != "heredoc_redirect"
            or others
            or (start[:1] != "'" and set(body) & set("$`\\"))
        ):
            return None
        return body

    def _blanks(self, node: Node) -> bytes:
        """What stands between the children of a node."""
        ends = [child.end_byte for child in node.children]
        starts = [child.start_byte for child in node.children[1:]]
        between = b"".join(self.source[a:b] for a, b in zip(ends, starts, strict=False))
        return between.replace(b"\\\n", b"")

    # --- commands and words -------------------------------------------------------------------

    def _command(self, node: Node, redirects: list[Redirect]) -> Command:
        """The words of a command; `redirects` gets those that stand before it."""
        declaration = self._text(node.children[0]) if node.type in _DECLARATIONS else None
        children = [node] if node.type == "variable_assignment" else list(node.children)
        assignments: list[Assignment] = []
        words: list[Word] = []
        end = children[0].start_byte
        for child in children:
            between = self._leftover(end, child.start_byte)
            glued = child is not children[0] and not between
            if "\n" in between:
                self._refuse(child, "a line end in a command", r"end the line above with `\`")
            end = child.end_byte
            if child.type == "variable_assignment":
                assignments.append(self._assignment(child))
            elif child.type.endswith("_redirect"):
                words += self._redirect(child, redirects)
            elif child.type == "comment":
                if glued or child is not children[-1]:
                    self._refuse(child, "a comment in a command", "put it above the command")
            elif glued and words:
                words[-1] = Word(words[-1].text + self._text(child), words[-1].line)
            else:
                if glued:
                    self._refuse(child, "two words meet at the end of a line", "put them on one")
                words.append(Word(self._text(child), self._line(child)))
        return Command(assignments, words if declaration is None else words[1:], declaration)

    def _assignment(self, node: Node) -> Assignment:
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        append = any(child.type == "+=" for child in node.children)
        if name is None or name.type != "variable_name":
            return Assignment(_first_name(self._text(node)), None, append, self._line(node))
        found: Word | list[Word] = Word(
            "" if value is None else self._text(value), self._line(node)
        )
        if value is not None and value.type == "array":
            found = self._array(value)
        return Assignment(self._text(name), found, append, self._line(node))

    def _array(self, node: Node) -> list[Word]:
        words: list[Word] = []
        end = node.start_byte
        for child in node.children:
            glued = not self._leftover(end, child.start_byte) and bool(words)
            end = child.end_byte
            if child.type in ("(", ")", "comment"):
                continue
            if glued:
                words[-1] = Word(words[-1].text + self._text(child), words[-1].line)
            else:
                words.append(Word(self._text(child), self._line(child)))
        return words

    # --- what the grammar left out ------------------------------------------------------------

    def _leftover(self, start: int, end: int) -> str:
        """The text between two nodes without continued line ends; anything but blanks is reported."""
        text = self.source[start:end].decode("utf-8")
        between = _CONTINUED.sub("", text)
        if between.strip(" \t\n;"):
            line = self._number(self.source[:start].count(b"\n") + 1)
            if re.search(r"\\[ \t]+(\n|$)", between):
                message = "a space behind the `\\` at the end of the line: the command ends here"
                self._problem(line, message, "remove the space behind the backslash")
            else:
                self._problem(line, f"cannot be read: {between.strip()[:60]!r}", None)
        return between

    def _syntax(self, node: Node) -> None:
        text = self._text(node)
        lines = self.source.decode("utf-8").splitlines()
        line, row = self._line(node), _line(node)
        here = lines[row - 1] if row <= len(lines) else ""
        if node.is_missing and node.type == "heredoc_end" and node.parent is not None:
            hint = "a line with its delimiter alone ends it; for the grammar one of ASCII letters"
            self._problem(self._line(node.parent), "the here-document has no end", hint)
        elif node.is_missing:
            self._problem(line, f"bash cannot read this: {node.type!r} is missing", None)
        else:
            shown = text.strip().splitlines()[0][:60] if text.strip() else here.strip()[:60]
            self._problem(line, f"bash cannot read this: {shown!r}", "`bash -n` says more")

    def refused_placeholders(self, root: Node) -> list[Problem]:
        """`<your_path>` outside quotes, and nothing else: it explains all other problems."""
        found: dict[int, Problem] = {}
        for match in PLACEHOLDER.finditer(self.source.decode("utf-8")):
            start = len(match.string[: match.start()].encode("utf-8"))
            end = start + len(match[0].encode("utf-8"))
            node = root.descendant_for_byte_range(start, end)
            if node is not None and not _is_text(node):
                line = self._number(match.string[: match.start()].count("\n") + 1)
                message = f"{match[0]} is a redirection for bash"
                hint = f"write the value in place of {match[0]}"
                problem = Problem(file=self._file, line=line, key=None, message=message, hint=hint)
                found.setdefault(line, problem)
        return list(found.values())

    def _refuse(self, node: Node, message: str, hint: str) -> None:
        self._problem(self._line(node), message, hint)

    def _problem(self, line: int, message: str, hint: str | None) -> None:
        self.problems.append(
            Problem(file=self._file, line=line, key=None, message=message, hint=hint)
        )

    def _line(self, node: Node) -> int:
        return self._number(_line(node))

    def _text(self, node: Node) -> str:
        return self.source[node.start_byte : node.end_byte].decode("utf-8")


def _is_around_errors(node: Node) -> bool:
    """Whether the errors of a node are those of statements in it."""
    mine = any(child.type == "ERROR" or child.is_missing for child in node.children)
    return node.type in ("list", "compound_statement") and not mine


def _is_text(node: Node) -> bool:
    """Whether a node is text for bash too: quoted, a comment, or in a here-document."""
    at: Node | None = node
    while at is not None and at.type not in _TEXTS:
        at = None if at.type == "command_substitution" else at.parent
    return at is not None


def _errors(node: Node) -> Iterator[Node]:
    """The places where the grammar gave up, in a node that has some."""
    if node.type == "ERROR" or node.is_missing:
        yield node
    for child in node.children:
        if child.has_error or child.is_missing:
            yield from _errors(child)


def _first_name(text: str) -> str:
    match = _NAME.match(text)
    return match[0] if match else text


def _line(node: Node) -> int:
    return int(node.start_point.row) + 1
