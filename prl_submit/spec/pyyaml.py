"""pyyaml, imported without compiling patterns that libyaml's parser never uses.

yaml/reader.py compiles a pattern of all characters that YAML refuses: 4.5 of the 75 ms that `check` takes
(Python 3.11, pyyaml 6.0.4). Those of yaml/resolver.py and yaml/constructor.py take 1 ms more. Only pyyaml's
parser in Python and its own types use them, and prl-submit reads with libyaml's parser and has types of its
own. So a pattern is compiled when something uses it for the first time.
"""

from __future__ import annotations

import re
from typing import Any


class _PatternOnDemand:
    """A regular expression that is compiled when one of its methods is used."""

    def __init__(self, pattern: Any, flags: Any = 0) -> None:
        self._pattern = pattern
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        return getattr(re.compile(self._pattern, self._flags), name)


def _import_yaml() -> Any:
    compile_now = re.compile
    re.compile = _PatternOnDemand  # type: ignore[assignment]
    try:
        import yaml
    finally:
        re.compile = compile_now
    return yaml


yaml = _import_yaml()
