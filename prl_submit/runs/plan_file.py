"""spec.yaml and plan.json: the files of a run that hold the spec and the plan of its job."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.errors import PrlSubmitError
from prl_submit.planning.changes import Change
from prl_submit.planning.plan import ENTRY_POINT, Plan, Resolved, grouped
from prl_submit.runs.layout import PLAN
from prl_submit.spec.nodes import Node
from prl_submit.spec.scalars import resolve
from prl_submit.system.git import GitReader
from prl_submit.system.reading import PLAN_BYTES, decode_json, read_record
from prl_submit.system.shell import Shell


class Git(Struct, frozen=True):
    """The commit of the working directory. `dirty`: it also had changes that were not committed."""

    commit: str
    dirty: bool


class Resumption(Struct, frozen=True, kw_only=True):
    """A `resume` that changed values of the job: when it was, from which checkpoint, and what changed."""

    at: str
    checkpoint: str
    changes: list[Change]


class PlanFile(Struct, frozen=True, kw_only=True):
    """The content of plan.json. `swift_version`, `argument_table`: the ms-swift whose arguments were checked.

    `resumes`: each `resume --set`, oldest first. `values` and `plan` have the values of the last one.
    """

    values: list[Resolved]
    swift_version: str | None
    argument_table: str
    git: Git | None
    plan: Plan
    resumes: list[Resumption] = []


def git_state(workdir: str, shell: Shell, environ: Mapping[str, str] = os.environ) -> Git | None:
    """The commit of `workdir`. None if it is no git repository, git is missing, or git does not answer."""
    git = GitReader(shell, workdir, environ)
    head = git.ask("rev-parse", "--verify", "HEAD", timeout=5)
    if head.code != 0:
        return None
    changes = git.ask_of_files("status", "--porcelain", "--ignore-submodules=dirty")
    return Git(head.out.strip(), changes.code != 0 or bool(changes.out.strip()))


def encode_plan(file: PlanFile) -> bytes:
    """The bytes of plan.json. `plan.arguments` is left out, because `argv` has the same words."""
    plan = msgspec.to_builtins(file.plan)
    del plan["arguments"]
    document = {
        "values": file.values,
        "argv": file.plan.argv,
        "swift_version": file.swift_version,
        "argument_table": file.argument_table,
        "git": file.git,
        "resumes": file.resumes,
        "plan": plan,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def read_plan(run: Path) -> PlanFile:
    """plan.json of a run directory. Raises PrlSubmitError if it is missing or damaged."""
    path = run / PLAN
    try:
        return _decode(read_record(path, PLAN_BYTES))
    except OSError as error:
        raise PrlSubmitError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # msgspec's DecodeError, and UnicodeDecodeError
        raise PrlSubmitError(f"{path}: is damaged: {error}") from None


def find_plan(run: Path) -> Plan | None:
    """The plan of a run directory; None if plan.json is missing or damaged."""
    file = find_plan_file(run)
    return None if file is None else file.plan


def find_plan_file(run: Path) -> PlanFile | None:
    """plan.json of a run directory; None if it is missing or damaged."""
    try:
        return read_plan(run)
    except PrlSubmitError:
        return None


def _decode(data: bytes) -> PlanFile:
    """The content of plan.json. Version 0.1.0 also wrote `plan.arguments`, which is then used. Raises ValueError."""
    document = decode_json(data)
    try:
        argv, plan = document["argv"], document["plan"]
        words = argv[argv.index(ENTRY_POINT) + 1 :]
        document["plan"] = {"arguments": grouped(words), **plan}
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it has no job: {error!r}") from None
    return msgspec.convert(document, PlanFile)


def dump_spec(tree: Node) -> bytes:
    """spec.yaml: the tree with all bases and overrides, without what a platform's variables say.

    Reading the text gives the same tree.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes each text that prl-submit or a YAML 1.1 parser would otherwise take for another value."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        # Double quotes, because PyYAML writes U+0085 unescaped in single quotes, where YAML takes it for a line end.
        quoted = resolve(value) != value or value in ("", "~", "<<") or not value.isprintable()
        style = '"' if quoted else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def bare(dumper: Any, value: _Bare) -> Any:
        # The tag that PyYAML itself would find, because with any other tag it writes quotes or the tag.
        tag = dumper.resolve(yaml.ScalarNode, str(value), (True, False))
        return dumper.represent_scalar(tag, str(value))

    Dumper.add_representer(str, text)
    Dumper.add_representer(_Bare, bare)
    data = _data(Node({k: v for k, v in _items(tree) if k != "extends"}, tree.origin))
    dumped: str = yaml.dump(
        data,
        Dumper=Dumper,
        allow_unicode=True,
        sort_keys=False,
        default_flow_style=False,
        width=100,
    )
    return dumped.encode("utf-8")


class _Bare(str):
    """A text that is written into spec.yaml without quotes."""


def _items(tree: Node) -> list[tuple[str, Node]]:
    return list(tree.value.items()) if isinstance(tree.value, dict) else []


def _data(node: Node) -> Any:
    if isinstance(node.value, dict):
        items = node.value.items()
        return {key: _data(child) for key, child in items if not child.origin.is_told_by_node}
    if isinstance(node.value, list):
        return [_data(child) for child in node.value]
    if node.value is None:
        return None
    seen = resolve(node.value)
    if node.plain and not isinstance(seen, str):
        # Floats stay as the user wrote them: `1e-6`, not 1e-06.
        return seen if isinstance(seen, (bool, int)) else _Bare(node.value)
    return node.value
