"""One problem for all combinations that have it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from prl_submit.errors import Problem

#: So many combinations are named.
_SHOWN = 3


class SharedProblem(Struct, frozen=True):
    """A problem, and the names of the combinations that have it. `runs` is empty for one of the sweep itself."""

    problem: Problem
    runs: list[str]


def share_problems(runs: Sequence[tuple[str, list[Problem]]]) -> list[SharedProblem]:
    """Each problem once, in the order of severity and line. `runs`: the name and the problems of each."""
    found: dict[Problem, list[str]] = {}
    for name, problems in runs:
        for problem in problems:
            found.setdefault(problem, []).append(name)
    shared = [SharedProblem(problem, names) for problem, names in found.items()]
    return sorted(shared, key=lambda item: _order(item.problem))


def _order(problem: Problem) -> tuple[str, str, int]:
    return problem.severity, problem.file or "", problem.line or 0


def in_words(shared: SharedProblem, count: int) -> Problem:
    """The problem, with the combinations that have it unless all `count` do."""
    names = shared.runs
    if len(names) in (0, count):
        return shared.problem
    more = ", …" if len(names) > _SHOWN else ""
    where = f"in {len(names)} of {count} combinations: {', '.join(names[:_SHOWN])}{more}"
    return msgspec.structs.replace(shared.problem, message=f"{shared.problem.message} ({where})")
