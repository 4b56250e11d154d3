"""The layers a spec is made of, laid over each other: profile < extends < spec < environment < --set.

Disk is read through the injected `read`, so everything here can be tested with a dict of files.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Container, Mapping, Sequence

from msgspec import Struct

from prl_submit.errors import Problem, SpecError
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
from prl_submit.spec.scalars import parse_bool, parse_int
from prl_submit.spec.sections import Resources
from prl_submit.spec.suggest import closest
from prl_submit.spec.yaml import parse_document, parse_value
from prl_submit.swift.table import Table

Read = Callable[[str], bytes]

#: PRL_* names with a meaning of their own, and the key of the spec each stands for.
SPECIAL = {
    "PRL_CUDA_VISIBLE_DEVICES": "local.cuda_visible_devices",
    "PRL_BACKEND": "backend",
    "PRL_OUTPUT_ROOT": "output",
}
INFER_WORKERS = "PRL_NUM_INFER_WORKERS"
#: Read by launch.sh and by the project's own reward plugin; never a misspelling of an argument.
FOR_THE_JOB = (
    "PRL_PREFLIGHT",
    "PRL_EVALUATOR_URL",
    "PRL_EVALUATOR_MODEL",
    "PRL_EVALUATOR_API_KEY",
    "PRL_EVALUATOR_TIMEOUT",
    "PRL_EVALUATOR_RETRIES",
    "PRL_EVALUATOR_CONCURRENCY",
)
#: Ours, set for the job; never taken over from the outside.
INTERNAL = "PRL_SUBMIT_"


#: For keys that are none of ms-swift's.
NO_ARGUMENTS = Table({}, "", "")


class Layered(Struct, frozen=True):
    """All layers in one tree, the PRL_* variables that are the job's own, and the problems."""

    tree: Node
    passed_on: dict[str, str]
    problems: list[Problem]


def read_files(spec_path: str, *, read: Read, profile: Node | None) -> Node:
    """`spec_path` with its bases over the profile. Raises SpecError, OSError of the spec itself."""
    empty = Origin("default")
    tree = merge(Node({}, empty), underscored(profile or Node({}, empty)))
    return merge(tree, _with_bases(spec_path, "spec", read, []))


def underscored(tree: Node) -> Node:
    """The tree with `swift.num-generations` as `swift.num_generations`.

    transformers 4.47-5.19 hf_argparser `_parse_dataclass_field` takes each option in both spellings. What is
    written in both stays, and is refused as a name that ms-swift does not have.
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
    """`num-generations` -> `num_generations`; a mixture is no spelling of anything."""
    return name if "_" in name or name.startswith("-") else name.replace("-", "_")


def outside_swift(files: Node, sets: Sequence[str]) -> Node:
    """The spec plus every --set outside `swift.`.

    Needed to find the ms-swift version before `swift.` values can be typed.
    """
    for text in sets:
        if not text.startswith("swift"):
            try:
                files = merge(files, parse_set(text, NO_ARGUMENTS))
            except ValueError:
                continue  # said where all layers are laid
    return files


def load_layers(
    spec_path: str,
    *,
    read: Read,
    profile: Node | None,
    environ: Mapping[str, str],
    sets: Sequence[str],
    table: Table,
) -> Layered:
    """Both steps, for a table that does not depend on the files."""
    files = read_files(spec_path, read=read, profile=profile)
    return apply_overrides(files, profile=profile, environ=environ, sets=sets, table=table)


def apply_overrides(
    files: Node,
    *,
    profile: Node | None,
    environ: Mapping[str, str],
    sets: Sequence[str],
    table: Table,
) -> Layered:
    """Lay the overrides over the files. What is wrong is in `problems`."""
    problems = _late_extends(profile)
    tree = files
    env_tree, passed_on, wrong = _environment(environ, table, tree)
    problems += wrong
    tree = merge(tree, env_tree)
    for text in sets:
        try:
            over = parse_set(text, table)
        except ValueError as error:
            problems.append(problem_at(Origin("flag", label="--set"), None, str(error)))
            continue
        problems += _late_extends(over)
        tree = merge(tree, over)
    if _takes_infer_workers(table):
        tree = _shared_gpus(tree)
    else:
        tree = _infer_workers(environ, tree, table, problems)
    return Layered(tree, passed_on, problems)


def _late_extends(tree: Node | None) -> list[Problem]:
    """Bases are read before profiles and --set are looked at; one named there would do nothing."""
    node = mapping(tree).get("extends")
    if node is None:
        return []
    message = "only a spec and its bases can name a base"
    return [problem_at(node.origin, "extends", message, "write it into the spec file")]


def parse_set(text: str, table: Table) -> Node:
    """`swift.beta=0.1` as a tree. Raises ValueError."""
    key, sign, value = text.partition("=")
    path = key.strip().split(".")
    if not sign or not all(path):
        raise ValueError(f"expected KEY=VALUE, found {text!r}")
    origin = Origin("flag", label="--set")
    if path[0] == "swift" and len(path) > 1:
        path[1] = underscored_name(path[1])
    argument = table.get(path[1]) if path[0] == "swift" and len(path) == 2 else None
    if value[:1] in ("[", "{") and argument is not None and not argument.many:
        return nest(path, scalar_node(value, origin))  # text, or JSON that ms-swift reads itself
    try:
        return nest(path, parse_value(value, origin))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _with_bases(path: str, layer: str, read: Read, seen: list[str]) -> Node:
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


def _environment(
    environ: Mapping[str, str], table: Table, tree: Node
) -> tuple[Node, dict[str, str], list[Problem]]:
    if not any(name.startswith("PRL_") for name in environ):
        return Node({}, Origin("env")), {}, []
    keys = _variables(table)
    found = Node({}, Origin("env"))
    passed_on: dict[str, str] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        value = environ[name]
        # Empty is unset, as in the scripts' own ${PRL_X:-default}.
        if not name.startswith("PRL_") or name.startswith(INTERNAL) or not value:
            continue
        if name == INFER_WORKERS and not _takes_infer_workers(table):
            continue  # `_infer_workers` says what it means
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            problems.append(problem_at(Origin("env", label=name), None, "is not UTF-8"))
            continue
        if name in keys:
            if name == "PRL_BACKEND" and _is_from_spec(lookup(tree, "backend")):
                continue  # the one key whose spec beats the environment (contract, section 1)
            found = merge(found, _variable(name, keys[name], value, table, problems))
        elif name not in FOR_THE_JOB and (near := closest(name, [*keys, *FOR_THE_JOB], 0.87)):
            problems.append(
                problem_at(
                    Origin("env", label=name),
                    None,
                    "no such override",
                    f"did you mean {near}? (unset {name} if it is not for prl-submit)",
                )
            )
        elif told := _of_another_version(name, table):
            problems.append(told)
            if told.severity == "warning":
                passed_on[name] = value
        elif meant_by := _by_meaning(name, keys):
            problems.append(meant_by)
            passed_on[name] = value
        else:
            passed_on[name] = value
    return found, passed_on, problems


def _of_another_version(name: str, table: Table) -> Problem | None:
    """PRL_TRAIN_TYPE once overrode an argument; passed on, it would silently change nothing.

    An error where it is an argument of a release we know; a warning where ms-swift 2 had it under so
    common a name (PRL_BATCH_SIZE) that it may be the job's own.
    """
    from prl_submit.swift.history import load_history  # few have variables of their own
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
        Origin("env", label=name),
        None,
        f"overrides nothing: {argument} {told[0]}",
        f"{hint} (unset {name} if it is not for prl-submit)" if is_sure else hint,
        "error" if is_sure and table.is_certain else "warning",
    )


def _by_meaning(name: str, keys: Container[str]) -> Problem | None:
    """A warning for PRL_LR and its like: it may be the job's own, and it overrides nothing."""
    from prl_submit.spec import meanings

    word = name.removeprefix("PRL_").lower()
    own = [key.rpartition(".")[2] for key in meanings.KEYS.get(word, ())]
    wanted = [f"PRL_{key.upper()}" for key in (*meanings.ARGUMENTS.get(word, ()), *own)]
    named = [key for key in wanted if key in keys]
    if not named:
        return None
    message = "overrides nothing, and is passed on to the job"
    hint = f"for an override write {' or '.join(dict.fromkeys(named))}"
    return problem_at(Origin("env", label=name), None, message, hint, "warning")


def backend_of(tree: Node, environ: Mapping[str, str]) -> str | None:
    """The backend that is asked for, before all layers are laid; as `_environment` decides it."""
    node = lookup(tree, "backend")
    written = node.value if node is not None and isinstance(node.value, str) else None
    if _is_from_spec(node) or (node is not None and node.origin.layer == "flag"):
        return written
    return environ.get("PRL_BACKEND") or written


def _is_from_spec(node: Node | None) -> bool:
    return node is not None and node.origin.layer in ("base", "spec")


def _variables(table: Table) -> dict[str, str]:
    keys = {f"PRL_{name.upper()}": f"swift.{name}" for name in table}
    keys |= {f"PRL_{name.upper()}": f"resources.{name}" for name in Resources.__struct_fields__}
    return keys | SPECIAL


def _variable(
    name: str,
    key: str,
    value: str,
    table: Table,
    problems: list[Problem],
) -> Node:
    origin = Origin("env", label=name)
    path = key.split(".")
    argument = table.get(path[-1]) if path[0] == "swift" else None
    try:
        many = argument is not None and argument.many
        if many and value[:1] not in "[\"'":
            # The scripts wrote `--reward_funcs $PRL_REWARD_FUNCS`: bash split the words.
            leaf = Node([scalar_node(word, origin) for word in value.split()], origin)
        elif argument is not None and not many and argument.kind in ("str", "json"):
            leaf = scalar_node(value, origin)
        else:
            leaf = parse_value(value, origin)
    except ValueError as error:
        problems.append(problem_at(origin, key, str(error)))
        return Node({}, origin)
    return nest(path, leaf)


def _takes_infer_workers(table: Table) -> bool:
    """ms-swift 3.2 to 3.4 read num_infer_workers; 3.5 passes over it, for it has vllm_mode."""
    return "num_infer_workers" in table and "vllm_mode" not in table


def _shared_gpus(tree: Node) -> Node:
    """`vllm_mode: colocate` for an ms-swift that calls it num_infer_workers, one for each process.

    So one spec serves all releases. What is written of num_infer_workers itself counts more; the two stay
    side by side, which is told as an error, where a file says both and they differ.
    """
    swift = mapping(lookup(tree, "swift"))
    mode, workers = swift.get("vllm_mode"), swift.get("num_infer_workers")
    if mode is None or mode.value != "colocate":
        return tree
    processes = lookup(tree, "resources.nproc_per_node")
    count = processes.value if processes is not None else "1"
    if workers is None:
        workers = (
            scalar_node(count, mode.origin) if isinstance(count, str) else Node(None, mode.origin)
        )
    elif workers.value != count and workers.origin.layer not in ("env", "flag"):
        return tree
    told = {"vllm_mode": Node(None, mode.origin), "num_infer_workers": workers}
    return merge(tree, nest(["swift"], Node(told, mode.origin)))


def _infer_workers(
    environ: Mapping[str, str], tree: Node, table: Table, problems: list[Problem]
) -> Node:
    """ms-swift 3.2's num_infer_workers: one per process meant what vllm_mode colocate means now."""
    workers = environ.get(INFER_WORKERS)
    if not workers:
        return tree
    processes = lookup(tree, "resources.nproc_per_node")
    wanted = processes.value if processes is not None else "1"
    if not isinstance(wanted, str) or parse_int(wanted) is None:
        return tree  # wrong by itself
    use_vllm = lookup(tree, "swift.use_vllm")
    is_used = use_vllm is not None and bool(parse_bool(str(use_vllm.value)))
    if problem := _wrong_workers(workers, wanted, table, is_used):
        problems.append(problem)
        return tree
    if not is_used or "vllm_mode" not in table:
        return tree
    mode = mapping(lookup(tree, "swift")).get("vllm_mode")
    if mode is not None and mode.origin.layer in ("env", "flag"):
        return tree  # today's own argument, given as late or later
    origin = Origin("env", label=INFER_WORKERS)
    return merge(tree, nest(["swift", "vllm_mode"], scalar_node("colocate", origin)))


def _wrong_workers(workers: str, wanted: str, table: Table, is_used: bool) -> Problem | None:
    """What cannot be said to the ms-swift that will run by PRL_NUM_INFER_WORKERS."""
    hint = "today: swift.vllm_mode (server or colocate) and swift.vllm_tensor_parallel_size"
    if "vllm_mode" not in table:
        if not is_used:
            return None
        message = f"ms-swift {table.version} has neither num_infer_workers (3.2-3.4) nor vllm_mode"
        hint = f"unset {INFER_WORKERS}, or run a newer ms-swift"
    elif parse_int(workers) != parse_int(wanted):
        ignored = "num_infer_workers" in table  # 3.5
        gone = "passed over since ms-swift 3.5" if ignored else "gone since ms-swift 3.6"
        message = f"{gone}, and {workers} is not nproc_per_node ({wanted})"
    else:
        return None
    return problem_at(Origin("env", label=INFER_WORKERS), "swift.num_infer_workers", message, hint)
