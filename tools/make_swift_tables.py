#!/usr/bin/env python3
"""Make prl_submit/swift/history.json and registries.json of every release since 3.0.

history.json has the arguments of `swift rlhf`, and registries.json has the names that ms-swift registers.

The script downloads the published wheels of ms-swift and, for each, the newest transformers that it allows
(about 250 MB, kept in --wheels). It reads their source with the same code that reads an installed ms-swift;
nothing is installed or imported. It takes about a minute when the wheels are there.

usage: python tools/make_swift_tables.py [--wheels DIR] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import UNSET

from prl_submit.swift.argument import Argument
from prl_submit.swift.argument_source import read_arguments
from prl_submit.swift.history import number
from prl_submit.swift.registries import Registries
from prl_submit.swift.registry_source import read_registries

ROOT = Path(__file__).parent.parent
FIRST = (3, 0)

Tables = dict[str, dict[str, Argument]]
#: An entry's name -> `[first, last, *entry]` for each span of consecutive releases with an equal entry.
Spans = dict[str, list[list[Any]]]


def released() -> list[str]:
    """ms-swift's releases since 3.0, oldest first. Of a release and its post-releases only the last one."""
    listed = _found(r"Available versions: (.*)", _pip("index", "versions", "ms-swift"))
    versions = sorted(listed.split(", "), key=number)
    last = {version.partition(".post")[0]: version for version in versions}
    return [version for version in last.values() if number(version) >= FIRST]


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        sys.exit(f"no {pattern!r} in {text!r}")
    return found[1].strip()


def _pip(*words: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wheel(folder: Path, name: str, requirement: str, version: str | None = None) -> Path:
    """The wheel of a requirement. It is downloaded if the folder does not have it yet."""
    if version and (found := list(folder.glob(f"{name}-{version}-*.whl"))):
        return found[0]
    place = folder / re.sub(r"[^\w.]", "_", requirement)
    if not any(place.glob("*.whl")):
        _pip("download", "-q", "--no-deps", "--only-binary", ":all:", "-d", str(place), requirement)
    return next(place.glob("*.whl"))


def bound(swift: zipfile.ZipFile) -> str:
    """The requirement on transformers in the metadata of an ms-swift wheel."""
    metadata = next(name for name in swift.namelist() if name.endswith(".dist-info/METADATA"))
    text = swift.read(metadata).decode()
    return "transformers" + _found(r"^Requires-Dist: transformers *([<>=!][^;\n]*)$", text)


def finder(*wheels: zipfile.ZipFile) -> Callable[[str], tuple[str, bool] | None]:
    """A function that returns the source of a module from one of several wheels."""

    def find(module: str) -> tuple[str, bool] | None:
        path = module.replace(".", "/")
        for archive in wheels:
            for name, is_package in ((f"{path}.py", False), (f"{path}/__init__.py", True)):
                try:
                    return archive.read(name).decode(), is_package
                except KeyError:
                    continue
        return None

    return find


def read_wheels(folder: Path) -> tuple[Tables, dict[str, str], list[Registries]]:
    """The arguments by version, the version of transformers that each was read with, and the registries."""
    tables: Tables = {}
    registries = []
    beside = {}
    for version in released():
        path = wheel(folder, "ms_swift", f"ms-swift=={version}", version)
        with zipfile.ZipFile(path) as swift:
            other = wheel(folder, "transformers", bound(swift))
            with zipfile.ZipFile(other) as transformers:
                tables[version] = read_arguments(finder(swift, transformers))
                registries.append(read_registries(finder(swift)))
            beside[version] = other.name.split("-")[1]
        print(f"{version}: {len(tables[version])} arguments, transformers {beside[version]}")
    return tables, beside, registries


def bundle(registries: Sequence[Registries]) -> dict[str, Any]:
    """The registries of all releases, in the form that `prl_submit.swift.registries.Bundle` reads."""
    kinds: Spans = {}
    names: Spans = {}
    others: dict[str, Spans] = {}
    for place, found in enumerate(registries):
        for kind, entry in found.models.items():
            add(kinds, kind, place, [[entry.architectures, entry.template, entry.templates]])
        for name, named in found.names.items():
            add(names, name, place, list(named))
        for argument, words in found.others.items():
            for word in words:
                add(others.setdefault(argument, {}), word, place, [])
    return {"kinds": kinds, "names": names, "others": others}


def add(spans: Spans, name: str, place: int, entry: list[Any]) -> None:
    """Add a release to the last span if its entry is equal, else begin a new span."""
    found = spans.setdefault(name, [])
    if found and found[-1][1] == place - 1 and found[-1][2:] == entry:
        found[-1][1] = place
    else:
        found.append([place, place, *entry])


def spans(name: str, versions: Sequence[str], tables: Tables) -> list[list[Any]]:
    """`[first, last, kind, many, choices, default]` for each span of releases with an equal argument."""
    found: list[list[Any]] = []
    for place, version in enumerate(versions):
        argument = tables[version].get(name)
        if argument is None:
            continue
        entry = [argument.kind, int(argument.many), list(argument.choices)]
        if argument.default is not UNSET:
            entry.append(argument.default)
        if found and found[-1][1] == place - 1 and found[-1][2:] == entry:
            found[-1][1] = place
        else:
            found.append([place, place, *entry])
    return found


def main() -> None:
    """Write both files and print what they hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    cache = Path.home() / ".cache" / "prl-submit" / "wheels"
    parser.add_argument("--wheels", type=Path, default=cache)
    parser.add_argument("--out", type=Path, default=ROOT / "prl_submit" / "swift")
    options = parser.parse_args()
    tables, beside, registries = read_wheels(options.wheels)
    versions = list(tables)
    names = sorted({name for table in tables.values() for name in table})
    lines = [
        f"  {json.dumps(name)}: {json.dumps(spans(name, versions, tables), ensure_ascii=False)}"
        for name in names
    ]
    head = json.dumps([[version, beside[version]] for version in versions])
    text = f'{{"versions": {head},\n "arguments": {{\n' + ",\n".join(lines) + "\n}}\n"
    (options.out / "history.json").write_text(text, encoding="utf-8")
    print(f"history.json: {len(versions)} releases, {len(names)} names, {len(text)} characters")
    text = json.dumps(bundle(registries), separators=(",", ":"), ensure_ascii=False)
    (options.out / "registries.json").write_text(text.replace("]],", "]],\n") + "\n", "utf-8")
    print(f"registries.json: {len(text)} characters")


if __name__ == "__main__":
    main()
