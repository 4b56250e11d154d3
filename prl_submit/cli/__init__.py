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
    "submit": "Check SPEC, make its run directory and start the job (the default command).",
    "check": "Say everything that is wrong with SPEC; create nothing.",
    "render": "Print what would be sent, and nothing else.",
    "explain": "Print every resolved value with its source.",
    "list": "List the runs under the output root, newest last.",
    "status": "Show what runs are doing; without RUN, all that are not finished.",
    "logs": "Print a run's log; -f follows it to the end of the job.",
    "collect": "Bring the files of a Kubernetes run from its volume to this machine.",
    "cancel": "End jobs and everything they started.",
    "wait": "Wait until jobs have ended; exit 1 if one did not succeed.",
    "resume": "Continue a run from its last complete checkpoint, in its directory.",
    "init": "Print a first job spec, made of the model, data and rewards you name.",
    "import": "Translate a `swift rlhf` shell script into a job spec on stdout.",
    "schema": "Print the JSON Schema of the job spec, for editors.",
    "doctor": "Can I submit from here? One line per thing looked at.",
    "probe": "Look at what the nodes really have; remembered, used by later checks.",
    "completion": "Print the completion script of bash, zsh or fish.",
}

#: Options of the default command whose value is the next word.
_VALUED = ("--backend", "--set", "--profile", "--output-root", "--templates")

#: What click's own writing of a help text meets where stdout has no room.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

_EPILOG = """\
\b
Examples:
  prl-submit jobs/mr_4gpu.yaml                       prints the run directory
  prl-submit jobs/mr_4gpu.yaml --set swift.beta=0.1  ... one value changed
  PRL_NPROC_PER_NODE=2 prl-submit jobs/mr_4gpu.yaml  ... on two GPUs
  prl-submit check jobs/mr_4gpu.yaml
  prl-submit logs latest -f

RUN is v26, 26, a run directory, a job id, a name, or `latest`. Where a SPEC is
expected a RUN does too: its own spec, as a new run.

\b
Exit codes: 0 done; 1 the job failed or was refused; 2 the spec or the command
line is wrong, nothing was created; 3 no such run; 4 the backend cannot be
reached; 74 stdout could not be written, a job that was started goes on;
130 interrupted, the job goes on."""


class Commands(click.Group):
    """Commands by name, loaded late; anything else in first place is a SPEC for `submit`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"prl_submit.cli.cmd_{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Commands, and files for the default command."""
        from click.shell_completion import CompletionItem

        # click's scripts drop the words as soon as one item asks for files.
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
    """Run GRPO jobs of ms-swift from one YAML spec: checked, rendered, submitted, followed."""


def main(argv: list[str] | None = None) -> None:
    """Entry point of `prl-submit`; ends the process with the documented exit code."""
    try:
        _run(argv)
    finally:
        _give_up(sys.stdout)
        _give_up(sys.stderr)


def _run(argv: list[str] | None) -> NoReturn:
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
    except click.exceptions.NoArgsIsHelpError as error:
        _say(error.format_message())
        code = 2
    except click.UsageError as error:
        _say(f"error: {error.format_message()}")
        if error.ctx is not None:
            _say(f"hint: see {error.ctx.command_path} --help")
        code = 2
    except Exception as error:
        code = _exit_code(error)
    sys.exit(code if isinstance(code, int) else 0)


def _with_command(words: list[str]) -> list[str]:
    """The command in first place: options may stand before it, and without one it is `submit`."""
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
    """A first word that is no file but meant as a command; ends the process with exit code 2."""
    if not word.isalpha() or os.path.exists(word):
        return
    from prl_submit.spec import meanings
    from prl_submit.spec.suggest import closest

    # 0.75: a letter or two are wrong. `compare` is no misspelt `import`.
    named = meanings.meant(word, meanings.COMMANDS, COMMANDS)
    near = named[0] if named else closest(word.lower(), COMMANDS, 0.75)
    if near is not None or (rest and not rest[0].startswith("-")):
        hint = f"did you mean {near!r}?" if near else "`prl-submit --help` lists the commands"
        _say(f"error: no command and no file {word!r}")
        _say(f"hint: {hint}")
        sys.exit(2)


def _exit_code(error: Exception) -> int:
    """Print one of our own errors and return its code; raise any other again."""
    from prl_submit.errors import EXIT_OUTPUT, EXIT_WRONG_INPUT, PrlSubmitError, format_error

    if isinstance(error, FileNotFoundError) and not error.filename and _stands_nowhere():
        where = os.environ.get("PWD", "the folder you are in")
        _say(f"error: {where} was deleted, and you are still in it\nhint: cd to another folder")
        return EXIT_WRONG_INPUT
    if isinstance(error, OSError):  # a folder taken away, a full disk: no fault of the program
        where = f"{error.filename}: " if error.filename else ""
        _say(f"error: {where}{error.strerror or error}")
        return EXIT_OUTPUT if error.errno in _NO_ROOM and not where else EXIT_WRONG_INPUT
    if not isinstance(error, PrlSubmitError):
        raise error
    _say(format_error(error))
    return error.exit_code


def _stands_nowhere() -> bool:
    """Whether the working directory has been deleted."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _give_up(stream: TextIO | None) -> None:
    """Python exits with 120 where it cannot write what is left of a stream; our code says more."""
    if stream is not None:
        try:
            stream.flush()
        except OSError:
            from prl_submit.cli.console import give_up

            give_up(stream)


def _say(text: str) -> None:
    """Lines on stderr; where that cannot be written, the exit code has to do."""
    from prl_submit.system.untrusted_text import words

    text = words(text)
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
