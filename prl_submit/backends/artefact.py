"""What is sent to a backend, before there is a run directory and after: the same text.

The text is made without loading the backend itself, which would be a tenth of the time of `render`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prl_submit.launch.render import render_launch

if TYPE_CHECKING:
    from pathlib import Path

    from prl_submit.planning.plan import Plan

#: Stands for the run's token where nothing is submitted: `render` and `--dry-run`.
TOKEN_PLACEHOLDER = "0" * 16


def render_artefact(plan: Plan, site: Path | None, token: str = TOKEN_PLACEHOLDER) -> str:
    """The text that submitting `plan` would send."""
    return artefact_of(plan, render_launch(plan, token=token, site=site), token, site)


def artefact_of(plan: Plan, launch: str, token: str, site: Path | None) -> str:
    """The text that is sent, for a launch.sh that is rendered already. Pure but for the templates."""
    make = _MAKERS.get(plan.backend)
    return launch if make is None else make(plan, launch, token, site)


def _job_sbatch(plan: Plan, launch: str, token: str, site: Path | None) -> str:
    from prl_submit.backends.slurm.batch_script import render_script

    return render_script(plan, token, site)


def _pytorchjob_yaml(plan: Plan, launch: str, token: str, site: Path | None) -> str:
    from prl_submit.backends.kubernetes.manifest import render_manifest

    return render_manifest(plan, launch, token, site)


#: By backend. Where there is none, launch.sh is the job.
_MAKERS: dict[str, Callable[[Plan, str, str, Path | None], str]] = {
    "slurm": _job_sbatch,
    "kubernetes": _pytorchjob_yaml,
}
