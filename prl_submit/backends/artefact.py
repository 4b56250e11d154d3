"""What is sent to a backend, before there is a run directory and after: the same text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prl_submit import backends
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
    if plan.traits.artefact is None:
        return launch
    return backends.load_options(plan.backend).artefact(plan, launch, token, site)
