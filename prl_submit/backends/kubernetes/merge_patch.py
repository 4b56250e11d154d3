"""JSON merge patch (RFC 7386): maps are merged, null removes a key, every other value replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(target: Any, patch: Any) -> Any:
    """A copy of `target` with `patch` applied."""
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
    """As `merge_patch`, but lists under a name in `keys` are merged item by item.

    `keys`: for each list's name, the key by which its items are matched: `env` -> `name`. kubectl does the
    same (strategic merge patch). In a plain merge patch, one more variable would replace all others.
    """
    merged = merge_patch(target, patch)
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return merged
    for name, key in keys.items():
        if isinstance(patch.get(name), list):
            merged[name] = _joined(target.get(name) or [], patch[name], key)
    return merged


def _joined(items: list[Any], patches: list[Any], key: str) -> list[Any]:
    joined = {item[key]: item for item in items}
    for patch in patches:
        name = patch.get(key) if isinstance(patch, dict) else None
        joined[name] = merge_patch(joined.get(name, {}), patch)
    return list(joined.values())
