"""Numbers that work instead of the one that does not: for the hints of the batch rules."""

from __future__ import annotations

from math import gcd


def divisors(number: int) -> list[int]:
    """All divisors, ascending, none for 0 and below; trial division keeps huge batches cheap."""
    if number < 1:
        return []
    small = [n for n in range(1, min(int(number**0.5), 10_000) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def nearest(numbers: list[int], wanted: int, count: int = 6) -> list[int]:
    """The `count` numbers nearest to `wanted`, ascending."""
    return sorted(sorted(numbers, key=lambda n: (abs(n - wanted), n))[:count])


def around_sizes(size: int, others: int, group: int) -> list[int]:
    """The per-device sizes next to `size` for which size x others is a multiple of `group`."""
    step = group // gcd(others, group)
    below = size // step * step
    return [n for n in (below, below + step) if n > 0]


def around_multiples(total: int, batch: int) -> list[int]:
    """The multiples of `batch` next to `total`; at least one, whatever `total` is."""
    below = max(total // batch * batch, 0)
    return [n for n in (below, below + batch) if n > 0]


def listed(numbers: list[int]) -> str:
    """`2, 4 or 8`; empty for no number."""
    words = [str(n) for n in numbers]
    if not words:
        return ""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
