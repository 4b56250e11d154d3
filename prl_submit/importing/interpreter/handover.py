"""`bash other.sh`, `./other.sh`, `bash -c '…'`: another shell goes on; and what the user assumes."""

from __future__ import annotations

import posixpath

from msgspec import Struct

from prl_submit.importing.bash.effects import TRAINING
from prl_submit.importing.bash.scope import Field, Gap, Given, Scope, UnknownError
from prl_submit.importing.bash.statements import read_script
from prl_submit.importing.bash.words import expand_fields
from prl_submit.importing.findings import Findings
from prl_submit.importing.training import Refused, Start
from prl_submit.importing.wrappers import unwrap

_SHELLS = frozenset(["bash", "sh"])
#: Their options that change nothing for what follows.
_QUIET = frozenset("euxlvi")


class Order(Struct, frozen=True, kw_only=True):
    """What a shell is to run: a script by its path, or a text; `start` has what stands before it."""

    script: str
    arguments: list[Given]
    start: Start
    text: str | None = None
    found: tuple[str, bytes] | None = None


def read_order(given: list[Given]) -> Order | None:
    """The order that a command gives to another shell; None where it gives none."""
    unwrapped = unwrap(given)
    if isinstance(unwrapped, Refused):
        return None
    words, start = unwrapped
    head = words[0] if words else None
    if not isinstance(head, Field):
        return None
    if posixpath.basename(head.text) in _SHELLS:
        return _of_shell(words, start)
    if head.text.endswith(".sh") and "/" in head.text:
        return Order(script=head.text, arguments=words[1:], start=start)
    return None


def _of_shell(words: list[Given], start: Start) -> Order | None:
    shell, rest = words[0], words[1:]
    is_text = False
    while rest and isinstance(rest[0], Field) and rest[0].text[:1] in "-+" and rest[0].text:
        option, rest = rest[0].text, rest[1:]
        if option in ("--login", "--norc", "--noprofile", "--"):
            continue
        flags = set(option[1:])
        if "o" in flags and rest:
            rest = rest[1:]
        if not flags <= _QUIET | {"c", "o"}:
            return None
        is_text |= "c" in flags
    if not rest or not isinstance(rest[0], Field):
        return None
    if not is_text:
        return Order(script=rest[0].text, arguments=rest[1:], start=start)
    if not TRAINING.search(rest[0].text):
        return None
    own = rest[1] if len(rest) > 1 else shell
    name = own.text if isinstance(own, Field) else "bash"
    return Order(script=name, arguments=rest[2:], start=start, text=rest[0].text)


def assume(scope: Scope, values: dict[str, str], findings: Findings) -> None:
    """Take values that only the run knows as the user says; `(a b)` is an array, a number an argument."""
    for name, text in values.items():
        if name.isdigit():
            continue
        scope.assumed[name] = _items(text, scope, findings) if _is_array(text) else text
    numbers = sorted(int(name) for name in values if name.isdigit())
    if numbers:
        scope.arguments = [Field(values.get(str(n), ""), 1) for n in range(1, numbers[-1] + 1)]


def _is_array(text: str) -> bool:
    return text.startswith("(") and text.endswith(")")


def _items(text: str, scope: Scope, findings: Findings) -> list[Given]:
    statements, problems = read_script(f"A={text}".encode(), "--assume")
    command = statements[0].command if len(statements) == 1 and not problems else None
    written = command.assignments[0].value if command and command.assignments else None
    if not isinstance(written, list):
        findings.error(None, f"--assume {text}: not an array as bash writes it", "'NAME=(a b)'")
        return []
    items: list[Given] = []
    for word in written:
        try:
            items += expand_fields(word, scope)
        except UnknownError as error:
            items.append(Gap(word.text, 1, error.unknown))
    return items
