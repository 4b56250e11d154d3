"""pyyaml is whole, although one of its patterns is compiled late."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

CODE = """
import re
before = re.compile
from prl_submit.spec.pyyaml import yaml
assert re.compile is before
print(type(yaml.reader.Reader.NON_PRINTABLE).__name__)
print(yaml.load('a: [1, 2020-01-02, no]', yaml.SafeLoader))
try:
    yaml.load('a: \\x07', yaml.SafeLoader)
except yaml.reader.ReaderError as error:
    print(error.reason)
"""


def test_the_large_pattern_is_compiled_when_it_is_used() -> None:
    """pyyaml's parser in Python, which other libraries use, still refuses what it refused."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "_PatternOnDemand",
        "{'a': [1, datetime.date(2020, 1, 2), False]}",
        "special characters are not allowed",
    ]


@pytest.mark.parametrize("text", ["a", "\x07", "中", "\ud7ff"])
def test_it_finds_what_pyyamls_own_pattern_finds(text: str) -> None:
    from prl_submit.spec.pyyaml import _PatternOnDemand

    pattern = "[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    assert bool(_PatternOnDemand(pattern).search(text)) == bool(re.search(pattern, text))
