"""Sizes of the spec as Kubernetes writes them."""

from __future__ import annotations


def to_quantity(size: str | None) -> str:
    """`256G`, as parse_memory gives it, is 256 GiB: `256Gi`. Raises ValueError where it is no size."""
    if size is None:
        raise ValueError("is no size such as 50G")
    return f"{size}i"
