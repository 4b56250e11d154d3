"""pyyaml, imported without compiling a pattern that libyaml's parser never uses.

yaml/reader.py compiles a pattern of all characters that YAML refuses: 4.5 of the 75 ms that `check` takes
(Python 3.11, pyyaml 6.0.4). Only pyyaml's parser in Python uses it, and prl-submit reads with libyaml's.
So the pattern is compiled when something uses it for the first time.
"""

from __future__ import annotations

import re
from typing import Any

#: Stands in yaml/reader.py's pattern, and in no other one of pyyaml.
_ITS_MARK = "\ud7ff"


class _PatternOnDemand:
    """A regular expression that is compiled when one of its methods is used."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __getattr__(self, name: str) -> Any:
        return getattr(re.compile(self._pattern), name)


def _import_yaml() -> Any:
    compile_now = re.compile

    def compile_later(pattern: Any, flags: Any = 0) -> Any:
        later = isinstance(pattern, str) and _ITS_MARK in pattern and not flags
        return _PatternOnDemand(pattern) if later else compile_now(pattern, flags)

    re.compile = compile_later
    try:
        import yaml
    finally:
        re.compile = compile_now
    return yaml


yaml = _import_yaml()
