"""What ends processes of a run before, which a job does by itself."""

from __future__ import annotations

import re

_ENDERS = frozenset(["pkill", "killall", "kill"])


def is_clean_up(words: tuple[str, ...]) -> bool:
    """Whether a command ends processes: `pkill -f swift`, `fuser -k 29500/tcp`, `xargs kill`."""
    while words and words[0] in ("sudo", "command"):
        words = words[1:]
    if words[:1] == ("xargs",):
        return any(word in _ENDERS for word in words[1:])
    if words[:1] == ("fuser",):
        return any(word[:1] == "-" and "k" in word for word in words[1:])
    return bool(words) and words[0] in _ENDERS and "-l" not in words


def only_reports(words: tuple[str, ...]) -> bool:
    """Whether a trap only prints where the script has failed, or is taken back."""
    if len(words) < 3 or words[1] in ("-", ""):
        return len(words) >= 3
    commands = [command.split() for command in re.split(r"[;\n]|&&|\|\|", words[1])]
    is_plain = not re.search(r"\$\(|`|>\s*[^&\s]", words[1])
    return is_plain and all(not c or c[0] in ("echo", "printf", "exit") for c in commands)
