"""One argument of `swift rlhf`: its type, choices and default."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType


class Argument(Struct, frozen=True, omit_defaults=True):
    """An argument as ms-swift's own parser understands it.

    `kind`: int, float, bool, str, json, or none. `json`: ms-swift reads the text as JSON or as the name
    of a JSON file. `none`: the command line cannot set the argument. `many`: the argument takes several
    words. `default` is unset if ms-swift computes the default when it starts.
    """

    kind: str
    many: bool = False
    choices: tuple[str, ...] = ()
    default: Any | UnsetType = UNSET
