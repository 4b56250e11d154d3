"""`prl-submit SPEC` as the command of a platform, which starts it on every node of a job."""

from __future__ import annotations

import os

from prl_submit import backends
from prl_submit.backends.base import NodeOfJob
from prl_submit.cli.console import note
from prl_submit.errors import PrlSubmitError, format_error
from prl_submit.planning.plan import Planned
from prl_submit.submission import World, submit


def node_here(planned: Planned, *, prepare: bool, as_json: bool) -> NodeOfJob | None:
    """This process as a node of the job; None if it shall only submit the job. Raises PrlSubmitError."""
    if prepare:
        if not planned.plan.traits.nodes_tell_size:
            raise PrlSubmitError(
                f"--prepare: jobs of the backend {planned.plan.backend} are started by prl-submit itself",
                "--backend platform prepares a run, which a platform starts",
            )
        return None
    node = backends.load(planned.plan.backend).node_here(planned, os.environ)
    if node is not None and as_json:
        raise PrlSubmitError(
            "--json: this is a node of the job, so stdout is the training's log",
            "`prl-submit status latest --json` prints the run; --prepare --json prepares one and prints it",
        )
    return node


def start_node(node: NodeOfJob, planned: Planned, world: World, *, new_run: bool) -> int:
    """Become launch.sh of the job's run. The exit code, if there is nothing to start. Raises PrlSubmitError."""
    ended = node.start(
        lambda place: submit(planned, world, place), new_run=new_run, tell=world.tell
    )
    if ended.code == 0:
        note(ended.words if ended.hint is None else f"{ended.words}\nhint: {ended.hint}")
    else:
        note(format_error(PrlSubmitError(ended.words, ended.hint)))
    return ended.code
