"""The facts about one of the job's Python files: its syntax error, its imports and its rewards."""

from __future__ import annotations

from typing import Union

from msgspec import Struct


class Fault(Struct, frozen=True):
    """A syntax error: Python's message, the line (counted from 1), and the text of that line."""

    message: str
    line: Union[int, None]
    text: str


class Reward(Struct, frozen=True):
    """A reward class.

    `line`: the line of its `__call__`. `needs`: the columns without which `__call__` raises. `takes_all`:
    `__call__` has `**kwargs`. `init_line`: the line of an `__init__` that does not take `args`, else None.
    """

    line: int
    needs: list[str]
    takes_all: bool
    init_line: Union[int, None]


class PluginFacts(Struct, frozen=True):
    """The facts about one Python file."""

    fault: Union[Fault, None] = None
    #: The line of the first `from . import x`, which works only in a package.
    relative: Union[int, None] = None
    imports: list[str] = []
    #: All names that the file registers as rewards, also those that are not registered with a class's name.
    registered: list[str] = []
    rewards: dict[str, Reward] = {}
