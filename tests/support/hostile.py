"""Hostile text for jobs' specs, from a seed: what a shell, YAML or a scheduler might take for its own."""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.property.test_argv import LISTS, PIECES, SCALARS

HOSTILE = [
    *PIECES,
    *("%j", "%%", "%x", "%%j", "%5A", "%u", "%", "\\%j", "\\\\", "\\", '"', '\\"', "'\"'", "$HOME"),
    *("~", "-", "--wrap=x", "#SBATCH --hold", "prl-submit:", "0", ".", "=", ",", ";"),
    *(
        "\u3000",
        "&&",
        "!!python/object:os.system ",
        "&a ",
        "*a",
        "{{ x }}",
        "{% x %}",
        "---",
        "? ",
        ": ",
    ),
    *(
        "$(HOME)",
        "$$(HOME)",
        "1e3",
        "0x1f",
        "yes",
        "null",
        "\u0085",
        "\u2028",
        "\ufeff",
        "# ",
        "|-",
        "> ",
    ),
]
#: Bytes of a file's name, less an ending.
LONGEST = 250
#: prl-submit for each spec, in one process.
SUBMIT_ALL = """
import sys
from prl_submit.cli import main
for spec in sys.argv[1:]:
    try:
        main(["submit", spec])
    except SystemExit as end:
        if end.code:
            sys.exit(f"{spec!r}: {end.code}")
"""


def one_line(piece: str) -> bool:
    """Whether the contract allows it in a path: no ASCII control characters. No `/` in a name."""
    return "/" not in piece and all(" " <= char != "\x7f" for char in piece)


def no_variable(name: str) -> str:
    """The name without what `check` refuses in a path, since nobody would replace it: $HOME, `id`, ~."""
    name = re.sub(r"\$(?=[A-Za-z_({])", "$ ", name)
    first, tick, rest = name.partition("`")
    name = first + tick + rest.replace("`", "'")
    return re.sub(r"(^|:)~", r"\1-~", name)


class Quoting(yaml.SafeDumper):
    """Text in quotes stays text, whatever it looks like."""


Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def quote_all(spec: Path) -> None:
    """Write a spec anew as YAML: JSON writes emoji as two halves, which no YAML may hold."""
    spec.write_text(yaml.dump(json.loads(spec.read_text()), Dumper=Quoting), encoding="utf-8")


class Texts:
    """Hostile text from one seed; each piece in turn stands first and last somewhere."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self, allowed: Callable[[str], bool] = bool, most: int = 5) -> str:
        """Up to `most` pieces."""
        pieces = [piece for piece in HOSTILE if allowed(piece)]
        return "".join(self.random.choices(pieces, k=self.random.randint(0, most)))

    def file_name(self, number: int) -> str:
        """Unique by its number; its two ends are hostile."""
        pieces = [piece for piece in HOSTILE if one_line(piece)]
        first, last = pieces[number % len(pieces)], pieces[(number * 7 + 3) % len(pieces)]
        name = first + self.text(one_line, 3) + str(number) + self.text(one_line, 3)
        if number % 20:
            return no_variable(name + last)
        name, last = no_variable(name), no_variable(last)
        return name + "雨" * ((LONGEST - len((name + last).encode())) // 3) + last

    def job_name(self) -> str:
        """2 to 40 of the characters that the contract allows."""
        inner = self.random.choices(string.ascii_lowercase + string.digits + "-", k=38)
        ends = self.random.choices(string.ascii_lowercase + string.digits, k=2)
        return ends[0] + "".join(inner[: self.random.randint(0, 38)]) + ends[1]

    def swift(self) -> dict[str, Any]:
        """ms-swift's arguments that take any text."""
        names = self.random.sample(SCALARS, 6)
        lists = self.random.sample(LISTS, 2)
        scalars: dict[str, Any] = {name: self.text() for name in names}
        return scalars | {name: [self._item(), self._item()] for name in lists}

    def _item(self) -> str:
        """Of a list: there a leading `-` would be an option, and is refused."""
        text = self.text()
        return f"x{text}" if text.startswith("-") else text
