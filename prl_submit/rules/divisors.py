"""Numbers for the hints of the batch rules: the nearest numbers that work in place of the given one."""

from __future__ import annotations

from math import gcd


def divisors(number: int) -> list[int]:
    """The divisors of a number in ascending order; none for 0 and below.

    Only divisors up to 10,000 and their counterparts are tried, so that a huge number takes no time.
    """
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
    """The positive multiples of `batch` just below and just above `total`; always at least one."""
    below = max(total // batch * batch, 0)
    return [n for n in (below, below + batch) if n > 0]


def listed(numbers: list[int]) -> str:
    """The numbers in words: `2, 4 or 8`. Empty for an empty list."""
    words = [str(n) for n in numbers]
    if not words:
        return ""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
