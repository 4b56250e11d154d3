"""A shell script that starts `swift rlhf` -> a job spec. The script is read, never run.

bytes --bash--> statements --follow--> the training and what is around it --job--> tree --write--> YAML
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from msgspec import Struct

from prl_submit.errors import PrlSubmitError, Problem, SpecError
from prl_submit.script.bash import read_script
from prl_submit.script.findings import Findings
from prl_submit.script.follow import follow
from prl_submit.script.job import ChooseTable, make_tree
from prl_submit.script.sbatch import Header, read_header
from prl_submit.script.scope import Place, Scope
from prl_submit.script.tree import Tree
from prl_submit.script.write import write_spec
from prl_submit.swift.table import Table
from prl_submit.tree import Node
from prl_submit.yaml import parse_document

_LONGEST_NAME = 40


class Imported(Struct, frozen=True):
    """A spec's text with what is to be said about it; no text where something is an error."""

    text: str | None
    problems: list[Problem]


def import_script(
    data: bytes,
    place: Place,
    table: Table | ChooseTable,
    name: str | None = None,
    *,
    swift_version: str | None = None,
) -> Imported:
    """Translate a script. `place` says where it lies; nothing is run.

    `table`: the arguments of the ms-swift that will run, or what chooses them once it is known where.
    `swift_version`: what the spec is to say of it.
    """
    choose: ChooseTable = (lambda where: table) if isinstance(table, Table) else table
    findings = Findings(place.script)
    statements, wrong = read_script(data, place.script)
    findings.take(wrong)
    if wrong and not statements:
        return Imported(None, findings.problems)
    header = read_header(data.decode("utf-8"), findings)
    followed = follow(statements, place, findings, _set_by_slurm(header))
    if followed.start is None:
        message = "no `swift rlhf` is started in it"
        hint = "a script that ends in `swift rlhf …` or `torchrun … -m swift.cli.rlhf …`"
        if not any(problem.severity == "error" for problem in findings.problems):
            findings.error(None, message, hint)
    name = name or _name(header.name or posixpath.basename(place.script), findings)
    tree = make_tree(followed, header, name, choose, swift_version, findings)
    comment = f"made by prl-submit import from {_one_line(posixpath.basename(place.script))}"
    text = write_spec(tree, comment)
    _check_written(text, tree, findings)
    _check_secrets(tree, findings)
    _note_outside(followed.scope, text, findings)
    problems = sorted(findings.problems, key=lambda p: (p.line or 0, p.severity))
    if any(problem.severity == "error" for problem in problems):
        return Imported(None, problems)
    return Imported(text, problems)


def _check_written(text: str, tree: dict[str, Tree], findings: Findings) -> None:
    """The text says what the tree says. Raises PrlSubmitError: a fault of the writer's."""
    if not tree:
        return
    try:
        is_same = _texts(parse_document(text.encode("utf-8"), "spec", "spec")) == tree
    except SpecError as error:
        findings.error(None, f"the spec cannot be read: {error.problems[0].message}", None)
        return
    if not is_same:
        message = "the spec could not be written so that it reads back as it is"
        raise PrlSubmitError(message, "this is a fault of prl-submit: please report the script")


def _texts(node: Node) -> Tree:
    if isinstance(node.value, dict):
        return {key: _texts(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [_texts(child) for child in node.value]
    return node.value


def _check_secrets(tree: Tree, findings: Findings) -> None:
    """No value of a variable that looks secret is in the spec, wherever it came from."""
    for text in _scalars(tree):
        if any(value == text or (len(value) > 7 and value in text) for value in findings.hidden):
            hint = "environment.secrets takes it from where you submit; pass it by its variable"
            findings.error(None, "the value of a secret would be written into the spec", hint)


def _scalars(tree: Tree) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree or ():
        if not isinstance(tree, str):
            yield from _scalars(child)


def _note_outside(scope: Scope, text: str, findings: Findings) -> None:
    """What the script would have taken from where it is called."""
    for variable, line in scope.outside.items():
        if variable == "@":
            findings.note(line, "the script's own arguments ($@) are none")
        elif scope.place.home in text:
            findings.note(line, f"$HOME is written down as it is here: {scope.place.home}")


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _set_by_slurm(header: Header) -> dict[str, str]:
    if not header.is_there:
        return {}
    nodes = str(header.nodes or 1)
    known = {"SLURM_NNODES": nodes, "SLURM_JOB_NUM_NODES": nodes}
    if header.gpus is not None:
        known["SLURM_GPUS_ON_NODE"] = str(header.gpus)
    if header.cpus_per_task is not None:
        known["SLURM_CPUS_PER_TASK"] = str(header.cpus_per_task)
    return known


def _name(text: str, findings: Findings) -> str:
    """A spec's name from a file's: `Train_GRPO 7B.sh` -> `train-grpo-7b`."""
    bare = re.sub(r"[^a-z0-9]+", "-", text.removesuffix(".sh").lower())
    name = bare.strip("-")[:_LONGEST_NAME].strip("-")
    if not name:
        findings.note(None, f"no name can be made of {text!r}: it is `job`", "--name NAME")
    return name or "job"
