"""What `check` needs of platforms: the rules for the section `platform:`."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.planning.plan import Plan
from prl_submit.rules.job import Job


def check_section(job: Job, plan: Plan) -> Iterator[Problem]:
    """What is wrong with `platform:`."""
    return iter(())
