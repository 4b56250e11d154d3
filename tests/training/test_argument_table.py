"""The arguments read from the source are the same as those of the parser that ms-swift builds."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from prl_submit.spec.sections import Environment
from prl_submit.swift.cached import read_installed
from prl_submit.swift.history import load_history
from prl_submit.swift.installed import find_installed
from prl_submit.swift.table import Table, load_table

pytestmark = pytest.mark.training

#: Builds ms-swift's parser, and prints each argument's type, whether it takes several words, choices, default.
ASK = """
import argparse, json
from swift.arguments import RLHFArguments
from swift.utils.utils import _patch_get_type_hints
from transformers import HfArgumentParser
with _patch_get_type_hints():
    parser = HfArgumentParser([RLHFArguments])
print("TABLE" + json.dumps({
    action.dest: [getattr(action.type, "__name__", "union"), action.nargs == "+",
                  [str(choice) for choice in action.choices or []], action.default]
    for action in parser._actions if action.nargs != 0
}, default=lambda value: getattr(value, "value", repr(value))))
"""
KINDS = {"int": "int", "float": "float", "string_to_bool": "bool", "dict": "none", "union": "none"}


@pytest.fixture(scope="module")
def parser() -> dict[str, list[Any]]:
    """The arguments of ms-swift's parser."""
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    table: dict[str, list[Any]] = json.loads(done.stdout.partition("TABLE")[2])
    return table


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The arguments read from the source of the same installation."""
    found = find_installed(Environment(venv=sys.prefix), "/", {})
    assert found is not None
    cache = tmp_path_factory.mktemp("cache")
    table = read_installed(found, {"XDG_CACHE_HOME": str(cache)})
    assert isinstance(table, Table), table
    return table


def test_names(parser: dict[str, list[Any]], read: Table) -> None:
    """The table has exactly the arguments of ms-swift's own parser."""
    assert set(parser) == set(read)
    assert len(read) > 400


def test_kinds_choices_and_defaults(parser: dict[str, list[Any]], read: Table) -> None:
    """All but what the parser leaves to a type of its own (`debug`) or to a call (`optim`).

    `parallelism_config` is an object of accelerate's: the parser makes none of any text.
    """
    differ = {}
    for name, (kind, many, choices, default) in parser.items():
        argument = read[name]
        text = "str" if argument.kind == "json" else argument.kind
        ours = [text, argument.many, list(argument.choices), argument.default]
        theirs = [KINDS.get(kind, "str"), many, choices, default]
        if ours != theirs:
            differ[name] = (ours, theirs)
    assert {name: where(*pair) for name, pair in differ.items()} == {
        "debug": ["choices", "default"],
        "optim": ["default"],
        "parallelism_config": ["kind"],
    }
    assert read["optim"].default is UNSET


def where(ours: list[Any], theirs: list[Any]) -> list[str]:
    """The properties in which two arguments differ."""
    parts = zip(("kind", "many", "choices", "default"), ours, theirs, strict=True)
    return [part for part, mine, other in parts if mine != other]


def test_the_bundled_table_of_this_release_says_the_same(read: Table) -> None:
    """constraints.txt pins the versions of ms-swift and transformers that the history was made with."""
    release = version("ms-swift")
    assert (release, version("transformers")) in load_history().versions
    assert load_table(release) == read


def test_nothing_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from prl_submit.spec.sections import Environment;"
        "from prl_submit.swift.choice import Wanted, choose_table;"
        f"wanted = Wanted(Environment(venv={sys.prefix!r}), '/', True);"
        f"table = choose_table(wanted, lambda: None, {{'HOME': {str(tmp_path)!r}}});"
        "assert len(table) > 400, table.origin;"
        "assert not {'torch', 'swift', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
