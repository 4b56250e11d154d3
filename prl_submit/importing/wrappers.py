"""What stands before a launcher: nohup, env, timeout, numactl, srun, uv run and their like."""

from __future__ import annotations

import posixpath

from msgspec import Struct

from prl_submit.importing.bash.effects import TRAINING
from prl_submit.importing.bash.scope import Field, Given
from prl_submit.importing.training_command import Refused, Start, joined


class _Wrapper(Struct, frozen=True):
    """A command that starts the one behind it.

    `flags`: options without a value. `valued`: options with one. `operands`: words before the
    command. `note`: what is noted of it; none where a job does the same anyway.
    """

    flags: str = ""
    valued: str = ""
    operands: int = 0
    note: str | None = None


_PLACED = "is left out: a spec has no key for it"
_WRAPPERS = {
    "nohup": _Wrapper(),
    "builtin": _Wrapper(),
    "exec": _Wrapper("-c -l", "-a"),
    "command": _Wrapper("-p"),
    "setsid": _Wrapper("-c -f -w --ctty --fork --wait"),
    "time": _Wrapper("-p -v -a --verbose --append --portability", "-f -o --format --output"),
    "stdbuf": _Wrapper("", "-i -o -e --input --output --error"),
    "unbuffer": _Wrapper("-p"),
    "nice": _Wrapper("", "-n --adjustment", note=_PLACED),
    "ionice": _Wrapper("-t --ignore", "-c -n --class --classdata", note=_PLACED),
    "chrt": _Wrapper("-b -f -i -o -r", "", operands=1, note=_PLACED),
    "taskset": _Wrapper("-a -c --all-tasks --cpu-list", "", operands=1, note=_PLACED),
    "numactl": _Wrapper(
        "-l -a -b --localalloc --all --balancing",
        "-N -m -C -i -p --cpunodebind --cpubind --membind --physcpubind --interleave --preferred"
        " --preferred-many",
        note=_PLACED,
    ),
    "timeout": _Wrapper(
        "-v --foreground --preserve-status --verbose", "-k -s --kill-after --signal"
    ),
}
_UV = _Wrapper(
    "--no-sync --frozen --locked --active --isolated --no-project -q -v --quiet --verbose --offline"
    " --all-extras --no-dev --dev --all-packages --all-groups --exact --no-cache",
    "--with --with-requirements --with-editable --extra --no-extra --group --no-group --python -p"
    " --project --package --index-url --extra-index-url --index --config-file --cache-dir",
)
#: `X run COMMAND`: an environment that the tool keeps somewhere.
_RUNNERS = frozenset(["poetry", "pdm", "pipenv", "pixi", "hatch", "rye"])
_CONDAS = frozenset(["conda", "mamba", "micromamba"])
#: Options of srun that take no value.
_SRUN_FLAGS = frozenset(
    "-l --label -u --unbuffered -K --kill-on-bad-exit --exclusive --overlap -v --verbose"
    " -s --oversubscribe --pty -Q --quiet -H --hold -O --overcommit -k --no-kill --exact"
    " --wait-all-nodes --contiguous -E --preserve-env -X --disable-status -Z --no-allocate"
    " --spread-job --use-min-nodes".split()
)


def unwrap(given: list[Given]) -> tuple[list[Given], Start] | Refused:
    """The launcher and its words, without the commands before it, which Start remembers."""
    line = given[0].line if given else 0
    start = Start(line=line, options=[], arguments=[], environment=[], srun=[], notes=[])
    rest = _unwrapped(list(given), start)
    return rest if isinstance(rest, Refused) else (rest, start)


def _unwrapped(words: list[Given], start: Start) -> list[Given] | Refused:
    for _ in range(20):
        rest = _once(words, start)
        if isinstance(rest, Refused):
            return rest if TRAINING.search(joined(words)) else words
        if rest is None:
            return words
        words = rest
    return words


def _once(words: list[Given], start: Start) -> list[Given] | Refused | None:
    """The words behind one wrapper; None where there is none."""
    name = posixpath.basename(words[0].known or "") if words else ""
    second = words[1].known if len(words) > 1 else None
    if name in _WRAPPERS:
        return _wrapped(name, words[1:], _WRAPPERS[name], start)
    if name == "env":
        return _env(words[1:], start)
    if name == "srun":
        start.is_srun = True
        return _srun(words[1:], start)
    if name in _CONDAS and second == "run":
        return _conda_run(words[2:], start)
    if name == "uv" and second == "run":
        return _uv_run(words[2:], start)
    if name in _RUNNERS and second == "run":
        hint = "environment.venv or environment.conda says which environment it is"
        start.notes.append((f"{name} run is left out: prl-submit takes torchrun from PATH", hint))
        return words[2:]
    return None


def _wrapped(
    name: str, words: list[Given], wrapper: _Wrapper, start: Start
) -> list[Given] | Refused:
    rest = _behind_options(name, words, wrapper, start)
    if isinstance(rest, Refused) or len(rest) <= wrapper.operands:
        return rest
    if name == "timeout":
        start.time_limit, rest = rest[0], rest[1:]
    if wrapper.note is not None:
        start.notes.append((f"{name} {wrapper.note}", None))
    return rest[wrapper.operands :]


def _behind_options(  # noqa: C901  # one case for each form of an option
    name: str, words: list[Given], wrapper: _Wrapper, start: Start
) -> list[Given] | Refused:
    flags, valued = wrapper.flags.split(), wrapper.valued.split()
    while words and (words[0].known or "")[:1] == "-":
        option, sign, _ = words[0].shown.partition("=")
        if name == "uv" and option in ("-m", "--module"):
            break
        words = words[1:]
        if option == "--":
            break
        if option in flags or (name == "nice" and option[1:].isdigit()):
            continue
        if option in valued:
            words = words if sign else words[1:]
        elif option[:2] != "--" and option[:2] in valued:
            continue  # `-n10`
        elif option[:2] != "--" and all(f"-{letter}" in flags for letter in option[1:]):
            continue
        else:
            return Refused(start.line, f"options of {name}", f"leave {name} out")
    return words


def _env(words: list[Given], start: Start) -> list[Given] | Refused:
    while words:
        text = words[0].known
        name, sign, _ = words[0].shown.partition("=")
        if text in ("-u", "--unset") and len(words) > 1:
            start.environment.append((words[1].known or "", None))
            words = words[2:]
        elif text is not None and text.startswith(("-u", "--unset=")):
            start.environment.append((text.removeprefix("--unset=").removeprefix("-u"), None))
            words = words[1:]
        elif text is not None and text[:1] == "-":
            return Refused(
                start.line, f"env {text}: the training starts in another environment", None
            )
        elif sign and name.isidentifier():
            start.environment.append((name, words[0].value))
            words = words[1:]
        else:
            return words
    return words


def _srun(words: list[Given], start: Start) -> list[Given]:
    while words and (words[0].known or "")[:1] == "-":
        name, sign, _ = words[0].shown.partition("=")
        value: Given | None = words[0].value if sign else None
        line, words = words[0].line, words[1:]
        if name[:2] != "--" and len(name) > 2:  # `-n2`
            name, value = name[:2], Field(name[2:], line)
        elif not sign and words and name not in _SRUN_FLAGS:
            value, words = words[0], words[1:]
        start.srun.append((name, value))
    return words


def _conda_run(words: list[Given], start: Start) -> list[Given]:
    while words and words[0].shown[:1] == "-":
        name, sign, _ = words[0].shown.partition("=")
        if name in ("-n", "--name", "-p", "--prefix"):
            start.conda = words[0].value if sign else (words[1] if len(words) > 1 else None)
            words = words[1 if sign else 2 :]
        elif name == "--cwd":
            words = words[1 if sign else 2 :]
        else:
            words = words[1:]
    return words


def _uv_run(words: list[Given], start: Start) -> list[Given] | Refused:
    """The project's environment: `.venv` in the working directory, or in that of `--project`."""
    rest = _behind_options("uv", words, _UV, start)
    if isinstance(rest, Refused):
        return rest
    options = [word.known or "" for word in words[: len(words) - len(rest)]]
    project = "."
    for at, option in enumerate(options):
        if option == "--project" and at + 1 < len(options):
            project = options[at + 1]
        elif option.startswith("--project="):
            project = option.partition("=")[2]
    start.is_uv = True
    if not {"--active", "--no-project"} & set(options):
        start.venv = posixpath.normpath(posixpath.join(project, ".venv"))
    if rest and rest[0].known in ("-m", "--module"):
        line = rest[0].line
        return [Field("python", line), Field("-m", line), *rest[1:]]
    return rest
