"""A script's statements -> the text of a job spec.

Where only the run decides which way the script goes, each way is tried. The ways count as one where
all that lead to a training lead to the same one.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from prl_submit.errors import PrlSubmitError, Problem, SpecError
from prl_submit.importing.bash.conditions import shown
from prl_submit.importing.bash.scope import Place, Scope
from prl_submit.importing.bash.statements import Statement
from prl_submit.importing.findings import Findings, assumptions
from prl_submit.importing.interpreter.follower import Ended, Followed, Outside, follow
from prl_submit.importing.interpreter.other_scripts import ReadFile
from prl_submit.importing.interpreter.ways import Key, Undecided
from prl_submit.importing.job_spec.found_platform import names_of_platform
from prl_submit.importing.job_spec.sbatch import Header, read_header
from prl_submit.importing.job_spec.spec_tree import ChooseTable, make_tree
from prl_submit.spec.nodes import Node
from prl_submit.spec.write import Tree, write_spec
from prl_submit.spec.yaml import parse_document

_LONGEST_NAME = 40
#: How many ways of a script are followed at most.
MAX_ATTEMPTS = 24


class Wishes(Struct, frozen=True, kw_only=True):
    """What the user says beside the script.

    `swift_version`: what the spec is to say of ms-swift. `assumed`: values that only the run knows.
    """

    name: str | None = None
    swift_version: str | None = None
    assumed: dict[str, str] = {}


class TranslatedWay(Struct, frozen=True, kw_only=True):
    """A script that was followed one way: the text of the spec, if there is one, and the problems."""

    text: str | None
    problems: list[Problem]
    undecided: list[Undecided]
    ended: Ended | None
    #: The variables that a platform sets, where the script takes its nodes from them.
    platform_names: frozenset[str] = frozenset()
    #: True if this way takes the nodes, or the node's rank, from a platform's variables.
    on_platform: bool = False


class Translation(Struct, frozen=True, kw_only=True):
    """A script that was read, with everything that is needed to make a spec of it."""

    text: str
    statements: list[Statement]
    problems: list[Problem]
    place: Place
    choose: ChooseTable
    wishes: Wishes
    read: ReadFile

    def attempt(
        self, choices: dict[Key, int], from_platform: frozenset[str] = frozenset()
    ) -> TranslatedWay:
        """Make the spec.

        `choices`: which way to go where only the run decides. `from_platform`: the variables that a
        platform sets; none if the job is not one of a platform.
        """
        findings = Findings(self.place.script)
        findings.take(self.problems)
        header = read_header(self.text, findings)
        outside = Outside(
            scheduler=_set_by_slurm(header),
            assumed=self.wishes.assumed,
            choices=choices,
            from_platform=from_platform - set(self.wishes.assumed),
            read=self.read,
        )
        followed = follow(self.statements, self.place, findings, outside)
        if followed.start is None and not findings.has_errors:
            hint = "a script that ends in `swift rlhf …` or `torchrun … -m swift.cli.rlhf …`"
            findings.error(None, "no `swift rlhf` is started in it", hint)
        text, on_platform = self._written(followed, header, findings)
        _note_outside(followed.scope, text, findings)
        _note_unset(followed.scope, findings)
        _note_assumed(followed.scope, outside, findings)
        return TranslatedWay(
            text=None if findings.has_errors or followed.start is None else text,
            problems=findings.problems,
            undecided=followed.undecided,
            ended=followed.ended,
            platform_names=names_of_platform(followed, header, findings.deciding),
            on_platform=on_platform,
        )

    def _written(self, followed: Followed, header: Header, findings: Findings) -> tuple[str, bool]:
        """The text of the spec, and whether it is one of a platform."""
        file = posixpath.basename(self.place.script)
        wishes = self.wishes
        name = wishes.name or _name(header.name or file, findings)
        made = make_tree(followed, header, name, self.choose, wishes.swift_version, findings)
        comment = f"made by prl-submit import from {_one_line(file)}"
        text = write_spec(made.sections, comment, made.comments)
        _check_written(text, made.sections, findings)
        _check_secrets(made.sections, findings)
        return text, made.on_platform


# --- the ways of a script --------------------------------------------------------------------------


def explore(translation: Translation) -> TranslatedWay:
    """The spec of a script; one for a platform, where a way of the script takes its nodes from there."""
    made, ways = _explored(translation, frozenset())
    names = frozenset[str]().union(*(way.platform_names for way in ways))
    if not names:
        return made
    found, ways = _explored(translation, names)
    more = names.union(*(way.platform_names for way in ways))
    if more != names:  # a way that was not followed before takes a variable of the platform's
        found, ways = _explored(translation, more)
    return found if any(way.on_platform for way in ways) else made


def _explored(
    translation: Translation, from_platform: frozenset[str]
) -> tuple[TranslatedWay, list[TranslatedWay]]:
    """The attempt of a script, where all ways that lead to a training lead to the same one.

    Else the first attempt, in which only a shell knows what is undecided. With it come all attempts.
    """
    seen: list[TranslatedWay] = []

    def attempt(choices: dict[Key, int]) -> TranslatedWay:
        seen.append(translation.attempt(choices, from_platform))
        return seen[-1]

    first = attempt({})
    if first.text is not None or not first.undecided:
        return first, seen
    budget = [MAX_ATTEMPTS]
    found = _ways(attempt, {}, first, budget)
    words = "whichever way {} goes, the training is the same"
    if found and _platform_decides(seen, from_platform):
        ways, found = found, [made for made in found if made.on_platform] or found
        if len({made.text for made in ways}) > 1:
            words = "{}: the way of a machine without the platform's variables is left out"
    if not found or len({made.text for made in found}) != 1:
        return first, seen
    problems = list(found[0].problems)
    for key in dict.fromkeys(one.key for way in seen for one in way.undecided):
        problems.append(_note(key, problems, words))
    made = TranslatedWay(text=found[0].text, problems=problems, undecided=[], ended=None)
    return made, seen


def _platform_decides(ways: list[TranslatedWay], from_platform: frozenset[str]) -> bool:
    """True if a platform's variables alone decide which way a script goes.

    A way that takes nothing from them is then the one of a machine without a platform.
    """
    undecided = [one for way in ways for one in way.undecided]
    return all(one.names and set(one.names) <= from_platform for one in undecided)


def _ways(
    attempt: Callable[[dict[Key, int]], TranslatedWay],
    choices: dict[Key, int],
    made: TranslatedWay,
    budget: list[int],
) -> list[TranslatedWay] | None:
    """All attempts that lead to a training; None where one fails, or there are too many."""
    if made.text is not None:
        return [made]
    if made.ended == "failure":
        return []  # the job would fail there, without a training
    following = next((one for one in made.undecided if one.key not in choices), None)
    if following is None:
        return None
    found: list[TranslatedWay] = []
    for way in range(following.ways):
        budget[0] -= 1
        if budget[0] < 0:
            return None
        chosen = {**choices, following.key: way}
        inner = _ways(attempt, chosen, attempt(chosen), budget)
        if inner is None:
            return None
        found += inner
    return found


def _note(key: Key, problems: list[Problem], words: str) -> Problem:
    file, line, text = key
    own = next((problem.file for problem in problems if problem.file), None)
    message = words.format(f"`{shown(text, 50)}`")
    return Problem(file=file or own, line=line, key=None, message=message, severity="note")


# --- what is known before --------------------------------------------------------------------------


def _set_by_slurm(header: Header) -> dict[str, str]:
    """The variables that Slurm sets in a job with such a header."""
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


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


# --- what is written ------------------------------------------------------------------------------


def _check_written(text: str, tree: dict[str, Tree], findings: Findings) -> None:
    """Read the text back. Raises PrlSubmitError where it differs, which is a fault of prl-submit."""
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
    """Report a value of a variable that looks secret, wherever it came from into the spec."""
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


# --- what came from outside -----------------------------------------------------------------------


def _note_outside(scope: Scope, text: str, findings: Findings) -> None:
    """Note what the script would have taken from where it is called."""
    for variable, line in scope.outside.items():
        if variable == "@":
            findings.note(line, "the script's own arguments ($@) are none")
        elif variable == "HOME" and scope.place.home in text:
            findings.note(line, f"$HOME is written down as it is here: {scope.place.home}")


def _note_unset(scope: Scope, findings: Findings) -> None:
    """Note the variables that are read, and set only in ways that the script does not go."""
    for name, line in scope.read_unset.items():
        message = f"{name} is taken as not set: the script does not come to where it would be"
        findings.note(line, message, f"{assumptions((name,))} gives it a value")


def _note_assumed(scope: Scope, outside: Outside, findings: Findings) -> None:
    """Note the assumptions that have changed nothing."""
    for name in outside.assumed:
        if not name.isdigit() and name not in scope.needed:
            why = "the script sets it" if name in scope.variables else "the script does not ask"
            findings.note(None, f"--assume {name}=… is not needed: {why}")
