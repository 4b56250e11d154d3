"""Reading and writing YAML as Kubernetes' own tools do."""

from __future__ import annotations

import re
from typing import Any

_PLAIN = r"[A-Za-z/][A-Za-z0-9_./=-]*( [A-Za-z0-9_./=-]+)*"
#: What YAML 1.1 reads as a boolean or null.
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


def load(text: str | bytes) -> Any:
    """The one document of a text: plain data. Raises yaml.YAMLError."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, Loader=loader)  # noqa: S506  # a safe one


def dump(data: Any) -> str:
    """YAML that every reader takes for the same data.

    Several lines of text are a block; whatever some reader takes for something else is quoted.
    """
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]  # chosen at run time
        """Writes texts of several lines as they are, and no aliases."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        quoted = None if _reads_as_text(value) else '"'
        style = "|" if "\n" in value and _fits_a_block(value) else quoted
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    dumped: str = yaml.dump(
        data,
        Dumper=Dumper,
        allow_unicode=True,
        sort_keys=False,
        default_flow_style=False,
        width=120,
    )
    return dumped


def _reads_as_text(value: str) -> bool:
    """Whether every reader takes it for text without quotes: Go's sees more in `1e3` and `y`.

    A token is quoted whatever it begins with, so that all look alike.
    """
    if re.fullmatch(r"[0-9a-f]{16}", value):
        return False
    return re.fullmatch(_PLAIN, value) is not None and value.lower() not in _WORDS


def _fits_a_block(text: str) -> bool:
    """Whether a literal block gives the text back: printable, and no line end but LF."""
    return all(char == "\n" or char.isprintable() for char in text)
