"""The command `render`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prl_submit.cli.console import raw
from prl_submit.cli.problems import render_bytes, warn_or_stop
from prl_submit.cli.shared_options import spec_options
from prl_submit.prepare import plan_spec

if TYPE_CHECKING:
    from pathlib import Path


@click.command("render")
@spec_options
def render(spec: str, templates: Path | None, **options: Any) -> int:
    """Print the script or manifest that `submit` would send. Creates nothing.

    It is the same to the byte, except for the run directory's name and the job's token.
    """
    planned = plan_spec(spec, **options)
    warn_or_stop(planned)
    raw(render_bytes(planned, templates))
    return 0


command = render
