"""JSON merge patch (RFC 7386): maps merge, null removes, everything else replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` with `patch` applied; neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def merge_lists(target: Any, patch: Any, keys: Mapping[str, str]) -> Any:
    """As `merge_patch`, but the lists named in `keys` are added to, item by item of that key.

    That is what kubectl does with them (strategic merge): else one variable more would replace all.
    """
    merged = merge_patch(target, patch)
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return merged
    for name, key in keys.items():
        if isinstance(patch.get(name), list):
            merged[name] = _joined(target.get(name) or [], patch[name], key)
    return merged


def _joined(ours: list[Any], theirs: list[Any], key: str) -> list[Any]:
    joined = {item[key]: item for item in ours}
    for item in theirs:
        name = item.get(key) if isinstance(item, dict) else None
        joined[name] = merge_patch(joined.get(name, {}), item)
    return list(joined.values())
