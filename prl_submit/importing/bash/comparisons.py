"""The operators of `[ … ]` and `[[ … ]]`, on texts."""

from __future__ import annotations

import re

from prl_submit.importing.bash.pieces import Piece
from prl_submit.importing.bash.scope import Scope, Unknown, UnknownError

BINARY = frozenset(
    ["=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "<", ">", "-nt", "-ot", "-ef"]
)
_UNARY = re.compile(r"-[a-hknoprstuvwxzGLNORS]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
#: What bash and Python read in the same way. They differ in `{`, back references and named classes.
_REGEX = re.compile(r"(?:[\w\s.,:;/=@%~^$*+?()|<>'\"-]|\[\^?[\w.,:;/=@%~ -]+\])*", re.ASCII)


def unary(operator: str, text: str) -> bool:
    """The outcome of `-z TEXT` or `-n TEXT`. Raises UnknownError for operators that ask for files."""
    if operator == "-z":
        return not text
    if operator == "-n":
        return bool(text)
    if operator in ("-o", "-v", "-R", "-t"):
        raise UnknownError(f"only the run knows whether {operator} {text}")
    raise UnknownError(f"only the run knows what {text!r} is ({operator})")


def is_set(name: str, scope: Scope, line: int) -> bool:
    """The outcome of `[[ -v NAME ]]`. Raises UnknownError where the environment decides."""
    if not name.isidentifier():
        raise UnknownError(f"only the run knows whether {name} is set")
    found = scope.find(name, line)
    if found is None:
        raise UnknownError(f"${name} is not set in the script", None, (name,))
    if isinstance(found.value, Unknown) and found.is_perhaps_array:
        raise UnknownError(found.value.why, found.value.hint, found.value.names or (name,))
    return not isinstance(found.value, list) or bool(found.value)


def binary(left: str, operator: str, right: str) -> bool:
    """The outcome of a comparison. Raises UnknownError for files and for what is no plain number."""
    if operator in ("=", "==", "!="):
        return (left == right) == (operator != "!=")
    if operator in ("<", ">", "-nt", "-ot", "-ef"):
        raise UnknownError(f"only the run knows whether {left!r} {operator} {right!r}")
    for text in (left, right):
        if not _NUMBER.fullmatch(text):
            raise UnknownError(f"{text!r} is compared as a number", "write the number")
    a, b = int(left), int(right)
    outcomes = {"-eq": a == b, "-ne": a != b, "-lt": a < b, "-le": a <= b, "-gt": a > b}
    return outcomes.get(operator, a >= b)


def matches(text: str, pieces: list[Piece]) -> bool:
    """The outcome of `[[ text =~ regex ]]`.

    Raises UnknownError for a regular expression that Python may read otherwise than bash.
    """
    if any(piece.quoted and re.search(r"\W", piece.text) for piece in pieces):
        raise UnknownError("a regular expression with quotes", "write the value")
    regex = "".join(piece.text for piece in pieces)
    if not _REGEX.fullmatch(regex) or len(regex) > 100 or len(text) > 1000 or "\n" in text:
        raise UnknownError(f"the regular expression {regex[:40]!r}", "write the value")
    if re.search(
        r"[*+?][*+?]|\(\?|[*+?)]\)[*+?]", regex
    ):  # Python reads these otherwise, or takes long
        raise UnknownError(f"the regular expression {regex[:40]!r}", "write the value")
    try:
        return (
            re.search(regex.replace("$", r"\Z") if "[" not in regex else _ends(regex), text)
            is not None
        )
    except re.error:
        raise UnknownError(f"the regular expression {regex[:40]!r}", "write the value") from None


def _ends(regex: str) -> str:
    r"""The regular expression with `\Z` for each `$` outside brackets.

    Python's `$` matches before a line end at the end of the text, too.
    """
    return re.sub(r"\[[^\]]*\]|\$", lambda found: r"\Z" if found[0] == "$" else found[0], regex)


# --- `[ … ]`, by the number of its words (POSIX, test) ----------------------------------------------


def holds(words: list[str], plain: list[bool]) -> bool:
    """The outcome of `[ words ]`. Raises UnknownError.

    `plain`: of each word, whether the script has it literally, without quotes and expansions.
    """
    if len(words) <= 4:
        found = _by_number(words)
        if found is not None:
            return found
    return _split(words, plain)


def _by_number(words: list[str]) -> bool | None:  # noqa: C901  # one case for each number of words, as POSIX defines `test`
    count = len(words)
    if count == 0:
        return False
    if count == 1:
        return words[0] != ""
    if count == 3 and words[1] in BINARY:
        is_unclear = (words[0], words[2]) == ("(", ")")
        return None if is_unclear else binary(words[0], words[1], words[2])
    if count == 3 and words[1] in ("-a", "-o"):
        both = (words[0] != "", words[2] != "")
        return all(both) if words[1] == "-a" else any(both)
    if words[0] == "!":
        inner = _by_number(words[1:])
        return None if inner is None else not inner
    if count == 2 and _UNARY.fullmatch(words[0]):
        return unary(words[0], words[1])
    if count in (3, 4) and words[0] == "(" and words[-1] == ")":
        return _by_number(words[1:-1])
    return None


def _is_clear(words: list[str]) -> bool:
    """True if words have one meaning only: `a`, `-n a` or `a = b`, each perhaps behind `!`."""
    if words[:1] == ["!"]:
        words = words[1:]
    if len(words) == 2:
        return words[0] in ("-n", "-z") and not _is_operator(words[1])
    if len(words) == 3:
        return words[1] in BINARY and not (_is_operator(words[0]) or _is_operator(words[2]))
    return len(words) == 1 and not _is_operator(words[0])


def _is_operator(word: str) -> bool:
    return (
        word in BINARY
        or word in ("!", "(", ")")
        or re.fullmatch(r"-[a-zA-Z]{1,2}", word) is not None
    )


def _split(words: list[str], plain: list[bool]) -> bool:
    """The outcome of `a -o b` and `a -a b`, where the operators stand in the script itself."""
    special = ("-a", "-o", "!", "(", ")")
    if any(word in special and not own for word, own in zip(words, plain, strict=True)):
        raise _unclear(words)
    for operator in ("-o", "-a"):
        places = [at for at, word in enumerate(words) if word == operator]
        if places:
            bounds = zip([-1, *places], [*places, len(words)], strict=True)
            parts = [slice(start + 1, end) for start, end in bounds]
            found = [_split(words[part], plain[part]) for part in parts]
            return any(found) if operator == "-o" else all(found)
    outcome = _by_number(words) if _is_clear(words) else None
    if outcome is None:
        raise _unclear(words)
    return outcome


def _unclear(words: list[str]) -> UnknownError:
    shown = " ".join(words)
    return UnknownError(f"only the run knows what [ {shown[:60]} ] says", "write [[ … ]]")
