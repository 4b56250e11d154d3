"""Profiles: values of a site or a person in `prl-submit.toml`, which every spec can override.

[profile.default]           # used if --profile is not given
backend = "slurm"
[profile.default.slurm]
partition = "gpu"
"""

from __future__ import annotations

from typing import Any

from prl_submit.errors import Problem, SpecError
from prl_submit.spec.nodes import Node, Origin, mapping, merge, scalar_node
from prl_submit.spec.suggest import did_you_mean

FILE = "prl-submit.toml"
DEFAULT = "default"


def read_profile(files: list[tuple[str, bytes]], name: str | None) -> Node | None:
    """The values of the profile `name`, merged from `files` (pairs of file name and content).

    If two files set one key, the first file wins. Without a name: the profile `default`, or None if no
    file has one. Raises SpecError if there is no profile of that name or a file is not valid.
    """
    profiles = [_profiles(file, data) for file, data in files]
    wanted = name or DEFAULT
    found = [tree[wanted] for tree in profiles if wanted in tree]
    if not found and name is not None:
        known = sorted({key for tree in profiles for key in tree})
        where = ", ".join(file for file, _ in files) or f"no {FILE} was found"
        hint = did_you_mean(name, known) or (f"there are: {', '.join(known)}" if known else None)
        raise SpecError([_problem(None, f"no profile {name!r} ({where})", hint, "--profile")])
    result: Node | None = None
    for tree in reversed(found):
        result = tree if result is None else merge(result, tree)
    return result


def _problem(file: str | None, message: str, hint: str | None, label: str | None) -> Problem:
    return Problem(file=file, line=None, key=None, message=message, hint=hint, label=label)


def _profiles(file: str, data: bytes) -> dict[str, Node]:
    """The profiles of one file by name. Raises SpecError if the file holds anything else."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
    try:
        content = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError([_problem(file, f"is not TOML: {error}", None, None)]) from None
    except RecursionError:
        raise SpecError([_problem(file, "is nested too deeply", None, None)]) from None
    extra = sorted(set(content) - {"profile"})
    if extra:
        hint = "write the values under [profile.NAME]"
        raise SpecError([_problem(file, f"unknown key {extra[0]!r}", hint, None)])
    tree = _node(content.get("profile", {}), Origin("profile", file))
    for name, node in (mapping(tree) or {"profile": tree}).items():
        if not isinstance(node.value, dict):
            hint = "write [profile.NAME], and the values below that line"
            raise SpecError([_problem(file, f"{name!r} is not a profile", hint, None)])
    return mapping(tree)


def _node(value: Any, origin: Origin) -> Node:
    """A TOML value as a node. Raises SpecError for a text with a NUL byte."""
    if isinstance(value, dict):
        return Node({key: _node(child, origin) for key, child in value.items()}, origin)
    if isinstance(value, list):
        return Node([_node(child, origin) for child in value], origin)
    if isinstance(value, str):
        if "\0" in value:
            raise SpecError(
                [_problem(origin.file, "holds a NUL, which no argument can hold", None, None)]
            )
        return Node(value, origin)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return scalar_node(text, origin)
