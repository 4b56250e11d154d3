"""Merge the layers of a job: profile < extends < spec < environment < command line. A later one overrides.

Below the profile are the numbers of nodes and processes that a platform's variables tell on its nodes.

This takes two steps, because the types of ms-swift's arguments are known only when the job's ms-swift is
known. `lay_sections` merges all sections except `swift:`; from them the caller finds the ms-swift. Then
`lay_arguments` merges the arguments.

Files are read only through the function `read` that the caller gives, so tests can give a dict of files.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem, SpecError
from prl_submit.planning.infer_workers import translate_vllm_mode
from prl_submit.planning.variables import argument_overrides, section_overrides
from prl_submit.spec.nodes import (
    Node,
    Origin,
    lookup,
    mapping,
    merge,
    nest,
    problem_at,
    scalar_node,
)
from prl_submit.spec.yaml import parse_document, parse_value
from prl_submit.swift.argument import Argument
from prl_submit.swift.table import Table

Read = Callable[[str], bytes]


class Flags(Struct, frozen=True):
    """The options of the command line. `backend` and `output` override a --set of the same key."""

    sets: Sequence[str] = ()
    backend: str | None = None
    output: str | None = None


class Setting(Struct, frozen=True):
    """One `--set KEY=VALUE`: the parts of its key, and its value as the user typed it."""

    path: list[str]
    text: str


class Sections(Struct, frozen=True):
    """All layers in one tree, without the overrides of ms-swift's arguments.

    `settings`, `variables`: the --set options and PRL_* variables that `lay_arguments` still has to merge.
    """

    tree: Node
    settings: list[Setting]
    variables: dict[str, str]
    problems: list[Problem]


class Layered(Struct, frozen=True):
    """All layers in one tree, the PRL_* variables that are the job's own, and the problems."""

    tree: Node
    passed_on: dict[str, str]
    problems: list[Problem]


# ------------------------------------------------------------------ files
def read_files(spec_path: str, *, read: Read, profile: Node | None) -> Node:
    """The spec and its bases, merged over the profile. Raises SpecError; OSError if the spec cannot be read."""
    empty = Origin("default")
    tree = merge(Node({}, empty), underscored(profile or Node({}, empty)))
    return merge(tree, _with_bases(spec_path, "spec", read, []))


def underscored(tree: Node) -> Node:
    """The tree with `swift.num-generations` as `swift.num_generations`.

    transformers 4.47-5.19 hf_argparser `_parse_dataclass_field` accepts each option in both spellings. If
    the user wrote both, both stay, and the one with dashes is later refused as an unknown name.
    """
    swift = mapping(mapping(tree).get("swift"))
    if not any("-" in name for name in swift):
        return tree
    spelt = {}
    for name, node in swift.items():
        other = underscored_name(name)
        spelt[name if other in swift else other] = node
    whole = dict(mapping(tree))
    whole["swift"] = Node(spelt, whole["swift"].origin)
    return Node(whole, tree.origin)


def underscored_name(name: str) -> str:
    """`num-generations` becomes `num_generations`. A name with dashes and underscores is not changed."""
    return name if "_" in name or name.startswith("-") else name.replace("-", "_")


def _with_bases(path: str, layer: str, read: Read, seen: list[str]) -> Node:
    """A spec merged over the spec that its `extends` names. `seen`: the files that led to this one."""
    real = os.path.normpath(path)
    tree = underscored(parse_document(read(path), path, layer))
    parent = lookup(tree, "extends")
    if parent is None:
        return tree
    if not isinstance(parent.value, str):
        raise SpecError([problem_at(parent.origin, "extends", "expected one file name")])
    base = os.path.normpath(os.path.join(os.path.dirname(path), os.path.expanduser(parent.value)))
    if base in [*seen, real]:
        chain = " -> ".join([*seen, real, base])
        raise SpecError([problem_at(parent.origin, "extends", f"goes round in a circle: {chain}")])
    try:
        below = _with_bases(base, "base", read, [*seen, real])
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpecError(
            [problem_at(parent.origin, "extends", f"cannot read {base}: {reason}")]
        ) from None
    inherited = {k: v for k, v in mapping(below).items() if k != "extends"}
    return merge(Node(inherited, below.origin), tree)


# ------------------------------------------------------------------ overrides
def lay_sections(
    files: Node, *, profile: Node | None, environ: Mapping[str, str], flags: Flags
) -> Sections:
    """Merge the overrides over the files, except the overrides of ms-swift's arguments."""
    variables = section_overrides(environ, files)
    settings, wrong = parse_settings(flags.sets)
    tree, unreadable = _lay_settings(
        merge(files, variables.tree), [item for item in settings if item.path[0] != "swift"]
    )
    for key, value in (("output", flags.output), ("backend", flags.backend)):
        if value is not None:
            tree = merge(tree, nest([key], Node(value, Origin("flag", label=_FLAGS[key]))))
    problems = [*_late_extends(profile), *variables.problems, *wrong, *unreadable]
    late = [item for item in settings if item.path[0] == "swift"]
    return Sections(tree, late, variables.others, problems)


def lay_size(sections: Sections, size: Mapping[str, tuple[int, str]]) -> Sections:
    """The sections with the keys of `size` that no layer states: this layer is below all others.

    `size`: a number for each key, and the variable of the platform that says it.
    """
    tree = sections.tree
    for key, (number, variable) in size.items():
        if lookup(tree, key) is None:
            leaf = scalar_node(str(number), Origin("platform", label=variable))
            tree = merge(tree, nest(key.split("."), leaf))
    return msgspec.structs.replace(sections, tree=tree)


#: For each key of the spec that has an option of its own: that option.
_FLAGS = {"output": "--output-root", "backend": "--backend"}


def lay_arguments(sections: Sections, table: Table) -> Layered:
    """Merge the overrides of ms-swift's arguments. `table` has their names and types."""
    variables = argument_overrides(sections.variables, table)
    tree = merge(sections.tree, variables.tree)
    tree, unreadable = _lay_settings(tree, sections.settings, table)
    tree, untold = translate_vllm_mode(tree, sections.variables, table)
    problems = [*sections.problems, *variables.problems, *unreadable, *untold]
    return Layered(tree, variables.others, problems)


def parse_settings(sets: Iterable[str]) -> tuple[list[Setting], list[Problem]]:
    """The --set options, and a problem for each one that is not KEY=VALUE."""
    settings, problems = [], []
    for text in sets:
        key, sign, value = text.partition("=")
        path = key.strip().split(".")
        if not sign or not all(path):
            problems.append(_wrong_set(f"expected KEY=VALUE, found {text!r}"))
            continue
        if path[0] == "swift" and len(path) > 1:
            path[1] = underscored_name(path[1])
        settings.append(Setting(path, value))
    return settings, problems


def _lay_settings(
    tree: Node, settings: Iterable[Setting], table: Mapping[str, Argument] | None = None
) -> tuple[Node, list[Problem]]:
    """Merge --set options over the tree. `table`: ms-swift's arguments; None for options of other sections."""
    problems: list[Problem] = []
    for setting in settings:
        try:
            over = setting_tree(setting, table or {})
        except ValueError as error:
            problems.append(_wrong_set(f"{'.'.join(setting.path)}: {error}"))
            continue
        problems += _late_extends(over)
        tree = merge(tree, over)
    return tree, problems


def setting_tree(setting: Setting, table: Mapping[str, Argument]) -> Node:
    """A --set option as a tree. `table`: ms-swift's arguments. Raises ValueError for a value that is not valid."""
    path, text = setting.path, setting.text
    origin = Origin("flag", label="--set")
    argument = table.get(path[1]) if path[0] == "swift" and len(path) == 2 else None
    if text[:1] in ("[", "{") and argument is not None and not argument.many:
        return nest(
            path, scalar_node(text, origin)
        )  # plain text, or JSON that ms-swift will decode
    return nest(path, parse_value(text, origin))


def _wrong_set(message: str) -> Problem:
    return problem_at(Origin("flag", label="--set"), None, message)


def _late_extends(tree: Node | None) -> list[Problem]:
    """An error for `extends` in a profile or --set: it would do nothing, because the bases are read before."""
    node = mapping(tree).get("extends")
    if node is None:
        return []
    message = "only a spec and its bases can name a base"
    return [problem_at(node.origin, "extends", message, "write it into the spec file")]
