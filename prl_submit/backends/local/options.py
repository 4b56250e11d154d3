"""What `check` needs of this machine: the rules for the section `local:`."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.backends.chosen_gpus import check_chosen_gpus
from prl_submit.errors import Problem
from prl_submit.planning.plan import Plan
from prl_submit.rules.job import Job


def check_section(job: Job, plan: Plan) -> Iterator[Problem]:
    """The GPUs that the user chose are as many as the job can use. A run of a sweep gets some of them."""
    if not plan.shares_gpus:
        yield from check_chosen_gpus(job)
