"""What a piece of bash may do to the variables around it, from its syntax alone.

Only what reaches the shell itself counts: subshells, pipes into `$(…)` and the like keep their
variables to themselves. Where it is not sure, a name is one too many rather than one too few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from tree_sitter import Node

#: A training somewhere in a text.
TRAINING = re.compile(
    r"\b(swift|megatron)(\s|\\\n)+(rlhf|sft|pt)\b|\bswift[./]cli[./]|\bcli/rlhf\.py"
)
#: Commands whose words may name a training, which they do not start.
MENTIONERS = frozenset(
    [
        *("pkill", "pgrep", "killall", "kill", "ps", "grep", "egrep", "fgrep", "rg", "pip", "pip3"),
        *("echo", "printf", "ls", "cat", "which", "type", "cp", "mv", "rm", "touch", "sed", "awk"),
        *("head", "tail", "wc", "find", "test", "[", "[[", "ln", "chmod", "git", "diff", "export"),
        *(
            "log",
            "die",
            "info",
            "warn",
            "error",
            "fail",
            "usage",
            ":",
            "true",
            "tee",
            "cut",
            "sort",
        ),
    ]
)
#: Stands for "a variable whose name is computed".
ANY = "*"
DECLARATIONS = frozenset(["export", "declare", "typeset", "local", "readonly", "unset"])
#: Commands that set the variables they name, with their options that take a word.
SETTERS = {
    "read": "dinNptu",
    "mapfile": "dnOsuCc",
    "readarray": "dnOsuCc",
    "getopts": "",
    "let": "",
    "printf": "",
    "wait": "",
}
#: What they set where no name is given.
_UNNAMED = {"read": "REPLY", "mapfile": "MAPFILE", "readarray": "MAPFILE"}
#: They start what stands behind them in this very shell.
WRAPPERS = frozenset(["command", "builtin", "time", "!"])
_DECLARED = ("declaration_command", "unset_command")
_ASIDE = ("subshell", "command_substitution", "process_substitution")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=", re.ASCII)
_READ = re.compile(r"\$\{?[#!]?([A-Za-z_]\w*|[0-9@*#?$!-])", re.ASCII)
#: Here a name is read without a dollar.
_BARE_READS = re.compile(r"\(\(|\$\[|\blet\b|\s-v\s|\s-(?:eq|ne|lt|le|gt|ge)\s|\[[^\]$]{0,80}\]\}")
_DEFAULT = re.compile(r"\$\{([A-Za-z_]\w*)(?:\[[^\]]{0,80}\])?:?=", re.ASCII)
#: `NAME=`, `NAME+=`, `NAME++`, `++NAME` in arithmetic; not `==`, `<=`, `!=`.
_COMPUTED = re.compile(
    r"(?<!\w)(?P<name>\$?\{?[A-Za-z_]\w*\}?)(?:\[[^\]]{0,80}\])?\s{0,80}(?:\+\+|--|(?:<<|>>|[-+*/%&|^])?=(?!=))"
    r"|(?:\+\+|--)\s*(?P<next>\$?\{?[A-Za-z_]\w*)",
    re.ASCII,
)
_SLICE = re.compile(r"\$\{[!#]?\w+(?:\[[^\]]*\])?:(?![-=?+])(.*)", re.DOTALL)


class Effects(Struct, frozen=True):
    """`writes`: variables that may be set, and functions `f()`; `computed`: those set by arithmetic.

    `calls`: the simple commands, as words as they are written.
    """

    writes: frozenset[str]
    computed: frozenset[str]
    calls: tuple[tuple[str, ...], ...]
    #: Whether a command in it starts a training, subshells and `$(…)` included.
    trains: bool


def effects_of(node: Node, text_of: Callable[[Node], str]) -> Effects:
    """The effects of a node; of a function's definition, that it is defined."""
    walk = _Walk(text_of)
    walk.visit(node)
    return Effects(
        frozenset(walk.writes | walk.computed),
        frozenset(walk.computed),
        tuple(walk.calls),
        is_training(node, text_of),
    )


def is_training(node: Node, text_of: Callable[[Node], str]) -> bool:
    """Whether a command in a node starts a training, and does not only speak of one."""
    if not TRAINING.search(text_of(node)):
        return False
    if node.type == "command":
        name = node.child_by_field_name("name")
        if name is not None and bare(text_of(name)) not in MENTIONERS:
            return True
    return any(is_training(child, text_of) for child in node.children if child.is_named)


def default_names(text: str) -> frozenset[str]:
    """Variables of `${NAME:=…}`."""
    return frozenset(_DEFAULT.findall(text))


def read_names(text: str) -> frozenset[str]:
    """Variables whose value a text may depend on."""
    names = set(_READ.findall(text))
    return frozenset(names | set(_NAME.findall(text)) if _BARE_READS.search(text) else names)


def bare(word: str) -> str:
    r"""A word without its quotes and escapes: `\export` and `"export"` are `export`."""
    return re.sub(r"[\\'\"]", "", word)


def unwrapped(words: tuple[str, ...]) -> tuple[str, ...]:
    """The command behind `command`, `builtin` and `time`; nothing where they only ask for it."""
    while words and bare(words[0]) in WRAPPERS:
        words = words[1:]
        while words and words[0][:1] == "-":
            if words[0] in ("-v", "-V"):
                return ()
            words = words[1:]
    return words


def set_by_words(words: tuple[str, ...]) -> set[str]:
    """The variables that a simple command sets."""
    words = unwrapped(words)
    if not words:
        return set()
    head, rest = bare(words[0]), words[1:]
    if match := _ASSIGNED.match(head):  # `time A=1`
        return {match[1]}
    if head in DECLARATIONS:
        return _names([word for word in rest if word[:1] not in "-+"])
    if head == "let":
        return set().union(*(_computed(bare(word)) for word in rest))
    if head == "printf":
        return _printed(rest)
    if head == "wait":
        at = next((i for i, word in enumerate(rest) if bare(word) == "-p"), None)
        return set() if at is None else _names(list(rest[at + 1 : at + 2]))
    if head in SETTERS:
        return _given(head, list(rest))
    return set()


def _given(head: str, words: list[str]) -> set[str]:
    names: list[str] = []
    while words:
        word = words.pop(0)
        if word[:1] == "-" and len(word) > 1:
            if word[-1] in SETTERS[head] and words:
                words.pop(0)
        else:
            names.append(word)
    if head == "getopts":
        return _names(names[1:2]) | {"OPTARG", "OPTIND"}
    return _names(names) or ({_UNNAMED[head]} if head in _UNNAMED else set())


def _printed(words: tuple[str, ...]) -> set[str]:
    first = bare(words[0]) if words else ""
    if first == "-v":
        return _names(list(words[1:2]))
    return _names([first[2:]]) if first.startswith("-v") else set()


def _names(words: list[str]) -> set[str]:
    found = set()
    for word in map(bare, words):
        match = _NAME.match(word)
        found.add(match[0] if match and "$" not in word.partition("=")[0] else ANY)
    return found


def _computed(text: str) -> set[str]:
    """What an arithmetic expression sets."""
    found = [match["name"] or match["next"] for match in _COMPUTED.finditer(text)]
    return {ANY if name[:1] == "$" else name for name in found}


class _Walk:
    """Goes through a tree and gathers."""

    def __init__(self, text_of: Callable[[Node], str]) -> None:
        self._text = text_of
        self.writes: set[str] = set()
        self.computed: set[str] = set()
        self.calls: list[tuple[str, ...]] = []

    def visit(self, node: Node) -> None:
        """A node and what is in it."""
        kind = node.type
        if kind in _ASIDE:
            return
        if kind == "function_definition":
            name = node.child_by_field_name("name")
            self.writes.add(f"{'' if name is None else self._text(name)}()")
        elif kind in ("variable_assignment", "for_statement"):
            self._assigned(node)
        elif kind in ("command", *_DECLARED):
            self._command(node)
        else:
            self.computed |= self._arithmetic(node)
        for child in node.children:
            # `A=1 program` sets A for the program alone.
            if not (kind == "command" and child.type == "variable_assignment"):
                self.visit(child)
            else:
                for inner in child.children:
                    self.visit(inner)

    def _assigned(self, node: Node) -> None:
        name = node.child_by_field_name("name") or node.child_by_field_name("variable")
        match = None if name is None else _NAME.match(self._text(name))
        if match:
            self.writes.add(match[0])

    def _command(self, node: Node) -> None:
        words = tuple(
            self._text(child)
            for child in node.children
            if child.type not in ("variable_assignment", "comment")
            and not child.type.endswith("_redirect")
        )
        if words:
            self.calls.append(words)
            self.writes |= set_by_words(words)

    def _arithmetic(self, node: Node) -> set[str]:
        text = self._text(node)
        if node.type == "heredoc_body":  # where the grammar takes `$((` for a command
            return set().union(*map(_computed, re.findall(r"\$\(\((.*?)\)\)", text)))
        if (
            node.type in ("arithmetic_expansion", "c_style_for_statement")
            or (node.type == "compound_statement" and text[:2] == "((")
            or (node.type == "test_command" and text[:2] == "((")
            or node.type == "subscript"
        ):
            return _computed(text.partition("\n")[0] if text[:3] == "for" else text)
        if node.type == "test_command":  # `=` compares in it
            return set(re.findall(r"([A-Za-z_]\w*)(?:\+\+|--)", text, re.ASCII))
        match = _SLICE.match(text) if node.type == "expansion" else None
        return _computed(match[1]) if match else set()


def heads(calls: tuple[tuple[str, ...], ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each command with its name: behind wrappers, without quotes."""
    for call in calls:
        words = unwrapped(call)
        if words:
            yield bare(words[0]), words
