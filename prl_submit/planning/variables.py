"""PRL_* variables of the user's environment. They override the spec, or are passed on to the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from prl_submit.errors import Problem
from prl_submit.planning.infer_workers import INFER_WORKERS, takes_infer_workers
from prl_submit.spec.nodes import Node, Origin, lookup, merge, nest, problem_at, scalar_node
from prl_submit.spec.sections import Resources
from prl_submit.spec.suggest import closest
from prl_submit.spec.yaml import parse_value
from prl_submit.swift.argument import Argument
from prl_submit.swift.table import Table

#: Variables that override a key outside `swift:`. They are the same for every ms-swift.
SECTION_KEYS = {f"PRL_{name.upper()}": f"resources.{name}" for name in Resources.__struct_fields__}
SECTION_KEYS |= {
    "PRL_CUDA_VISIBLE_DEVICES": "local.cuda_visible_devices",
    "PRL_BACKEND": "backend",
    "PRL_OUTPUT_ROOT": "output",
}
#: Variables that launch.sh and jobs/plugins/prl_rewards.py read, so they are no misspelt overrides.
FOR_THE_JOB = (
    "PRL_PREFLIGHT",
    "PRL_EVALUATOR_URL",
    "PRL_EVALUATOR_MODEL",
    "PRL_EVALUATOR_API_KEY",
    "PRL_EVALUATOR_TIMEOUT",
    "PRL_EVALUATOR_RETRIES",
    "PRL_EVALUATOR_CONCURRENCY",
)
#: The beginning of variables that prl-submit sets for the job. They are never taken from the user's environment.
INTERNAL = "PRL_SUBMIT_"
#: Variables that stand for an option of `submit`, and are nothing to the job.
OPTIONS = ("PRL_NEW_RUN",)


class Overrides(NamedTuple):
    """The tree that some variables override. `others`: the variables that override none of these keys."""

    tree: Node
    others: dict[str, str]
    problems: list[Problem]


def section_overrides(environ: Mapping[str, str], tree: Node) -> Overrides:
    """The overrides of keys outside `swift:`, for a spec whose files are `tree`."""
    found = Node({}, Origin("env"))
    others: dict[str, str] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        value = environ[name]
        # An empty variable counts as unset, as in `${PRL_X:-default}` of users' scripts.
        if not name.startswith("PRL_") or name.startswith(INTERNAL) or not value:
            continue
        if name in OPTIONS:
            continue
        if not _is_utf8(value):
            problems.append(problem_at(_origin(name), None, "is not UTF-8"))
        elif name not in SECTION_KEYS:
            others[name] = value
        elif not (name == "PRL_BACKEND" and _is_from_spec(lookup(tree, "backend"))):
            # PRL_BACKEND alone does not override a spec, because the backend in a spec is part of the job.
            found = merge(found, _override(name, SECTION_KEYS[name], value, None, problems))
    return Overrides(found, others, problems)


def argument_overrides(variables: Mapping[str, str], table: Table) -> Overrides:
    """The overrides of ms-swift's arguments. `variables`: the `others` of `section_overrides`."""
    found = Node({}, Origin("env"))
    passed_on: dict[str, str] = {}
    problems: list[Problem] = []
    keys = {f"PRL_{name.upper()}": name for name in table} if variables else {}
    for name, value in variables.items():
        if name == INFER_WORKERS and not takes_infer_workers(table):
            continue  # infer_workers.py translates it for other releases
        if name in keys:
            key = f"swift.{keys[name]}"
            found = merge(found, _override(name, key, value, table[keys[name]], problems))
            continue
        problem = _no_override(name, [*keys, *SECTION_KEYS], table)
        if problem is not None:
            problems.append(problem)
        if problem is None or problem.severity == "warning":
            passed_on[name] = value
    return Overrides(found, passed_on, problems)


def _origin(name: str) -> Origin:
    return Origin("env", label=name)


def _is_utf8(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_from_spec(node: Node | None) -> bool:
    return node is not None and node.origin.layer in ("base", "spec")


def _override(
    name: str, key: str, value: str, argument: Argument | None, problems: list[Problem]
) -> Node:
    """A tree with the variable's value at its key. If the value is not valid: an empty tree, and a problem."""
    try:
        return nest(key.split("."), _leaf(value, argument, _origin(name)))
    except ValueError as error:
        problems.append(problem_at(_origin(name), key, str(error)))
        return Node({}, _origin(name))


def _leaf(value: str, argument: Argument | None, origin: Origin) -> Node:
    if argument is not None and argument.many and value[:1] not in "[\"'":
        # Users' scripts have `--reward_funcs $PRL_REWARD_FUNCS`, where bash splits the value into words.
        return Node([scalar_node(word, origin) for word in value.split()], origin)
    if argument is not None and not argument.many and argument.kind in ("str", "json"):
        return scalar_node(value, origin)
    return parse_value(value, origin)


def _no_override(name: str, known: list[str], table: Table) -> Problem | None:
    """The problem of a variable that overrides nothing; None if the user certainly meant it for the job."""
    near = None if name in FOR_THE_JOB else closest(name, [*known, *FOR_THE_JOB, *OPTIONS], 0.87)
    if near is not None:
        hint = f"did you mean {near}? (unset {name} if it is not for prl-submit)"
        return problem_at(_origin(name), None, "no such override", hint)
    return _of_another_version(name, table) or _by_meaning(name, known)


def _of_another_version(name: str, table: Table) -> Problem | None:
    """A variable such as PRL_TRAIN_TYPE, which overrides an argument of another ms-swift.

    If it were passed on to the job, it would change nothing, and nobody would notice. It is an error if a
    release since 3.0 has the argument. If only ms-swift 2 had it, under a common name such as batch_size,
    it is a warning, because the user may have meant the variable for the job.
    """
    from prl_submit.swift.history import load_history
    from prl_submit.swift.renames import RENAMED
    from prl_submit.swift.unknown_names import of_another_version

    argument = name.removeprefix("PRL_").lower()
    told = of_another_version(argument, table)
    if told is None:
        return None
    today = RENAMED.get(argument)
    hint = f"write PRL_{today.upper()}" if today is not None and today in table else told[1]
    is_sure = argument in load_history().arguments or argument == "sft_type"
    return problem_at(
        _origin(name),
        None,
        f"overrides nothing: {argument} {told[0]}",
        f"{hint} (unset {name} if it is not for prl-submit)" if is_sure else hint,
        "error" if is_sure and table.is_certain else "warning",
    )


def _by_meaning(name: str, known: list[str]) -> Problem | None:
    """A warning for variables such as PRL_LR: they override nothing, but the user may have meant them for the job."""
    from prl_submit.spec import meanings

    word = name.removeprefix("PRL_").lower()
    own = [key.rpartition(".")[2] for key in meanings.KEYS.get(word, ())]
    wanted = [f"PRL_{key.upper()}" for key in (*meanings.ARGUMENTS.get(word, ()), *own)]
    named = [key for key in wanted if key in known]
    if not named:
        return None
    message = "overrides nothing, and is passed on to the job"
    hint = f"for an override write {' or '.join(dict.fromkeys(named))}"
    return problem_at(_origin(name), None, message, hint, "warning")
