"""import."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prl_submit.cli.console import note, raw
from prl_submit.errors import EXIT_JOB_FAILED, PrlSubmitError, Problem, format_problem

if TYPE_CHECKING:
    from prl_submit.importing.bash.scope import Place
    from prl_submit.spec.write import Tree
    from prl_submit.swift.table import Table

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@click.command("import")
@click.argument("script", metavar="SCRIPT.sh", type=click.Path())
@click.option("--name", metavar="NAME", help="The job's name. Default: from the file's.")
@click.option(
    "--assume",
    metavar="NAME=VALUE",
    multiple=True,
    help="A value that only the run knows: of a variable, of an argument of the script ('1=x'), or of"
    " an array ('NAME=(a b)'). May be repeated.",
)
@click.option(
    "--swift-version",
    metavar="VERSION",
    help="Write for this ms-swift, such as 3.3. Default: the one that will run, where this machine"
    " has it (a checkout in the working directory, the script's environment), else the newest.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Write the spec to FILE, which must not exist yet."
)
def import_(
    script: str,
    name: str | None,
    assume: tuple[str, ...],
    swift_version: str | None,
    output: str | None,
) -> int:
    """Translate a shell script that ends in `swift rlhf …` into a job spec on stdout.

    The script is read, never run. Notes go to stderr. What cannot be translated is listed by line;
    then nothing is printed on stdout, and the exit code is 1.
    """
    from prl_submit.importing import import_script
    from prl_submit.importing.translate import Wishes

    if name is not None and not _NAME.fullmatch(name):
        raise click.UsageError(f"--name {name}: lower-case letters, digits and '-', at most 40")
    _check_version(swift_version)
    wishes = Wishes(name=name, swift_version=swift_version, assumed=_assumed(assume))
    imported = import_script(
        _read(script),
        _place(script),
        lambda where: _table(where, swift_version),
        wishes,
        _read_near,
    )
    errors = [problem for problem in imported.problems if problem.severity == "error"]
    for problem in errors or imported.problems:  # where no spec is made, its notes are of no use
        note(format_problem(problem))
    if imported.text is None:
        note(f"{script}: {_count(errors)}; no spec was made")
        return EXIT_JOB_FAILED
    content = imported.text.encode("utf-8")
    if output is None:
        raw(content)
    else:
        _write(Path(output), content)
    return 0


def _assumed(pairs: tuple[str, ...]) -> dict[str, str]:
    """The values of `--assume` by their names. Raises click.UsageError."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        is_name = name.isidentifier() and name.isascii()
        if not sign or not (is_name or re.fullmatch(r"[1-9][0-9]?", name)):
            raise click.UsageError(f"--assume {pair}: expected NAME=VALUE, or 1=VALUE")
        found[name] = value
    return found


def _read_near(path: str) -> bytes | None:
    """A file that the script reads in; None where it is no regular file that can be read."""
    from prl_submit.importing.bash.parse import MAX_BYTES
    from prl_submit.system.reading import read_regular

    try:
        return read_regular(path, MAX_BYTES + 1)
    except (OSError, ValueError):
        return None


def _check_version(version: str | None) -> None:
    from prl_submit.swift.choice import is_release

    if version is not None and not is_release(version):
        message = f"--swift-version: expected a release such as 4.6.0, found {version!r}"
        raise click.UsageError(message)


def _table(where: dict[str, Tree], version: str | None) -> Table:
    """The arguments of the ms-swift that is named, or that `check` would find for such a spec."""
    from prl_submit.prepare import table_for
    from prl_submit.spec.write import write_spec
    from prl_submit.spec.yaml import parse_document
    from prl_submit.swift.table import load_table

    if version is not None:
        return load_table(version)
    text = write_spec({"name": "x", **where}, "where the job runs")
    return table_for(parse_document(text.encode("utf-8"), "spec", "spec"), None, os.environ)


def _count(errors: list[Problem]) -> str:
    return f"{len(errors)} error{'s' if len(errors) != 1 else ''}"


def _read(script: str) -> bytes:
    """The script's bytes. Raises PrlSubmitError where it cannot be read."""
    from prl_submit.importing.bash.parse import MAX_BYTES

    # Python has these characters for bytes that are not UTF-8.
    if any("\ud800" <= char <= "\udfff" for char in script):
        raise PrlSubmitError(f"{os.fsencode(script)!r} is not UTF-8", "rename it")
    try:
        with open(script, "rb") as file:
            return file.read(MAX_BYTES + 1)  # one byte too many is enough to refuse it
    except OSError as error:
        raise PrlSubmitError(f"{script}: cannot be read: {error.strerror or error}") from None


def _place(script: str) -> Place:
    from prl_submit.importing.bash.scope import Place

    shell = os.environ.get("PWD", "")  # the folder as bash names it, with symbolic links
    cwd = shell if os.path.isabs(shell) and _is_same(shell, os.getcwd()) else os.getcwd()
    home = os.path.expanduser("~")
    return Place(script=script, cwd=cwd, home=home, real=os.path.realpath(script))


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        raise PrlSubmitError(
            f"{path} is there already", "give another name, or remove it"
        ) from None
    note(f"{path} was written; prl-submit check {path}")


command = import_
