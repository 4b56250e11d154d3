"""SPEC and options -> a plan with its problems: where disk and environment are read."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from prl_submit import backends
from prl_submit.errors import PrlSubmitError, Problem, SpecError
from prl_submit.inputs.spec_files import (
    find_profile,
    is_of_a_run,
    of_another_user,
    read_spec_files,
    spec_file,
)
from prl_submit.planning.layers import Flags, Sections, lay_sections, lay_size
from prl_submit.planning.make import make_plan
from prl_submit.planning.plan import Context, Planned
from prl_submit.planning.variables import INTERNAL, OPTIONS
from prl_submit.runs.layout import SPEC
from prl_submit.spec.nodes import Node, lookup, problem_at
from prl_submit.spec.sections import Environment, JobSpec
from prl_submit.spec.traits import DEFAULT, Traits, find_traits, full_name, traits_of
from prl_submit.spec.typed import read_spec
from prl_submit.swift.choice import Wanted, choose_table
from prl_submit.swift.table import Table
from prl_submit.system.user_paths import absolute, as_typed

if TYPE_CHECKING:
    from pathlib import Path

#: The user of a pod that root submits: "restricted" namespaces take no root.
NOBODY_IN_PARTICULAR = 1000
#: The distribution, as the probe and pip name it.
DISTRIBUTION = "ms-swift"


class Asked(Struct, frozen=True):
    """A spec with what the user said beside it: all layers except those of ms-swift's arguments.

    `spec`: the file that was read. `sections`: its layers. `after`: RUNs that must succeed before the job starts.
    """

    spec: str
    sections: Sections
    flags: Flags
    environ: Mapping[str, str]
    after: Sequence[str] = ()

    @property
    def sweep(self) -> Node | None:
        """The section `sweep`; None if the spec is of one job."""
        return lookup(self.sections.tree, "sweep")


def plan_spec(spec: str, **options: Any) -> Planned:
    """Everything but submission, of a spec file or a run. Raises PrlSubmitError where it cannot be read.

    `options`: those of `read_asked`. A spec with a section `sweep` is planned by `sweeps.sweep_plans`.
    """
    asked = read_asked(spec, **options)
    if asked.sweep is not None:
        message = "is a sweep, and this takes one job"
        raise SpecError([problem_at(asked.sweep.origin, "sweep", message, "remove the section")])
    return plan_asked(asked)


def plan_asked(asked: Asked) -> Planned:
    """The plan of one job with all its problems."""
    planned = make_plan(
        asked.sections, lambda job: choose(job, asked.environ), asked.spec, context()
    )
    return after_runs(with_problems(planned, asked, of_another_user(asked.spec)), asked)


def after_runs(planned: Planned, asked: Asked) -> Planned:
    """The plan of a job that waits for the runs of `--after`."""
    if not asked.after or errors_of(planned):
        return planned
    from prl_submit.backends.waiting.after import wait_for

    return wait_for(planned, asked.after)


def with_problems(planned: Planned, asked: Asked, others: list[Problem]) -> Planned:
    """The plan with what this machine's disk says of the job, and `others`, in order of severity and line."""
    problems = _all_problems(planned, others, asked.environ)
    problems.sort(key=lambda problem: (problem.severity, problem.file or "", problem.line or 0))
    return msgspec.structs.replace(planned, problems=problems)


def read_asked(
    spec: str,
    *,
    backend: str | None,
    sets: tuple[str, ...],
    profile: str | None,
    output_root: str | None,
    is_node: bool = True,
    after: Sequence[str] = (),
) -> Asked:
    """The layers of a spec file or a run. Raises PrlSubmitError where it cannot be read.

    `is_node`: if this machine has the variables of a platform, it is a node of the job, so they tell the
    job's size where the spec does not.
    """
    _require_utf8(spec, os.getcwd(), output_root or "")
    spec = spec_file(spec, output_root)
    overlay = None if profile is None and is_of_a_run(spec) else find_profile(profile)
    flags = _flags(backend, sets, output_root)
    asked = _read_layers(spec, overlay, _environ(), flags, is_node)
    return msgspec.structs.replace(asked, after=after)


def plan_again(
    run: Path,
    *,
    backend: str | None = None,
    sets: tuple[str, ...] = (),
    profile: str | None = None,
    output_root: str | None = None,
    after: Sequence[str] = (),
) -> Planned:
    """The plan of a run's spec, for the same job again. Raises PrlSubmitError where it cannot be read.

    PRL_* variables of now change nothing: the run's values hold. Those that the run passed on to its job
    are passed on again.
    """
    _require_utf8(str(run), os.getcwd(), output_root or "")
    environ = _environ_of(run)
    overlay = None if profile is None else find_profile(profile)
    spec = os.path.relpath(run / SPEC)
    flags = _flags(backend, sets, output_root)
    asked = _read_layers(spec, overlay, environ, flags, is_node=False)
    return plan_asked(msgspec.structs.replace(asked, after=after))


def plan_changed(run: Path, sets: tuple[str, ...]) -> Planned:
    """The plan of a run's spec with these --set options, for `resume`. Raises SpecError with all problems.

    Its tree has `workdir` and `output` as the run's spec.yaml has them.
    """
    from prl_submit.inputs.spec_files import read_own_spec
    from prl_submit.planning.changes import changed_keys, refusals, with_own_folders

    planned = plan_again(run, sets=sets)
    problems = [*errors_of(planned), *refusals(changed_keys(sets), planned.problems)]
    if problems:
        raise SpecError(problems)
    return with_own_folders(planned, read_own_spec(os.path.relpath(run / SPEC)))


def _flags(backend: str | None, sets: tuple[str, ...], output_root: str | None) -> Flags:
    """The options of the command line, with a full name and an absolute path."""
    return Flags(
        sets,
        None if backend is None else traits_of(backend).name,
        as_typed(output_root) if output_root else None,
    )


def _read_layers(
    spec: str, overlay: Node | None, environ: Mapping[str, str], flags: Flags, is_node: bool
) -> Asked:
    """The layers of a spec file. `overlay`: the profile."""
    files = read_spec_files(spec, overlay)
    sections = lay_sections(files, profile=overlay, environ=environ, flags=flags)
    if is_node:
        sections = _with_size(sections, environ)
    return Asked(spec, sections, flags, environ)


def _with_size(sections: Sections, environ: Mapping[str, str]) -> Sections:
    """The sections with the numbers of nodes and processes that this machine tells as a node of the job."""
    backend = lookup(sections.tree, "backend")
    traits = find_traits(str(backend.value) if backend is not None else DEFAULT)
    if traits is None or not traits.nodes_tell_size:
        return sections
    spec, _ = read_spec(sections.tree)
    return lay_size(sections, backends.load_options(traits.name).size_of_nodes(spec, environ))


def _require_utf8(*texts: str) -> None:
    """Raises PrlSubmitError for a name that is not UTF-8: Python reads its other bytes as surrogates."""
    for text in texts:
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise PrlSubmitError(f"{os.fsencode(text)!r} is not UTF-8", "rename it")


def context() -> Context:
    """Where the user types, and whose files a pod writes: the user's, for root another's."""
    return Context(
        cwd=os.getcwd(),
        home=os.path.expanduser("~"),
        uid=os.getuid() or NOBODY_IN_PARTICULAR,
        gid=os.getgid() or NOBODY_IN_PARTICULAR,
    )


def _all_problems(
    planned: Planned, others: list[Problem], environ: Mapping[str, str]
) -> list[Problem]:
    """The problems of the plan, what this machine's disk says of the job, and `others`."""
    from prl_submit.inputs import check_inputs
    from prl_submit.inputs.local_files import check_local, check_presence, check_training
    from prl_submit.memory import memory_problems
    from prl_submit.probe import check_probed, load_facts

    plan = planned.plan
    problems = [*planned.problems, *backends.check_section(planned)]
    facts = load_facts(plan.backend, plan.slurm.partition, environ)
    # One message for each matter. In place of a wrong value the plan has a default, so more would be false;
    # and what the probe found says more than what is seen without it.
    probed = _about_others(check_probed(planned, facts, time.time()), errors_of(planned))
    problems += check_presence(planned)
    problems += _about_others(check_local(planned, environ), [*errors_of(planned), *probed])
    if plan.environment.setup:
        from prl_submit.inputs.setup_lines import check_setup
        from prl_submit.system import shell

        problems += check_setup(planned, shell.run)
    problems += [*check_training(planned), *others]
    problems += check_inputs(planned.job, plan.workdir)
    problems += probed
    so_far = msgspec.structs.replace(planned, problems=problems)
    return [*problems, *memory_problems(so_far, facts, environ)]


def _about_others(problems: list[Problem], told: list[Problem]) -> list[Problem]:
    """The problems whose key no problem in `told` has."""
    keys = {problem.key for problem in told}
    return [problem for problem in problems if problem.key not in keys]


def errors_of(planned: Planned) -> list[Problem]:
    """The problems that stop a submission."""
    return [problem for problem in planned.problems if problem.severity == "error"]


def table_of(spec: str) -> Table:
    """The arguments of a spec's ms-swift. Raises SpecError where the spec cannot be read."""
    profile = find_profile(None)
    return table_for(read_spec_files(spec_file(spec, None), profile), profile, _environ())


def table_for(files: Node, profile: Node | None, environ: Mapping[str, str]) -> Table:
    """The arguments of the ms-swift that will run the job of these files."""
    sections = lay_sections(files, profile=profile, environ=environ, flags=Flags())
    return choose(read_spec(sections.tree)[0], environ)


def plan_alone(files: Node) -> Planned:
    """The plan of a spec that is not in a file yet, without profiles and PRL_* variables."""
    sections = lay_sections(files, profile=None, environ={}, flags=Flags())
    return make_plan(sections, lambda job: choose(job, os.environ), "spec", context())


def choose(spec: JobSpec, environ: Mapping[str, str]) -> Table:
    """The arguments of the ms-swift that will run a job with these sections."""
    backend = spec.backend or DEFAULT
    has_image = _is_elsewhere(spec.environment, traits_of(backend))
    workdir = absolute(spec.workdir, os.getcwd(), os.path.expanduser("~"))
    wanted = Wanted(spec.environment, workdir, not has_image)

    def probed() -> str | None:
        return None if has_image else _probed(backend, spec.slurm.partition, environ)

    return choose_table(wanted, probed, environ)


def _is_elsewhere(environment: Environment, traits: Traits) -> bool:
    """True if this machine does not see the job's Python environment.

    If a platform starts the job's container, a conda or virtual environment on the shared disk is seen. The
    container's own Python may differ from this machine's, so a version in the spec is believed instead.
    """
    if traits.in_pods or environment.container is not None:
        return True
    is_named = bool(environment.conda or environment.venv)
    return traits.own_image and environment.swift_version is not None and not is_named


def _probed(backend: str, partition: str | None, environ: Mapping[str, str]) -> str | None:
    """The version on the nodes, where all that were probed have one and the same."""
    from prl_submit.probe import load_facts

    facts = load_facts(backend, partition, environ)
    nodes = getattr(facts, "nodes", ())  # damaged facts have none; that is told elsewhere
    versions = {node.versions.get(DISTRIBUTION) for node in nodes}
    return versions.pop() if len(versions) == 1 else None


def _environ() -> dict[str, str]:
    """The environment, paths made absolute and names full."""
    environ = dict(os.environ)
    if root := environ.get("PRL_OUTPUT_ROOT"):
        environ["PRL_OUTPUT_ROOT"] = as_typed(root)
    if backend := environ.get("PRL_BACKEND"):
        environ["PRL_BACKEND"] = full_name(backend)
    return environ


def _environ_of(run: Path) -> dict[str, str]:
    """The environment for the same job again: now's, but the PRL_* variables are those that the run passed on.

    The values of secrets are in no file, so they are now's. Raises PrlSubmitError if a secret is not set.
    """
    from prl_submit.runs.plan_file import read_plan

    plan = read_plan(run).plan
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PRL_")}
    environ |= {
        name: value
        for name, value in plan.exports.items()
        if name.startswith("PRL_") and name not in plan.environment.env
    }
    for name in plan.environment.secrets:
        if name.startswith("PRL_"):
            if name not in os.environ:
                message = f"{name} is not set in your environment, and {run.name} had it"
                raise PrlSubmitError(message, f"export {name}=… first")
            environ[name] = os.environ[name]
    return environ


def unused_variables(run: Path) -> list[str]:
    """The PRL_* variables of now that would change the job if it were submitted from its spec file."""
    then = _environ_of(run)
    apart = (*OPTIONS, "PRL_OUTPUT_ROOT", "PRL_PREFLIGHT")
    return [
        name
        for name, value in sorted(os.environ.items())
        if name.startswith("PRL_") and not name.startswith(INTERNAL) and value
        if name not in apart and then.get(name) != value
    ]
