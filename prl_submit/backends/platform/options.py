"""What `check` needs of platforms: the rules for the section `platform:`, and for keys that a platform cannot heed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prl_submit.backends.chosen_gpus import check_chosen_gpus
from prl_submit.errors import Problem
from prl_submit.planning.plan import Plan
from prl_submit.rules.job import Job
from prl_submit.spec.scalars import format_duration
from prl_submit.spec.sections import JobSpec

#: Seconds. A node gives six signs of life in platform.silence, and not more than one in a second.
SHORTEST_SILENCE = 6
#: The keys of `platform:` that name variables.
_NAMES = ("nodes", "node_rank", "master_addr", "master_port", "nproc_per_node", "job")


def check_section(job: Job, plan: Plan) -> Iterator[Problem]:
    """What is wrong with `platform:`, and what the platform's form decides in place of the spec."""
    yield from _names(job)
    yield from _times(job, plan)
    yield from _container(job)
    yield from check_chosen_gpus(job)


def _names(job: Job) -> Iterator[Problem]:
    """Each value has a variable of its own."""
    seen: dict[str, str] = {}
    for key in _NAMES:
        name = getattr(job.spec.platform, key)
        if name is not None and name in seen:
            message = f"is the variable {name}, and so is platform.{seen[name]}"
            yield job.problem(f"platform.{key}", message, "name the variable that has this value")
        elif name is not None:
            seen[name] = key


def _times(job: Job, plan: Plan) -> Iterator[Problem]:
    """Nodes give signs of life at a pace that the time of silence sets, and they wait while the time limit runs."""
    section, limit = job.spec.platform, job.spec.resources.time_limit
    if section.silence < SHORTEST_SILENCE:
        message = f"must be at least {SHORTEST_SILENCE}s, found {section.silence}s"
        hint = "a node gives six signs of life in this time; 3m is usual"
        yield job.problem("platform.silence", message, hint)
    may_wait = "resources.nodes" in plan.unstated or job.spec.resources.nodes > 1
    if limit is not None and limit <= section.wait and may_wait:
        message = f"{format_duration(limit)} may end while the nodes still wait for each other"
        hint = (
            f"launch.sh counts from its own start, and platform.wait is "
            f"{format_duration(section.wait)}"
        )
        yield job.problem("resources.time_limit", message, hint, "warning")


def _container(job: Job) -> Iterator[Problem]:
    """The platform starts the container, so the spec can neither choose it nor count on the node's own programs."""
    environment = job.spec.environment
    if environment.container is not None:
        message = "has no effect: the platform starts the container"
        hint = "choose the image in the platform's form"
        yield job.problem("environment.container", message, hint, "warning")
    if environment.modules:
        message = "needs the command `module`, which few containers have"
        hint = (
            "an image with torch and ms-swift needs no modules; else use environment.conda or venv"
        )
        yield job.problem("environment.modules", message, hint, "warning")


def size_of_nodes(spec: JobSpec, environ: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """The keys of the job's size that the variables of this node tell: the number, and who says it."""
    from prl_submit.backends.platform import job_size

    return job_size.size_of_nodes(spec, environ)


def is_node(plan: Plan, environ: Mapping[str, str]) -> bool:
    """True if variables say that this machine is a node of a platform, rightly or wrongly."""
    from prl_submit.backends.platform.variables import see_platform

    return see_platform(environ, plan.platform) is not None
