"""What `check` needs of the spool backend: it has no section of its own in the spec, so no rules."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.planning.plan import Plan
from prl_submit.rules.job import Job


def check_section(job: Job, plan: Plan) -> Iterator[Problem]:
    """Nothing is wrong with a section that does not exist."""
    return iter(())
