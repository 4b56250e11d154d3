"""One argument of `swift rlhf`, as ms-swift's own parser takes it."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType


class Argument(Struct, frozen=True, omit_defaults=True):
    """`kind`: int, float, bool, str, json, or none where no text is taken; `many`: several words.

    `json`: text that ms-swift reads as JSON, or as the name of a file of it. `default` is unset
    where ms-swift computes it.
    """

    kind: str
    many: bool = False
    choices: tuple[str, ...] = ()
    default: Any | UnsetType = UNSET
