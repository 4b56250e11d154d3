"""The command line. Each command is a module `cmd_<name>.py`, imported when it is called."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from importlib import import_module
from typing import NoReturn, TextIO

import click

from prl_submit import __version__

#: Each command with its line of `--help`, kept here so that `--help` imports no command.
#: The command `check` is `command` in the module `cmd_check`, and so on.
COMMANDS = {
    "submit": "Check SPEC and start its job; `prl-submit SPEC` does the same.",
    "check": "List everything that is wrong with SPEC. Creates nothing.",
    "render": "Print the script or manifest that `submit` would send.",
    "explain": "Print every value of the job and where it comes from.",
    "list": "List the runs in the output root, the newest last.",
    "status": "Show the state of runs, by default of all that have not ended.",
    "logs": "Print a run's log; with -f also the lines still to come.",
    "collect": "Copy a Kubernetes run's files from its volume to this machine.",
    "cancel": "End jobs and all processes that they started.",
    "wait": "Wait until jobs have ended; exit 1 if one did not succeed.",
    "compare": "Show what differs between runs, their speed and their rewards.",
    "diff": "Show what differs between two runs: settings, code, data, versions.",
    "report": "Write an HTML file with the curves and completions of runs.",
    "completions": "Show what the model wrote at a step, and how it was rewarded.",
    "rerun": "Start a new run of a run's spec, from any folder.",
    "resume": "Continue a run that has ended from its last checkpoint.",
    "note": "Write down a line about a run; `status` shows it.",
    "tag": "Give tags to runs, or take them away; `list --tag` finds them.",
    "rename": "Give a run a name, by which every command then finds it.",
    "du": "Show how much disk runs take, and for what.",
    "prune": "Delete checkpoints that are not needed, or whole runs.",
    "init": "Print a first job spec, made of the model, data and rewards you name.",
    "import": "Translate a `swift rlhf` shell script into a job spec.",
    "schema": "Print the JSON Schema of job specs, for editors.",
    "doctor": "Check that this machine has what submitting jobs needs.",
    "probe": "Record what the nodes really have; `check` then uses it.",
    "completion": "Print the script for Tab completion in bash, zsh or fish.",
}

#: The options of `submit` whose value is the next word: with it they may stand before a command.
_VALUED = ("--backend", "--set", "--profile", "--output-root", "--templates")

#: The error numbers of a file that takes no more bytes.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

_EPILOG = """\
\b
Examples:
  prl-submit jobs/mr_4gpu.yaml                       prints the run directory
  prl-submit jobs/mr_4gpu.yaml --set swift.beta=0.1  ... one value changed
  PRL_NPROC_PER_NODE=2 prl-submit jobs/mr_4gpu.yaml  ... on two GPUs
  prl-submit check jobs/mr_4gpu.yaml
  prl-submit logs latest -f

SPEC is a YAML file. RUN is v26, 26, a run directory, a job id, a name or
`latest`. A sweep's name means all its runs. A RUN can stand in the place of
SPEC: its spec, for a new run.

\b
Exit codes:
  0    done
  1    the job failed, or the backend refused it
  2    the spec or the command line is wrong; nothing was created
  3    there is no such run
  4    the backend cannot be reached
  74   stdout could not be written; a job that was started goes on
  130  interrupted; the job goes on"""


class Commands(click.Group):
    """The commands. Their modules are imported when they are called, so that `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands, in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module; None for a name that is no command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"prl_submit.cli.cmd_{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands for `--help`, without importing one of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """What the shell offers after Tab: commands, and files as specs for `submit`."""
        from click.shell_completion import CompletionItem

        # If one item asks for files, click's scripts offer files alone: so only where no command fits.
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        return [CompletionItem(name) for name in names] or [CompletionItem("", type="file")]


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
    options_metavar="[--help] [--version]",
    subcommand_metavar="SPEC | COMMAND [ARGS]...",
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="prl-submit", message="%(prog)s %(version)s")
def cli() -> None:
    """Run GRPO jobs of ms-swift from one YAML file: check, submit, watch, cancel, resume."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line; ends the process with one of the exit codes that `--help` lists."""
    try:
        _run(argv)
    finally:
        _give_up(sys.stdout)
        _give_up(sys.stderr)


def _run(argv: list[str] | None) -> NoReturn:
    """Run one command and exit with its code; errors become a line on stderr and an exit code."""
    arguments = _with_command(list(sys.argv[1:] if argv is None else argv))
    try:
        code = cli.main(arguments, prog_name="prl-submit", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        from prl_submit.cli.console import reader_gone

        reader_gone()
    except click.exceptions.Abort:
        _say("interrupted")
        code = 130
    except click.UsageError as error:
        code = _usage_error(error)
    except Exception as error:
        code = _exit_code(error)
    sys.exit(code if isinstance(code, int) else 0)


def _usage_error(error: click.UsageError) -> int:
    """Print what is wrong with the command line; without any word, the help text. The exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        _say(error.format_message())
        return 2
    _say(f"error: {error.format_message()}")
    if error.ctx is not None:
        _say(f"hint: see {error.ctx.command_path} --help")
    return 2


def _with_command(words: list[str]) -> list[str]:
    """The words with the command first. Options may stand before it; without one it is `submit`."""
    if not words or words[0] in ("-h", "--help", "--version"):
        return words
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] != "--":
        place += 2 if words[place] in _VALUED else 1
    if place < len(words):
        if words[place] in COMMANDS:
            return [words[place], *words[:place], *words[place + 1 :]]
        _refuse_misspelt_command(words[place], words[place + 1 :])
    return ["submit", *words]


def _refuse_misspelt_command(word: str, rest: list[str]) -> None:
    """End the process with exit code 2 if `word` is neither a file nor a command."""
    if not word.isalpha() or len(word) > 255 or os.path.exists(word):
        return  # reading the file says what is wrong with its name
    from prl_submit.spec import meanings
    from prl_submit.spec.suggest import closest

    # A similarity of 0.75 means that a letter or two are wrong; `export` must not become `import`.
    named = meanings.meant(word, meanings.COMMANDS, COMMANDS)
    near = named[0] if named else closest(word.lower(), COMMANDS, 0.75)
    hint = f"did you mean {near!r}?" if near else None
    if hint is None and not (rest and not rest[0].startswith("-")):
        from prl_submit.inputs.spec_files import near_file

        hint = near_file(word)
    _say(f"error: no command and no file {word!r}")
    _say(f"hint: {hint or '`prl-submit --help` lists the commands'}")
    sys.exit(2)


def _exit_code(error: Exception) -> int:
    """Print an error of ours or of the system and return its exit code; raise any other again."""
    from prl_submit.errors import (
        EXIT_OUTPUT,
        EXIT_WRONG_INPUT,
        OutputError,
        PrlSubmitError,
        format_error,
    )

    if isinstance(error, FileNotFoundError) and not error.filename and _stands_nowhere():
        where = os.environ.get("PWD", "the folder you are in")
        _say(f"error: {where} was deleted, and you are still in it\nhint: cd to another folder")
        return EXIT_WRONG_INPUT
    if isinstance(error, OSError) and error.errno in _NO_ROOM and _stdout_takes_no_more():
        error = OutputError(f"stdout cannot be written: {error.strerror}")
    if isinstance(error, OSError):  # a removed folder, a full disk: no fault of this program
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}")
        return EXIT_OUTPUT if error.errno in _NO_ROOM and not where else EXIT_WRONG_INPUT
    if not isinstance(error, PrlSubmitError):
        raise error
    _say(format_error(error))
    return error.exit_code


def _stdout_takes_no_more() -> bool:
    """True if what is still in the buffer of stdout cannot be written either."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        return True
    return False


def _stands_nowhere() -> bool:
    """True if the working directory has been deleted."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _give_up(stream: TextIO | None) -> None:
    """Drop what cannot be written to the stream: Python would replace our exit code by 120."""
    if stream is not None:
        try:
            stream.flush()
        except OSError:
            from prl_submit.cli.console import give_up

            give_up(stream)


def _say(text: str) -> None:
    """Print lines on stderr. If that fails, the exit code must say enough."""
    from prl_submit.system.untrusted_text import words

    text = words(text)
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
