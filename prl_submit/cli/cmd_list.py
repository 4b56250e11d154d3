"""The command `list`."""

from __future__ import annotations

import click

from prl_submit.cli.cmd_status import show_runs
from prl_submit.cli.shared_options import json_option, output_root_option
from prl_submit.runs.directory import list_runs
from prl_submit.system.user_paths import output_root as output_root_of


@click.command("list")
@output_root_option
@json_option
def list_(output_root: str | None, as_json: bool) -> int:
    """List the runs in the output root, the newest last."""
    root = output_root_of(output_root)
    return show_runs(list_runs(root), as_json, f"no runs under {root}")


command = list_
