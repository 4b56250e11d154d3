"""`$(( … ))` of whole numbers: + - * / % and parentheses, as bash computes them."""

from __future__ import annotations

import re

from prl_submit.script.scope import UnknownError

_TOKENS = re.compile(r"\s*([0-9]+|[-+*/%()])", re.ASCII)
_HINT = "write the number"


def compute(text: str) -> int:
    """The value of an expression without variables. Raises UnknownError for anything else."""
    tokens: list[str] = []
    place = 0
    bare = text.rstrip()
    while place < len(bare):
        match = _TOKENS.match(bare, place)
        if match is None or (match[1][0] == "0" and len(match[1]) > 1) or len(match[1]) > 15:
            raise UnknownError(f"$(({text})) is more than whole numbers and + - * / %", _HINT)
        tokens.append(match[1])
        place = match.end()
    if not tokens:
        return 0
    value = _sum(tokens)
    if tokens or abs(value) >= 2**63:
        raise UnknownError(f"$(({text})) is not an expression", _HINT)
    return value


def _sum(tokens: list[str]) -> int:
    value = _product(tokens)
    while tokens and tokens[0] in "+-":
        sign = tokens.pop(0)
        right = _product(tokens)
        value = value + right if sign == "+" else value - right
    return value


def _product(tokens: list[str]) -> int:
    value = _factor(tokens)
    while tokens and tokens[0] in "*/%":
        operator = tokens.pop(0)
        right = _factor(tokens)
        if operator == "*":
            value *= right
            continue
        if right == 0:
            raise UnknownError("a division by zero", _HINT)
        quotient = abs(value) // abs(right) * (1 if (value < 0) == (right < 0) else -1)
        value = quotient if operator == "/" else value - quotient * right
    return value


def _factor(tokens: list[str]) -> int:
    token = tokens.pop(0) if tokens else ""
    if token in ("+", "-"):
        if tokens[:1] == [token]:  # `--x` is another operator
            raise UnknownError(f"{token}{token} in arithmetic", _HINT)
        value = _factor(tokens)
        return value if token == "+" else -value
    if token == "(":
        value = _sum(tokens)
        if tokens[:1] == [")"]:
            tokens.pop(0)
            return value
    elif token.isdigit():
        return int(token)
    raise UnknownError("arithmetic that is not an expression", _HINT)
