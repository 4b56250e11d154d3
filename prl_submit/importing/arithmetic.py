"""`$(( … ))` and `(( … ))` of whole numbers, as bash computes them; nothing is set."""

from __future__ import annotations

import re
from collections.abc import Callable

from prl_submit.importing.scope import UnknownError

_TOKENS = re.compile(r"\s*([0-9]+|\*\*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%()<>!~&^|?:])", re.ASCII)
_HINT = "write the number"
_MOST_TOKENS, _MOST_PARENTHESES = 200, 20
#: From the loosest to the tightest; all are read from left to right.
_LEVELS = (
    ("||",),
    ("&&",),
    ("|",),
    ("^",),
    ("&",),
    ("==", "!="),
    ("<", ">", "<=", ">="),
    ("<<", ">>"),
    ("+", "-"),
    ("*", "/", "%"),
)
_COMPUTED: dict[str, Callable[[int, int], int]] = {
    "||": lambda a, b: int(bool(a) or bool(b)),
    "&&": lambda a, b: int(bool(a) and bool(b)),
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


def compute(text: str) -> int:
    """The value of an expression without variables. Raises UnknownError for anything else."""
    tokens: list[str] = []
    place = 0
    bare = text.rstrip()
    while place < len(bare):
        match = _TOKENS.match(bare, place)
        if match is None or (match[1][0] == "0" and len(match[1]) > 1) or len(match[1]) > 15:
            message = f"$(({text})) is more than whole numbers and their operators"
            raise UnknownError(message, _HINT)
        tokens.append(match[1])
        place = match.end()
    if len(tokens) > _MOST_TOKENS or tokens.count("(") > _MOST_PARENTHESES:
        raise UnknownError("arithmetic that is too long", _HINT)
    if not tokens:
        return 0
    value = _choice(tokens)
    if tokens:
        raise UnknownError(f"$(({text})) is not an expression", _HINT)
    return value


def _choice(tokens: list[str]) -> int:
    """`a ? b : c`."""
    value = _operation(tokens, 0)
    if tokens[:1] != ["?"]:
        return value
    tokens.pop(0)
    yes = _choice(tokens)
    if tokens[:1] != [":"]:
        raise UnknownError("arithmetic that is not an expression", _HINT)
    tokens.pop(0)
    no = _choice(tokens)
    return yes if value else no


def _operation(tokens: list[str], level: int) -> int:
    if level == len(_LEVELS):
        return _power(tokens)
    value = _operation(tokens, level + 1)
    while tokens and tokens[0] in _LEVELS[level]:
        operator = tokens.pop(0)
        right = _operation(tokens, level + 1)
        value = _bounded(_applied(operator, value, right))
    return value


def _applied(operator: str, left: int, right: int) -> int:
    if operator in ("<<", ">>"):
        if not 0 <= right < 63:
            raise UnknownError(f"{operator}{right} in arithmetic", _HINT)
        return left << right if operator == "<<" else left >> right
    if operator not in ("/", "%"):
        return _COMPUTED[operator](left, right)
    if right == 0:
        raise UnknownError("a division by zero", _HINT)
    quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    return quotient if operator == "/" else left - quotient * right


def _bounded(value: int) -> int:
    if abs(value) >= 2**63:
        raise UnknownError("a number of more than 63 bits", _HINT)
    return value


def _power(tokens: list[str]) -> int:
    """`a ** b`, which is read from right to left."""
    value = _factor(tokens)
    if tokens[:1] != ["**"]:
        return value
    tokens.pop(0)
    exponent = _power(tokens)
    if not 0 <= exponent < 63:
        raise UnknownError(f"**{exponent} in arithmetic", _HINT)
    return _bounded(value**exponent)


def _factor(tokens: list[str]) -> int:
    token = tokens.pop(0) if tokens else ""
    if token in ("+", "-", "!", "~"):
        if token in "+-" and tokens[:1] == [token]:  # `--x` is another operator
            raise UnknownError(f"{token}{token} in arithmetic", _HINT)
        value = _factor(tokens)
        return {"+": value, "-": -value, "!": int(not value), "~": ~value}[token]
    if token == "(":
        value = _choice(tokens)
        if tokens[:1] == [")"]:
            tokens.pop(0)
            return value
    elif token.isdigit():
        return int(token)
    raise UnknownError("arithmetic that is not an expression", _HINT)
