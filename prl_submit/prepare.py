"""SPEC and options -> a plan with its problems: where disk and environment are read."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import msgspec

from prl_submit import backends
from prl_submit.errors import PrlSubmitError, Problem
from prl_submit.inputs.spec_files import find_profile, of_another_user, read_spec_files, spec_file
from prl_submit.planning.layers import apply_overrides, backend_of, outside_swift
from prl_submit.planning.plan import Context, Planned, make_plan
from prl_submit.spec.nodes import Node, lookup, mapping
from prl_submit.spec.sections import Conda, Environment
from prl_submit.spec.traits import DEFAULT, find_traits, full_name, traits_of
from prl_submit.swift.choice import Wanted, choose_table
from prl_submit.swift.table import Table
from prl_submit.system.user_paths import absolute

#: The user of a pod that root submits: "restricted" namespaces take no root.
NOBODY_IN_PARTICULAR = 1000
#: The distribution, as the probe and pip name it.
DISTRIBUTION = "ms-swift"
#: Variables that say where Python looks for packages.
_PYTHON = ("PYTHONPATH", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "HOME")


def plan_spec(
    spec: str,
    *,
    backend: str | None,
    sets: tuple[str, ...],
    profile: str | None,
    output_root: str | None,
) -> Planned:
    """Everything but submission, of a spec file or a run. Raises PrlSubmitError where it cannot be read."""
    from prl_submit.inputs import check_inputs
    from prl_submit.inputs.local_files import check_local, check_presence, check_training
    from prl_submit.memory import memory_problems
    from prl_submit.probe import check_probed, load_facts

    for what in (spec, os.getcwd(), output_root or ""):
        if any("\ud800" <= char <= "\udfff" for char in what):  # how Python reads other bytes
            raise PrlSubmitError(f"{os.fsencode(what)!r} is not UTF-8", "rename it")
    spec = spec_file(spec, output_root)
    environ = _environ()
    if output_root:
        sets = (*sets, f"output={absolute(output_root)}")
    overlay = find_profile(profile)
    files = read_spec_files(spec, overlay)
    table = table_for(outside_swift(files, sets), backend, environ)
    layered = apply_overrides(files, profile=overlay, environ=environ, sets=sets, table=table)
    context = Context(
        cwd=os.getcwd(),
        home=os.path.expanduser("~"),
        backend=None if backend is None else traits_of(backend).name,
        uid=os.getuid() or NOBODY_IN_PARTICULAR,
        gid=os.getgid() or NOBODY_IN_PARTICULAR,
    )
    planned = make_plan(layered, table, spec, context)
    planned.problems.extend(backends.check_section(planned))
    problems = [*planned.problems, *check_presence(planned), *check_local(planned, environ)]
    if planned.plan.environment.setup:
        from prl_submit.inputs.setup_lines import check_setup  # not for the others' jobs
        from prl_submit.system import shell

        problems += check_setup(planned, shell.run)
    problems += [*check_training(planned), *of_another_user(spec)]
    problems += check_inputs(planned.job, planned.plan.workdir)
    facts = load_facts(planned.plan.backend, planned.plan.slurm.partition, environ)
    problems += check_probed(planned, facts, time.time())
    planned = msgspec.structs.replace(planned, problems=problems)
    problems += memory_problems(planned, facts, environ)
    problems.sort(key=lambda problem: (problem.severity, problem.file or "", problem.line or 0))
    return msgspec.structs.replace(planned, problems=problems)


def table_of(spec: str) -> Table:
    """The argument table of a spec's ms-swift. Raises SpecError where it cannot be read."""
    files = read_spec_files(spec_file(spec, None), find_profile(None))
    return table_for(files, None, _environ())


def errors_of(planned: Planned) -> list[Problem]:
    """The problems that stop a submission."""
    return [problem for problem in planned.problems if problem.severity == "error"]


def _environ() -> dict[str, str]:
    """The environment, paths made absolute and names full."""
    environ = dict(os.environ)
    if root := environ.get("PRL_OUTPUT_ROOT"):
        environ["PRL_OUTPUT_ROOT"] = absolute(root)
    if backend := environ.get("PRL_BACKEND"):
        environ["PRL_BACKEND"] = full_name(backend)
    return environ


def table_for(tree: Node, backend: str | None, environ: Mapping[str, str]) -> Table:
    """The table of the ms-swift that will run a job; `backend` is what the command line says.

    A wrong value counts as none here: it is told where the spec is typed.
    """
    name = full_name(backend or backend_of(tree, environ) or DEFAULT)
    traits = find_traits(name)  # None: told where the spec is typed
    in_pods = traits is not None and traits.in_pods
    has_image = in_pods or lookup(tree, "environment.container") is not None
    written = os.path.expanduser(_text(tree, "workdir") or ".")
    workdir = os.path.normpath(os.path.join(os.getcwd(), written))
    wanted = Wanted(
        _environment(tree), workdir, not has_image, _text(tree, "environment.swift_version")
    )

    def probed() -> str | None:
        return None if has_image else _probed(name, _text(tree, "slurm.partition"), environ)

    return choose_table(wanted, probed, environ)


def _text(tree: Node, key: str) -> str | None:
    node = lookup(tree, key)
    return node.value if node is not None and isinstance(node.value, str) else None


def _environment(tree: Node) -> Environment:
    conda = lookup(tree, "environment.conda")
    whole: str | Conda | None = _text(tree, "environment.conda")
    if mapping(conda):
        name = _text(tree, "environment.conda.name")
        root = _text(tree, "environment.conda.root")
        whole = Conda(name=name, root=root) if name else None
    texts = {name: _text(tree, f"environment.env.{name}") for name in _PYTHON}
    env = {name: text for name, text in texts.items() if text is not None}
    return Environment(conda=whole, venv=_text(tree, "environment.venv"), env=env)


def _probed(backend: str, partition: str | None, environ: Mapping[str, str]) -> str | None:
    """The version on the nodes, where all that were probed have one and the same."""
    from prl_submit.probe import load_facts

    facts = load_facts(backend, partition, environ)
    nodes = getattr(facts, "nodes", ())  # damaged facts have none; that is told elsewhere
    versions = {node.versions.get(DISTRIBUTION) for node in nodes}
    return versions.pop() if len(versions) == 1 else None
