"""What several commands do with a planned job: print its problems, or render its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prl_submit.cli.console import note
from prl_submit.errors import Problem, SpecError, format_problem
from prl_submit.planning.plan import Plan, Planned
from prl_submit.prepare import errors_of

if TYPE_CHECKING:
    from pathlib import Path


def warn_or_stop(planned: Planned) -> None:
    """Print the warnings. Raises SpecError with all problems if one of them is an error."""
    if errors_of(planned):
        raise SpecError(planned.problems)
    for problem in planned.problems:
        note(format_problem(problem))
    note_unstated(planned.plan)


def note_unstated(plan: Plan) -> None:
    """Say which numbers only the platform knows, and that what depends on them was not checked."""
    if plan.unstated:
        keys = " and ".join(plan.unstated)
        verb = "is" if len(plan.unstated) == 1 else "are"
        note(
            f"note: {keys} {verb} not stated: launch.sh takes the platform's, and checks on the node what "
            "depends on the number of processes"
        )


def errors_line(spec: str, problems: Sequence[Problem]) -> str:
    """The last line that `check` and `submit` print about a spec with errors."""
    errors = sum(problem.severity == "error" for problem in problems)
    return f"{spec}: {errors} error{'s' if errors != 1 else ''}; nothing was created"


def problem_in_json(problem: Problem) -> dict[str, Any]:
    """The problem with the keys of `check --json`."""
    label = f"{problem.label}: " if problem.label else ""
    return {
        "file": problem.file,
        "line": problem.line,
        "key": problem.key,
        "message": f"{label}{problem.message}",
        "hint": problem.hint,
        "severity": problem.severity,
    }


def rendered(planned: Planned, templates: Path | None) -> dict[str, str]:
    """The files of the job, by name. The first one is what the backend would be given."""
    from prl_submit.backends.artefact import job_files

    return job_files(planned.plan, templates)
