#!/usr/bin/env python3
"""Make prl_submit/swift/tables/VERSION.json from the ms-swift installed in this environment.

Asks the very parser that ms-swift builds (transformers' HfArgumentParser over RLHFArguments), so
what the table accepts is what `swift rlhf` accepts. Needs the `train` extra; takes 15-20 s.

usage: python tools/make_swift_table.py [OUT_DIR]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

_KINDS = {"int": "int", "float": "float", "string_to_bool": "bool", "dict": "json"}


def describe(action: argparse.Action) -> list[Any]:
    """`[kind]`, `[kind, "+"]` or `[kind, "", [choices]]` of one argparse action."""
    kind = _KINDS.get(getattr(action.type, "__name__", ""), "str")
    entry: list[Any] = [kind]
    if action.nargs == "+" or action.choices:
        entry.append("+" if action.nargs == "+" else "")
    if action.choices:
        entry.append([str(choice) for choice in action.choices])
    return entry


def arguments() -> dict[str, list[Any]]:
    """Every argument of `swift rlhf` by its name with underscores; `--no_x` twins left out."""
    from swift.arguments import RLHFArguments
    from transformers import HfArgumentParser

    parser = HfArgumentParser([RLHFArguments])
    return {
        action.dest: describe(action)
        for action in sorted(parser._actions, key=lambda action: action.dest)
        if action.nargs != 0
    }


def main() -> None:
    """Write the table and say where."""
    default = Path(__file__).parent.parent / "prl_submit" / "swift" / "tables"
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    version = importlib.metadata.version("ms-swift")
    table = arguments()
    lines = [f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in table.items()]
    path = out / f"{version}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{path}: {len(table)} arguments")


if __name__ == "__main__":
    main()
