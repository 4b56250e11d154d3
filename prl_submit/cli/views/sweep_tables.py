"""What `check` and `submit` print about the combinations of a sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prl_submit.cli.console import note, table
from prl_submit.cli.problems import problem_in_json
from prl_submit.cli.views.wide_tables import header_that_fits, terminal_width
from prl_submit.errors import format_problem
from prl_submit.planning.explained import shown
from prl_submit.planning.plan import Plan
from prl_submit.sweeps.shared_problems import SharedProblem, in_words
from prl_submit.sweeps.sweep_plans import PlannedRun, SweepPlans

#: So many problems are printed; with --json all are.
_MOST_PROBLEMS = 50


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """A heading for each key that varies: its last part, or all of it where two end alike."""
    last = Counter(key.rpartition(".")[2] for key in keys)
    return {key: end if last[end := key.rpartition(".")[2]] == 1 else key for key in keys}


def note_problems(plans: SweepPlans) -> None:
    """Print the problems of all combinations, each once."""
    problems = plans.all_problems
    for item in problems[:_MOST_PROBLEMS]:
        note(format_problem(in_words(item, plans.count)))
    if len(problems) > _MOST_PROBLEMS:
        note(f"… and {len(problems) - _MOST_PROBLEMS} more problems; --json lists all")


def errors_of_sweep(plans: SweepPlans) -> list[SharedProblem]:
    """The problems that keep some run of the sweep, or all, from being submitted."""
    return [item for item in plans.all_problems if item.problem.severity == "error"]


def combinations_table(plans: SweepPlans) -> str:
    """A row for each combination: its name, what varies, its GPUs, and `ok` or the key of its first error."""
    keys = short_keys(plans.keys).values()
    rows = [
        [
            str(run.combination.index),
            run.combination.name,
            *(shown(run.combination.values[key]) for key in plans.keys),
            _size(run.planned.plan),
            _verdict(run),
        ]
        for run in plans.runs
    ]
    names = ["#", "NAME", *(word.upper() for word in keys), "SIZE", "CHECK"]
    # The last cell may be an error, which stands below its row if it does not fit.
    header = header_that_fits(names, [[*row[:-1], "ok"] for row in rows], terminal_width())
    return table(header[0], [*header[1:], *rows], wrap=1)


def _verdict(run: PlannedRun) -> str:
    """`ok`, or the key of the run's first error. The errors stand below the table, each once."""
    errors = run.errors
    return f"error: {errors[0].key or errors[0].message}" if errors else "ok"


def _size(plan: Plan) -> str:
    """`4 GPUs`, `2x8 GPUs`, `1 process`."""
    resources = plan.resources
    count = resources.nproc_per_node
    unit = "GPU" if resources.accelerator == "gpu" else "process"
    plural = "" if count == 1 and resources.nodes == 1 else "es" if unit == "process" else "s"
    nodes = f"{resources.nodes}x" if resources.nodes > 1 else ""
    return f"{nodes}{count} {unit}{plural}"


def summary(plans: SweepPlans) -> str:
    """The sweep in one line: `lr: 12 combinations of learning_rate and beta; slurm, 4 GPUs each`."""
    names = list(short_keys(plans.keys).values())
    sizes = list(dict.fromkeys(_size(run.planned.plan) for run in plans.runs))
    size = f"{sizes[0]} each" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    most = plans.sweep.max_parallel
    at_once = f", at most {most} at a time" if most is not None else ""
    varied = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    backend = plans.runs[0].planned.plan.backend
    return f"{plans.name}: {plans.count} combinations of {varied}; {backend}, {size}{at_once}"


def combinations_document(plans: SweepPlans) -> list[dict[str, Any]]:
    """The combinations for --json."""
    return [
        {
            "index": run.combination.index,
            "name": run.combination.name,
            "values": run.combination.values,
            "nodes": run.planned.plan.resources.nodes,
            "nproc_per_node": run.planned.plan.resources.nproc_per_node,
            "ok": not run.errors,
        }
        for run in plans.runs
    ]


def problems_document(plans: SweepPlans) -> list[dict[str, Any]]:
    """All problems for --json. `combinations`: the names of the runs that have it; null for one of the sweep."""
    return [
        {**problem_in_json(item.problem), "combinations": item.runs or None}
        for item in plans.all_problems
    ]
