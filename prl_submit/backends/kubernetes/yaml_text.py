"""Read and write YAML so that kubectl and the API server take it for the same data."""

from __future__ import annotations

import re
from typing import Any

_PLAIN = r"[A-Za-z/][A-Za-z0-9_./=-]*( [A-Za-z0-9_./=-]+)*"
#: Words that YAML 1.1 reads as a boolean or null.
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")


def load(text: str | bytes) -> Any:
    """The data of a text with one YAML document. Raises yaml.YAMLError."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, Loader=loader)  # noqa: S506  # both are safe loaders


def dump(data: Any) -> str:
    """YAML that every parser reads as the same data.

    A text of several lines becomes a literal block. A text that some parser would read as a number or a
    boolean is quoted.
    """
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]  # the base class is chosen at run time
        """Writes a value that occurs twice in full both times, instead of as an alias."""

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
    """True if every parser reads it as text without quotes.

    Go's parser, which kubectl uses, takes `1e3` for a number and `y` for a boolean. A token (16 hexadecimal
    digits) is quoted even if it begins with a letter, so that all tokens look alike.
    """
    if re.fullmatch(r"[0-9a-f]{16}", value):
        return False
    return re.fullmatch(_PLAIN, value) is not None and value.lower() not in _WORDS


def _fits_a_block(text: str) -> bool:
    """True if a literal block preserves the text: all of it is printable, and its line ends are LF."""
    return text.replace("\n", "").isprintable()
