"""A job spec as plain data, before it is written."""

from __future__ import annotations

from typing import Union

#: Text (never typed here), null, lists and mappings.
Tree = Union[str, None, list["Tree"], dict[str, "Tree"]]
