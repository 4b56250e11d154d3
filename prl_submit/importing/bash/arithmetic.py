"""`$((…))` and `((…))` of whole numbers, as bash computes them; nothing is set."""

from __future__ import annotations

import re
from collections.abc import Callable

from prl_submit.importing.bash.parse import UnreadableError, parse_arithmetic
from prl_submit.importing.bash.scope import UnknownError
from prl_submit.importing.bash.syntax import (
    ArithmeticNode,
    BinaryArithm,
    ParenArithm,
    UnaryArithm,
    Word,
)

#: bash takes a number that begins with 0 for an octal one.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
_HINT = "write the number"


def _exponent(operator: str, right: int) -> int:
    if not 0 <= right < 63:
        raise UnknownError(f"{operator}{right} in arithmetic", _HINT)
    return right


def _quotient(left: int, right: int) -> int:
    """Division that rounds towards zero, which Python's does not."""
    if right == 0:
        raise UnknownError("a division by zero", _HINT)
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


_BINARY: dict[str, Callable[[int, int], int]] = {
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
    "/": _quotient,
    "%": lambda a, b: a - _quotient(a, b) * b,
    "<<": lambda a, b: a << _exponent("<<", b),
    ">>": lambda a, b: a >> _exponent(">>", b),
    "**": lambda a, b: int(a ** _exponent("**", b)),
}
_UNARY: dict[str, Callable[[int], int]] = {
    "+": lambda a: a,
    "-": lambda a: -a,
    "!": lambda a: int(not a),
    "~": lambda a: ~a,
}

#: The value of a number or a name as it is written, or of what a `$` stands for.
NumberOf = Callable[[Word], int]


def compute(text: str) -> int:
    """The value of a text such as `1 + 2 * 3`, without variables. Raises UnknownError."""
    try:
        node = parse_arithmetic(text)
    except UnreadableError:
        raise UnknownError(f"$(({text})) is not an expression", _HINT) from None
    return evaluate(node, lambda word: number(word.text, text))


def number(written: str, whole: str) -> int:
    """A number as it is written. Raises UnknownError for octal ones and all else."""
    if _NUMBER.fullmatch(written):
        return int(written)
    raise UnknownError(f"$(({whole})) is more than whole numbers and their operators", _HINT)


def evaluate(node: ArithmeticNode | None, number_of: NumberOf) -> int:
    """The value of an expression; 0 of none. Raises UnknownError."""
    if node is None:
        return 0
    if isinstance(node, ParenArithm):
        return evaluate(node.x, number_of)
    if isinstance(node, UnaryArithm):
        if node.op not in _UNARY:
            raise UnknownError(f"{node.op} in arithmetic sets a variable", _HINT)
        return _UNARY[node.op](evaluate(node.x, number_of))
    if isinstance(node, BinaryArithm):
        return _bounded(_binary(node, number_of))
    return number_of(node)


def _binary(node: BinaryArithm, number_of: NumberOf) -> int:
    if node.op == "?" and isinstance(node.y, BinaryArithm):
        chosen = node.y.x if evaluate(node.x, number_of) else node.y.y
        return evaluate(chosen, number_of)
    if node.op in ("&&", "||"):
        left = bool(evaluate(node.x, number_of))
        return int(left) if left == (node.op == "||") else int(bool(evaluate(node.y, number_of)))
    if node.op not in _BINARY:
        message = f"$(({node.text})) is more than whole numbers and their operators"
        raise UnknownError(message, _HINT)
    return _BINARY[node.op](evaluate(node.x, number_of), evaluate(node.y, number_of))


def _bounded(value: int) -> int:
    if abs(value) >= 2**63:
        raise UnknownError("a number of more than 63 bits", _HINT)
    return value
