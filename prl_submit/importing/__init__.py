"""A shell script that starts `swift rlhf` -> a job spec. The script is read, never run.

bytes --bash--> statements --follow--> the training and what is around it --job--> tree --write--> YAML
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from prl_submit.errors import PrlSubmitError, Problem, SpecError
from prl_submit.importing.attempts import Attempt, explore
from prl_submit.importing.bash.scope import Place, Scope
from prl_submit.importing.bash.statements import Statement, read_script
from prl_submit.importing.findings import Findings, assumptions
from prl_submit.importing.interpreter.follower import Outside, follow
from prl_submit.importing.interpreter.other_scripts import ReadFile
from prl_submit.importing.interpreter.ways import Key
from prl_submit.importing.job_spec.sbatch import Header, read_header
from prl_submit.importing.job_spec.sections import ChooseTable, make_tree
from prl_submit.importing.job_spec.tree import Tree
from prl_submit.importing.job_spec.yaml_text import write_spec
from prl_submit.spec.nodes import Node
from prl_submit.spec.yaml import parse_document
from prl_submit.swift.table import Table

_LONGEST_NAME = 40


class Imported(Struct, frozen=True):
    """A spec's text with what is to be said about it; no text where something is an error."""

    text: str | None
    problems: list[Problem]


class Wishes(Struct, frozen=True, kw_only=True):
    """What the user says beside the script.

    `swift_version`: what the spec is to say of ms-swift. `assumed`: values that only the run knows.
    """

    name: str | None = None
    swift_version: str | None = None
    assumed: dict[str, str] = {}


def import_script(
    data: bytes,
    place: Place,
    table: Table | ChooseTable,
    wishes: Wishes | str | None = None,
    read: ReadFile = lambda path: None,
) -> Imported:
    """Translate a script. `place` says where it lies; nothing is run.

    `table`: the arguments of the ms-swift that will run, or what chooses them once it is known where.
    `wishes` may be the job's name alone. `read` gives the files that the script reads in.
    """
    wanted = wishes if isinstance(wishes, Wishes) else Wishes(name=wishes)
    choose: ChooseTable = (lambda where: table) if isinstance(table, Table) else table
    statements, wrong = read_script(data, place.script)
    if wrong and not statements:
        return Imported(None, wrong)

    def attempt(choices: dict[Key, int]) -> Attempt:
        findings = Findings(place.script)
        findings.take(wrong)
        outside = Outside(assumed=wanted.assumed, choices=choices, read=read)
        return _attempt(data, statements, place, choose, wanted, outside, findings)

    made = explore(attempt)
    order = {place.script: 0}
    problems = sorted(
        made.problems,
        key=lambda p: (order.get(p.file or "", 1), p.file or "", p.line or 0, p.severity),
    )
    return Imported(made.text, problems)


def _attempt(
    data: bytes,
    statements: list[Statement],
    place: Place,
    choose: ChooseTable,
    wanted: Wishes,
    outside: Outside,
    findings: Findings,
) -> Attempt:
    header = read_header(data.decode("utf-8"), findings)
    outside = msgspec.structs.replace(outside, scheduler=_set_by_slurm(header))
    followed = follow(statements, place, findings, outside)
    if followed.start is None:
        message = "no `swift rlhf` is started in it"
        hint = "a script that ends in `swift rlhf …` or `torchrun … -m swift.cli.rlhf …`"
        if not any(problem.severity == "error" for problem in findings.problems):
            findings.error(None, message, hint)
    name = wanted.name or _name(header.name or posixpath.basename(place.script), findings)
    tree = make_tree(followed, header, name, choose, wanted.swift_version, findings)
    comment = f"made by prl-submit import from {_one_line(posixpath.basename(place.script))}"
    text = write_spec(tree, comment)
    _check_written(text, tree, findings)
    _check_secrets(tree, findings)
    _note_outside(followed.scope, text, findings)
    _note_unset(followed.scope, findings)
    _note_assumed(followed.scope, outside, findings)
    is_wrong = any(problem.severity == "error" for problem in findings.problems)
    return Attempt(
        text=None if is_wrong or followed.start is None else text,
        problems=findings.problems,
        undecided=followed.undecided,
        ended=followed.ended,
    )


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
        elif variable == "HOME" and scope.place.home in text:
            findings.note(line, f"$HOME is written down as it is here: {scope.place.home}")


def _note_unset(scope: Scope, findings: Findings) -> None:
    for name, line in scope.read_unset.items():
        message = f"{name} is taken as not set: the script does not come to where it would be"
        findings.note(line, message, f"{assumptions((name,))} gives it a value")


def _note_assumed(scope: Scope, outside: Outside, findings: Findings) -> None:
    """Assumptions that have changed nothing."""
    for name in outside.assumed:
        if not name.isdigit() and name not in scope.needed:
            why = "the script sets it" if name in scope.variables else "the script does not ask"
            findings.note(None, f"--assume {name}=… is not needed: {why}")


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
