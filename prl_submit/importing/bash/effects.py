"""What a piece of bash may do to the variables around it, from its syntax alone.

Subshells and `$(…)` are left out, because what they set is gone when they end. Where the syntax
leaves it open whether a variable is set, it counts as set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from prl_submit.importing.bash import syntax
from prl_submit.importing.bash.syntax import Tree, children, walk

#: The name of a training program in a text.
TRAINING = re.compile(
    r"\b(swift|megatron)(\s|\\\n)+(rlhf|sft|pt)\b|\bswift[./]cli[./]|\bcli/rlhf\.py"
)
#: Commands whose words may name a training, which they do not start.
MENTIONERS = frozenset(
    "pkill pgrep killall kill ps grep egrep fgrep rg pip pip3 echo printf ls cat which type cp mv rm"
    " touch sed awk head tail wc find test [ [[ ln chmod git diff export log die info warn error fail"
    " usage : true tee cut sort".split()
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
#: The variables that they set where no name is given.
_UNNAMED = {"read": "REPLY", "mapfile": "MAPFILE", "readarray": "MAPFILE"}
#: Words that run the command behind them in the same shell.
WRAPPERS = frozenset(["command", "builtin", "time", "!"])
_ASIDE = (syntax.Subshell, syntax.CmdSubst, syntax.ProcSubst)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=", re.ASCII)
_READ = re.compile(r"\$\{?[#!]?([A-Za-z_]\w*|[0-9@*#?$!-])", re.ASCII)
#: In these constructs a name without a dollar is read, too.
_BARE_READS = re.compile(r"\(\(|\$\[|\blet\b|\s-v\s|\s-(?:eq|ne|lt|le|gt|ge)\s|\[[^\]$]{0,80}\]\}")
#: `NAME=`, `NAME+=`, `NAME++` and `++NAME` in a word of `let`; not `==`, `<=` and `!=`.
_LET = re.compile(
    r"(?<!\w)(\$?\{?[A-Za-z_]\w*\}?)(?:\[[^\]]{0,80}\])?(?:\+\+|--|(?:<<|>>|[-+*/%&|^])?=(?!=))"
    r"|(?:\+\+|--)(\$?\{?[A-Za-z_]\w*)",
    re.ASCII,
)


class Effects(Struct, frozen=True, kw_only=True):
    """What a statement reads, sets and starts.

    A function `f` that is defined is written as `f()`; `body` is what it sets once it is called.
    """

    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    body: frozenset[str] = frozenset()
    #: Of `writes`, what arithmetic sets (`((A++))`), and what `${A:=…}` may.
    computed: frozenset[str] = frozenset()
    defaults: frozenset[str] = frozenset()
    #: The words of all simple commands in the statement.
    calls: tuple[tuple[syntax.Node, ...], ...] = ()
    #: Whether a command in it starts a training, in `$(…)` and functions too.
    trains: bool = False


def effects_of(node: syntax.Stmt) -> Effects:
    """The effects of a statement."""
    gathered = _Gathered()
    gathered.visit(node)
    writes = frozenset(gathered.writes | gathered.computed | gathered.defaults)
    body = frozenset[str]()
    if isinstance(node.cmd, syntax.FuncDecl):  # it does nothing until it is called
        functions = frozenset(name for name in writes if name.endswith("()"))
        writes, body = functions, writes - functions
    return Effects(
        reads=read_names(node.text),
        writes=writes,
        body=body,
        computed=frozenset(gathered.computed),
        defaults=frozenset(gathered.defaults),
        calls=tuple(gathered.calls),
        trains=_trains(node),
    )


def all_effects(parts: Sequence[Effects]) -> Effects:
    """The effects of statements together."""
    return Effects(
        reads=frozenset().union(*(part.reads for part in parts)),
        writes=frozenset().union(*(part.writes for part in parts)),
        computed=frozenset().union(*(part.computed for part in parts)),
        defaults=frozenset().union(*(part.defaults for part in parts)),
        calls=tuple(call for part in parts for call in part.calls),
        trains=any(part.trains for part in parts),
    )


def _trains(node: syntax.Stmt) -> bool:
    """True if a command in a statement starts a training. `echo swift rlhf` does not."""
    if not TRAINING.search(node.text):
        return False
    calls = [each for each in walk(node) if isinstance(each, syntax.CallExpr) and each.args]
    return any(
        TRAINING.search(call.text) and bare(call.args[0].text) not in MENTIONERS for call in calls
    )


def read_names(text: str) -> frozenset[str]:
    """The variables that a text may read."""
    names = set(_READ.findall(text))
    return frozenset(names | set(_NAME.findall(text)) if _BARE_READS.search(text) else names)


class _Gathered:
    """Collects the effects of nodes."""

    def __init__(self) -> None:
        self.writes: set[str] = set()
        self.computed: set[str] = set()
        self.defaults: set[str] = set()
        self.calls: list[tuple[syntax.Node, ...]] = []

    def visit(self, node: Tree) -> None:
        """Collect the effects of a node and of everything in it."""
        if isinstance(node, _ASIDE):
            return
        if isinstance(node, syntax.CallExpr):
            self._command(node)
            return
        if isinstance(node, syntax.LetClause):
            self._call(syntax.Lit(text="let"), *node.exprs)
            return
        self._note(node)
        for child in children(node):
            self.visit(child)

    def _command(self, node: syntax.CallExpr) -> None:
        """`A=1` alone sets A; `A=1 program` sets A for the program only."""
        for assign in node.assigns:
            for child in children(assign) if node.args else [assign]:
                self.visit(child)
        if node.args:
            self._call(*node.args)
        for word in node.args:
            self.visit(word)

    def _call(self, *words: syntax.Node) -> None:
        self.calls.append(words)
        self.writes |= set_by_words(tuple(word.text for word in words))

    def _note(self, node: Tree) -> None:  # noqa: C901  # one case for each class of node
        if isinstance(node, syntax.DeclClause):
            self._call(node.variant, *node.args)
        elif isinstance(node, syntax.CoprocClause):
            self.calls.append((syntax.Lit(text="coproc"),))
        elif isinstance(node, syntax.FuncDecl):
            self.writes.add(f"{'' if node.name is None else node.name.value}()")
        elif (isinstance(node, syntax.Assign) and node.name is not None and not node.naked) or (
            isinstance(node, syntax.WordIter) and node.name is not None
        ):
            self.writes.add(node.name.value)
        elif isinstance(node, syntax.ParamExp) and node.exp is not None:
            if node.exp.op in ("=", ":=") and node.param is not None:
                self.defaults.add(node.param.value)
        elif (isinstance(node, syntax.BinaryArithm) and is_assignment(node.op)) or (
            isinstance(node, syntax.UnaryArithm) and node.op in ("++", "--")
        ):
            self.computed.add(_target(node.x))


def is_assignment(operator: str) -> bool:
    """True if an operator of arithmetic sets a variable: `=`, `+=`, `<<=`; not `==` and `<=`."""
    return operator.endswith("=") and operator not in ("==", "!=", "<=", ">=")


def _target(node: syntax.ArithmeticNode) -> str:
    match = _NAME.match(node.text)
    return match[0] if match else ANY


# --- simple commands, by their words --------------------------------------------------------------


def bare(word: str) -> str:
    r"""A word without its quotes and escapes: `\export` and `"export"` are `export`."""
    return re.sub(r"[\\'\"]", "", word)


def unwrapped(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words behind `command`, `builtin` and `time`; none for `command -v NAME`, which runs nothing."""
    while words and bare(words[0]) in WRAPPERS:
        words = words[1:]
        while words and words[0][:1] == "-":
            if words[0] in ("-v", "-V"):
                return ()
            words = words[1:]
    return words


def heads(calls: Sequence[Sequence[syntax.Node]]) -> Iterator[tuple[str, Sequence[syntax.Node]]]:
    """Each command with its name, which is taken from behind wrappers and out of quotes."""
    for call in calls:
        count = len(unwrapped(tuple(word.text for word in call)))
        if count:
            yield bare(call[-count].text), call[-count:]


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
        found = [name for word in rest for name in _LET.findall(bare(word))]
        return _names([before or after for before, after in found])
    if head == "printf":
        return _printed(rest)
    if head == "wait":
        at = next((i for i, word in enumerate(rest) if bare(word) == "-p"), None)
        return set() if at is None else _names(list(rest[at + 1 : at + 2]))
    return _given(head, list(rest)) if head in SETTERS else set()


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
