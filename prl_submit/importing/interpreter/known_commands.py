"""What commands are known for: by their names, and by how they are spelt."""

from __future__ import annotations

import posixpath
import re

from prl_submit.importing.bash.effects import DECLARATIONS, set_by_words, unwrapped
from prl_submit.importing.bash.scope import Given
from prl_submit.importing.bash.statements import Statement

#: They print or wait, and change nothing for what follows.
SILENT = frozenset("echo printf true : date pwd clear hostname whoami which type sleep".split())
#: In lines that are kept for a shell, they would change what follows in a way nobody follows.
FAR_REACHING = frozenset(
    "cd pushd popd shift trap eval source . alias unalias exec getopts enable coproc local".split()
)
#: Commands that are followed or have a meaning of their own here: no function may take their place.
OWN_MEANING = frozenset(
    "[ test set shopt read mapfile readarray let exit return command builtin false swift megatron"
    " torchrun python python3 env nohup srun time stdbuf setsid conda module ml deactivate dirname"
    " basename expr readlink realpath tee mkdir".split()
).union(SILENT, FAR_REACHING, DECLARATIONS)
#: Where one of these fails, the job has failed: what stands behind its `&&` is taken as done.
_CERTAIN = frozenset("cd mkdir true : echo set conda source . module ml eval deactivate".split())
_BAIL_OUT = frozenset(["exit", "return", "true", ":", "echo", "false", "printf"])
_ENDERS = frozenset(["pkill", "killall", "kill"])
#: Where output goes that is no file of the script's.
_TERMINAL = frozenset(["1", "2", "/dev/null", "/dev/stderr", "/dev/stdout"])


def head_of(statement: Statement) -> str:
    """The first word of a command, as it is written."""
    command = statement.command
    return command.words[0].text if command is not None and command.words else ""


def texts_of(given: list[Given]) -> tuple[str, ...]:
    """The words of a command; one that is not known, as it is written."""
    return tuple(word.shown for word in given)


def bare_builtin(given: list[Given]) -> str | None:
    """A command that sets variables, spelt so that it is not read as one: `command export A=1`."""
    texts = texts_of(given)
    words = unwrapped(texts)
    is_wrapped = words != texts
    if not words:
        return None
    if words[0] in DECLARATIONS or (is_wrapped and words[0] in OWN_MEANING - SILENT):
        return words[0]
    return words[0] if is_wrapped and set_by_words(words) else None


def is_builtin_path(head: str) -> bool:
    """True if a path ends in the name of a builtin: `./set` is another program than `set`."""
    return "/" in head and posixpath.basename(head) in OWN_MEANING - SILENT - {"conda"}


def is_clean_up(words: tuple[str, ...]) -> bool:
    """True if a command ends processes: `pkill -f swift`, `fuser -k 29500/tcp`, `xargs kill`."""
    while words and words[0] in ("sudo", "command"):
        words = words[1:]
    if words[:1] == ("xargs",):
        return any(word in _ENDERS for word in words[1:])
    if words[:1] == ("fuser",):
        return any(word[:1] == "-" and "k" in word for word in words[1:])
    return bool(words) and words[0] in _ENDERS and "-l" not in words


def only_reports(words: tuple[str, ...]) -> bool:
    """True if a `trap` only prints where the script has failed, or takes an earlier one back."""
    if len(words) < 3 or words[1] in ("-", ""):
        return len(words) >= 3
    commands = [command.split() for command in re.split(r"[;\n]|&&|\|\|", words[1])]
    is_plain = not re.search(r"\$\(|`|>\s*[^&\s]", words[1])
    return is_plain and all(not c or c[0] in ("echo", "printf", "exit") for c in commands)


def writes_a_file(statement: Statement) -> bool:
    """True if the output of a statement goes to a file."""
    return any(redirect.target not in _TERMINAL for redirect in statement.redirects)


# --- the parts of `a && b || c` -------------------------------------------------------------------


def is_bail_out(statement: Statement) -> bool:
    """True if a statement is `exit 1` or the like, or `{ echo …; exit 1; }`."""
    if statement.kind == "group":
        return all(is_bail_out(part) for part in statement.parts)
    return statement.kind == "command" and head_of(statement) in _BAIL_OUT


def is_stop(statement: Statement) -> bool:
    """True if a bail-out ends the script."""
    if statement.kind == "group":
        return any(is_stop(part) for part in statement.parts)
    return head_of(statement) == "exit"


def ends_the_script(body: list[Statement]) -> bool:
    """True if statements end the script, and do no more than to say so."""
    return any(map(is_stop, body)) and all(map(is_bail_out, body))


def is_silent(statement: Statement) -> bool:
    """True if a statement prints, or does nothing."""
    if statement.kind == "group":
        return all(is_silent(part) for part in statement.parts)
    return statement.kind == "command" and head_of(statement) in SILENT and not statement.writes


def goes_well(statement: Statement) -> bool:
    """True if what stands behind its `&&` is done, or the job has failed before."""
    if statement.kind == "group":
        return all(goes_well(part) for part in statement.parts)
    command = statement.command
    if command is None or statement.background or _redirects(statement):
        return False
    if runs_programs(statement):
        return head_of(statement) in ("cd", "eval") or command.declaration is not None
    if command.declaration or not command.words:
        return True
    return head_of(statement) in _CERTAIN


def runs_programs(statement: Statement) -> bool:
    """True if a statement has a `$(…)`."""
    return "$(" in statement.text or "`" in statement.text


def _redirects(statement: Statement) -> bool:
    return any(r.target not in ("1", "2", "/dev/null") for r in statement.redirects)
