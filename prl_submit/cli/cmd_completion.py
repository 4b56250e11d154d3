"""The command `completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from prl_submit.cli.console import data


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that makes a shell complete prl-submit's words after Tab.

    For bash: prl-submit completion bash >> ~/.bash_completion
    """
    from prl_submit.cli import cli

    kind = get_completion_class(shell)
    if kind is None:  # click has all three
        raise click.UsageError(f"no completion for {shell}")
    script = kind(cli, {}, "prl-submit", "_PRL_SUBMIT_COMPLETE")
    data(script.source_template % script.source_vars())
    return 0


command = completion
