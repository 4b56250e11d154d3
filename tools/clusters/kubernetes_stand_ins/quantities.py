"""Quantities of memory, such as 256Gi."""

from __future__ import annotations

from decimal import Decimal

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15} | {
    f"{name}i": 1024**power for power, name in enumerate("KMGTP", 1)
}


def in_bytes(text: object) -> int:
    """The number of bytes of a quantity as the API writes it."""
    number = str(text).rstrip("kKMGTPi")
    return int(Decimal(number) * _UNITS[str(text)[len(number) :]])
