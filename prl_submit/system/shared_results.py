"""Results that are computed once while many jobs are checked that differ in little.

A sweep has up to thousands of jobs, and all name the same data files and plugins. A function with the
decorator `shared` reads each of them once while `share_results` is entered, and as ever elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])
_results: list[dict[Any, Any]] = []


@contextlib.contextmanager
def share_results() -> Iterator[None]:
    """Let functions with the decorator `shared` remember their results meanwhile."""
    _results.append({})
    try:
        yield
    finally:
        _results.pop()


def shared(function: Function) -> Function:
    """The function, which remembers its results while `share_results` is entered. Its arguments are hashable."""

    @functools.wraps(function)
    def remembering(*arguments: Any) -> Any:
        if not _results:
            return function(*arguments)
        key = (function, *arguments)
        if key not in _results[-1]:
            _results[-1][key] = function(*arguments)
        return _results[-1][key]

    return remembering  # type: ignore[return-value]
