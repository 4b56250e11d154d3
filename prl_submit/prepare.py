"""SPEC and options -> a plan with its problems: where disk and environment are read."""

from __future__ import annotations

import os
import time

import msgspec

from prl_submit import backends
from prl_submit.cli.shared_options import absolute
from prl_submit.errors import PrlSubmitError, Problem, SpecError
from prl_submit.planning.layers import apply_overrides, outside_swift, read_files
from prl_submit.planning.plan import Context, Planned, make_plan
from prl_submit.spec.nodes import Node, merge
from prl_submit.spec.suggest import closest
from prl_submit.spec.yaml import MAX_BYTES
from prl_submit.swift.table import Table
from prl_submit.system.reading import read_record, read_regular
from prl_submit.which_spec import folders_of_its_run, is_of_a_run, of_another_user, spec_file
from prl_submit.which_swift import choose

#: The user of a pod that root submits: "restricted" namespaces take no root.
NOBODY_IN_PARTICULAR = 1000


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
    overlay = _profile(profile)
    files = _files(spec, overlay)
    table = choose(outside_swift(files, sets), backend, environ)
    layered = apply_overrides(files, profile=overlay, environ=environ, sets=sets, table=table)
    context = Context(
        cwd=os.getcwd(),
        home=os.path.expanduser("~"),
        backend=None if backend is None else backends.normalize(backend),
        uid=os.getuid() or NOBODY_IN_PARTICULAR,
        gid=os.getgid() or NOBODY_IN_PARTICULAR,
    )
    planned = make_plan(layered, table, spec, context)
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
    return choose(_files(spec_file(spec, None), _profile(None)), None, _environ())


def _files(spec: str, profile: Node | None) -> Node:
    try:
        files = read_files(spec, read=_SpecFiles(), profile=profile)
        folders = folders_of_its_run(spec)
        return files if folders is None else merge(files, folders)
    except OSError as error:
        raise SpecError([_unreadable(spec, error)]) from None


def _environ() -> dict[str, str]:
    """The environment, paths made absolute and names full."""
    environ = dict(os.environ)
    if root := environ.get("PRL_OUTPUT_ROOT"):
        environ["PRL_OUTPUT_ROOT"] = absolute(root)
    if backend := environ.get("PRL_BACKEND"):
        environ["PRL_BACKEND"] = backends.ALIASES.get(backend, backend)
    return environ


def errors_of(planned: Planned) -> list[Problem]:
    """The problems that stop a submission."""
    return [problem for problem in planned.problems if problem.severity == "error"]


class _SpecFiles:
    """Reads a spec and then its bases, each of which is named by the file before it.

    A spec of another user must not show, nor write into a run, what that user may not read itself.
    """

    def __init__(self) -> None:
        self._naming: str | None = None

    def __call__(self, path: str) -> bytes:
        naming, self._naming = self._naming, path
        if naming is None:
            return read_record(path, MAX_BYTES + 1) if is_of_a_run(path) else _read(path)
        from prl_submit.system.owners import could_read, owner_of, user_name

        writer = owner_of(naming)
        if writer not in (None, 0, os.geteuid()) and not could_read(writer, path):
            raise OSError(None, f"{user_name(writer)}, whose {naming} is, may not read it", path)
        return read_regular(path, MAX_BYTES + 1)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)  # one more than allowed: enough to refuse it


def _unreadable(spec: str, error: OSError) -> Problem:
    hint = _near_file(spec) if isinstance(error, FileNotFoundError) else None
    what = "is a folder" if isinstance(error, IsADirectoryError) else error.strerror or str(error)
    return Problem(file=spec, line=None, key=None, message=f"cannot be read: {what}", hint=hint)


def _near_file(spec: str) -> str | None:
    folder, name = os.path.split(spec)
    try:
        here = [os.path.splitext(item) for item in os.listdir(folder or ".")]
    except OSError:
        return f"there is no folder {folder}"
    specs = {stem: stem + ending for stem, ending in here if ending in (".yaml", ".yml")}
    near = closest(os.path.splitext(name)[0], specs, 0.6)
    return f"did you mean {os.path.join(folder, specs[near])}?" if near else None


def _profile(name: str | None) -> Node | None:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    candidates = ["prl-submit.toml", os.path.join(config, "prl-submit", "prl-submit.toml")]
    found = [path for path in candidates if os.path.isfile(path)]
    if not found and name is None:
        return None
    from prl_submit.spec.profiles import read_profile

    return read_profile([(path, _read(path)) for path in found], name)
