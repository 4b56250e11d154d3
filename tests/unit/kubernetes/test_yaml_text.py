"""YAML that Go's and Python's parsers read as the same data."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from prl_submit.backends.kubernetes.yaml_text import dump, load

TEXTS = [
    "",
    " ",
    "a",
    "two words",
    "/etc/prl-submit/launch.sh",
    "a: b",
    "a #b",
    "- a",
    "{a}",
    "*a",
    "&a",
    "!a",
    "'a'",
    '"a"',
    "100m",
    "7",
    "007",
    "1e3",
    "0x1F",
    "0o7",
    "1_000",
    ".5",
    ".inf",
    "12:30:00",
    "2026-11-22",
    "y",
    "N",
    "yes",
    "Off",
    "TRUE",
    "null",
    "~",
    "=",
    "<<",
    "数据",
    "🦀",
    "e\u0301",
    "\u2028",
    "\ufeff",
    "\x85",
    "\x00\x1b[31m",
    "a\nb",
    "a\nb\n",
    "a\n\n\n",
    "\na",
    "  a\nb",
    "a \nb",
    "\ta\n\tb\n",
    "a\r\nb",
    "# a\n---\n...\n",
    "x" * 500,
    ("word " * 100).strip(),
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back(text: str) -> None:
    data = {"key": text, text: ["key", text]}
    written = dump(data)
    for loader in (yaml.SafeLoader, yaml.CSafeLoader, yaml.BaseLoader):
        assert yaml.load(written, Loader=loader) == data
    assert load(written) == data


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a", "a"),
        ("/bin/bash", "/bin/bash"),
        ("y", '"y"'),
        ("No", '"No"'),
        ("1e3", '"1e3"'),
        ("8", '"8"'),
        ("", '""'),
        (8, "8"),
        (0.5, "0.5"),
        (True, "true"),
        (None, "null"),
        ("数据", '"数据"'),
        ("a\nb\n", "|\n  a\n  b"),
    ],
)
def test_how_they_are_written(value: Any, written: str) -> None:
    assert dump({"k": value}) == f"k: {written}\n"


def test_a_script_stays_readable() -> None:
    script = "#!/bin/bash\nset -e\nif true; then\n  echo '数据: $x'\nfi\n"
    assert dump({"launch.sh": script}).splitlines()[1:] == [f"  {x}" for x in script.splitlines()]


def test_a_value_that_occurs_twice_is_no_alias() -> None:
    shared = {"a": [1]}
    written = dump({"x": shared, "y": shared})
    assert "&" not in written
    assert "*" not in written
    assert load(written) == {"x": shared, "y": shared}


def test_keys_keep_their_order() -> None:
    assert dump({"b": 1, "a": {}}) == "b: 1\na: {}\n"


def test_only_plain_data_is_read() -> None:
    with pytest.raises(yaml.YAMLError):
        load("!!python/object/apply:os.getcwd []")
    with pytest.raises(yaml.YAMLError):
        load("a: 1\n---\nb: 2\n")
