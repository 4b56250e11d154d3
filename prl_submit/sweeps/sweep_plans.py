"""SPEC and options -> a plan for each combination of a sweep, with all problems."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.spec_files import of_another_user
from prl_submit.planning.infer_workers import INFER_WORKERS
from prl_submit.planning.layers import parse_settings
from prl_submit.planning.make import make_plan
from prl_submit.planning.plan import Planned
from prl_submit.planning.variables import SECTION_KEYS
from prl_submit.prepare import Asked, choose, context, errors_of, with_problems
from prl_submit.spec.nodes import Node, mapping, merge, problem_at
from prl_submit.spec.sections import JobSpec, Sweep
from prl_submit.spec.typed import read_spec
from prl_submit.sweeps.combinations import Combination, expand
from prl_submit.sweeps.shared_problems import SharedProblem, share_problems
from prl_submit.swift.table import Table
from prl_submit.system.shared_results import share_results


class PlannedRun(Struct, frozen=True):
    """One run of a sweep: its combination, and the plan with its problems."""

    combination: Combination
    planned: Planned

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep this run from being submitted."""
        return errors_of(self.planned)


class SweepPlans(Struct, frozen=True):
    """All runs of a sweep. `name`: the sweep's. `keys`: the keys that vary. `problems`: of its section.

    `count`: how many combinations there are; 0 if the section does not say which.
    """

    name: str
    asked: Asked
    sweep: Sweep
    keys: list[str]
    count: int
    runs: list[PlannedRun]
    problems: list[Problem]

    @property
    def good(self) -> list[PlannedRun]:
        """The runs that can be submitted."""
        return [run for run in self.runs if not run.errors]

    @property
    def all_problems(self) -> list[SharedProblem]:
        """The problems of the section, and those of the runs, each once for all runs that have it."""
        own = [SharedProblem(problem, []) for problem in self.problems]
        runs = [(run.combination.name, run.planned.problems) for run in self.runs]
        return [*own, *share_problems(runs)]


def plan_sweep(asked: Asked, only: str | None = None) -> SweepPlans:
    """Plan and check each combination. Files that they have in common are read once.

    `only`: the name or the number of the one combination that is planned; empty: the first one.
    """
    tree = asked.sections.tree
    own = {key: node for key, node in mapping(tree).items() if key in ("name", "sweep")}
    spec, problems = read_spec(Node(own, tree.origin))
    sweep = spec.sweep or Sweep()
    section = own["sweep"]
    if section.origin.layer == "profile":
        message = "a profile would make a sweep of each spec"
        problems.append(problem_at(section.origin, "sweep", message, "write it into a spec"))
    if problems:
        return SweepPlans(spec.name, asked, sweep, [], 0, [], problems)
    found = expand(spec.name, section, sweep, _overridden(asked))
    chosen = found.combinations if only is None else _chosen(found.combinations, only)
    with share_results():
        runs = _after_runs(_plans(asked, chosen), asked)
    count = len(found.combinations)
    return SweepPlans(spec.name, asked, sweep, found.keys, count, runs, found.problems)


def _overridden(asked: Asked) -> dict[str, str]:
    """The keys of the spec that an option or a variable sets, and that option or variable."""
    settings, _ = parse_settings(asked.flags.sets)
    found = {".".join(item.path): f"--set {'.'.join(item.path)}" for item in settings}
    for variable in asked.environ:
        if variable.startswith("PRL_") and asked.environ[variable]:
            argument = f"swift.{variable.removeprefix('PRL_').lower()}"
            found.setdefault(SECTION_KEYS.get(variable, argument), variable)
    if INFER_WORKERS in found.values():
        found.setdefault("swift.vllm_mode", INFER_WORKERS)
    return found


def _plans(asked: Asked, combinations: list[Combination]) -> list[PlannedRun]:
    """The plan of each combination with its problems."""
    tree = asked.sections.tree
    base = Node({k: v for k, v in mapping(tree).items() if k != "sweep"}, tree.origin)
    others, here, table_of = of_another_user(asked.spec), context(), _choose_once(asked)
    found = []
    for item in combinations:
        sections = msgspec.structs.replace(asked.sections, tree=merge(base, item.layer))
        planned = share_gpus(make_plan(sections, table_of, asked.spec, here))
        found.append(PlannedRun(item, with_problems(planned, asked, others)))
    return found


def _after_runs(runs: list[PlannedRun], asked: Asked) -> list[PlannedRun]:
    """The runs, of which each waits for the runs of `--after`. Raises PrlSubmitError as `open_runs` does."""
    good = [run for run in runs if not run.errors]
    if not asked.after or not good:
        return runs
    from prl_submit.backends.waiting.after import open_runs, wait_for_found

    found = open_runs(asked.after, good[0].planned.plan)
    return [
        run
        if run.errors
        else PlannedRun(run.combination, wait_for_found(run.planned, asked.after, found))
        for run in runs
    ]


def share_gpus(planned: Planned) -> Planned:
    """The plan of a run of a sweep: on this machine the waiting queue gives it its GPUs."""
    plan = msgspec.structs.replace(planned.plan, shares_gpus=planned.plan.traits.runs_here)
    return msgspec.structs.replace(planned, plan=plan)


def _choose_once(asked: Asked) -> Callable[[JobSpec], Table]:
    """`choose`, which looks for ms-swift once for all combinations that run in one environment."""
    found: dict[bytes, Table] = {}

    def table_of(spec: JobSpec) -> Table:
        key = msgspec.json.encode((spec.environment, spec.workdir, spec.backend, spec.slurm))
        if key not in found:
            found[key] = choose(spec, asked.environ)
        return found[key]

    return table_of


def _chosen(combinations: list[Combination], only: str) -> list[Combination]:
    """The combination with that name or number; the first one for an empty text."""
    found = [item for item in combinations if only in ("", item.name, str(item.index))]
    return found[:1]
