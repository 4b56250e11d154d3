"""What small programs print for a known input: tr, wc, cut, awk, sed, seq, grep -o, printf.

Only those forms are known with which scripts count GPUs and make names. For all else the functions
return None.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_SETS = {"[:upper:]": "A-Z", "[:lower:]": "a-z", "[:digit:]": "0-9"}
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}
_MOST = 100_000

Filter = Callable[[list[str], str], "str | None"]


def filtered(words: list[str], text: str) -> str | None:
    """What a program prints for a text on its standard input; None where it is not known."""
    program = _FILTERS.get(words[0]) if words else None
    is_plain = text.isascii() or words == ["cat"]
    if text[-1:] not in ("", "\n") and words[:1] in (["sed"], ["rev"]):
        return None  # these programs add no end to the last line
    if program is None or len(text) > _MOST or not is_plain:
        return None
    return program(words[1:], text)


def printed(words: list[str]) -> str | None:
    """What `printf` and `seq` print."""
    if words[:1] == ["printf"]:
        return _printf(words[1:])
    if words[:1] == ["seq"]:
        return _seq(words[1:])
    return None


def _printf(words: list[str]) -> str | None:
    if not words or words[0][:1] == "-":
        return None
    pattern, values = words[0], words[1:]
    marks = re.findall(r"%.", pattern)
    if any(mark not in ("%s", "%d") for mark in marks) or len(marks) != len(values):
        return None
    found: list[str] = []
    for part in re.findall(r"%[sd]|\\[nt\\]|[^%\\]", pattern):
        if part == "%d" and not re.fullmatch(r"-?(0|[1-9][0-9]{0,15})", values[0]):
            return None
        if part[0] == "%":
            found.append(values.pop(0))
        else:
            found.append(_ESCAPES[part[1]] if part[0] == "\\" else part)
    return "".join(found) if "\\" not in re.sub(r"\\[nt\\]", "", pattern) else None


def _seq(words: list[str]) -> str | None:
    separator = "\n"
    while words and words[0][:2] == "-s":
        attached = words[0][2:]
        separator = attached or (words[1] if len(words) > 1 else "")
        words = words[1:] if attached else words[2:]
    if not 1 <= len(words) <= 2 or not all(re.fullmatch(r"-?[0-9]{1,5}", word) for word in words):
        return None
    first, last = (1, int(words[0])) if len(words) == 1 else (int(words[0]), int(words[1]))
    return separator.join(map(str, range(first, last + 1))) + "\n" if first <= last else ""


def _tr(words: list[str], text: str) -> str | None:
    deletes = words[:1] == ["-d"]
    if not deletes and any(re.match(r"-[A-Za-z-]", word) for word in words):
        return None
    sets = [_members(word) for word in (words[1:] if deletes else words)]
    if any(members is None for members in sets) or len(sets) != (1 if deletes else 2):
        return None
    first = sets[0] or ""
    if deletes:
        return "".join(char for char in text if char not in first)
    second = sets[1] or ""
    if not second:
        return None
    second += second[-1] * (len(first) - len(second))
    instead = second[: len(first)]
    if len(set(first)) != len(first):
        return None
    return text.translate(str.maketrans(first, instead))


def _members(word: str) -> str | None:
    """The characters of a set of `tr`: plain ones, `a-z`, escapes, and classes."""
    word = _SETS.get(word, word)
    if "[" in word or "]" in word:
        return None
    found = ""
    for part in re.findall(r"[A-Za-z0-9]-[A-Za-z0-9]|\\.|.", word, re.DOTALL):
        if len(part) == 3:
            found += "".join(map(chr, range(ord(part[0]), ord(part[2]) + 1)))
        elif len(part) == 2 and part[1] not in _ESCAPES:
            return None
        else:
            found += _ESCAPES[part[1]] if len(part) == 2 else part
    return found


def _wc(words: list[str], text: str) -> str | None:
    counts = {"-l": text.count("\n"), "-w": len(text.split()), "-c": len(text), "-m": len(text)}
    return f"{counts[words[0]]}\n" if len(words) == 1 and words[0] in counts else None


def _cut(words: list[str], text: str) -> str | None:
    options = "".join(word if word[:1] == "-" else f"{word}\0" for word in words)
    match = re.fullmatch(r"-d(.)\0?-f([0-9]+)\0?|-f([0-9]+)\0?-d(.)\0?", options)
    if match is None:
        return None
    separator, number = match[1] or match[4], int(match[2] or match[3])
    lines = [line.split(separator) for line in text.splitlines()]
    cut = [line[0] if len(line) == 1 else "".join(line[number - 1 : number]) for line in lines]
    return "".join(f"{line}\n" for line in cut) if number > 0 else None


def _awk(words: list[str], text: str) -> str | None:
    """What `awk -F, '{print NF}'` prints; `$2` and `$NF` likewise."""
    separator: str | None = None
    while len(words) > 1 and words[0][:2] == "-F":
        attached = words[0][2:]
        separator, words = attached or words[1], words[1:] if attached else words[2:]
    match = re.fullmatch(
        r"\s*\{\s*print\s+(NF|\$NF|\$[0-9])\s*;?\s*\}\s*", words[0] if words else ""
    )
    if (
        match is None
        or len(words) != 1
        or (separator is not None and not re.fullmatch(r"[,:/;_=-]", separator))
    ):
        return None
    found = ""
    for line in text.splitlines():
        fields = (line.split(separator) if line else []) if separator else line.split()
        wanted = match[1]
        if wanted == "NF":
            found += f"{len(fields)}\n"
        elif wanted == "$0":
            found += f"{line}\n"
        else:
            at = len(fields) if wanted == "$NF" else int(wanted[1:])
            found += f"{fields[at - 1] if 0 < at <= len(fields) else ''}\n"
    return found


def _grep(words: list[str], text: str) -> str | None:
    """What `grep -o X` prints, where X is plain text."""
    if len(words) != 2 or words[0] != "-o" or not re.fullmatch(r"[\w,:/=-]+", words[1], re.ASCII):
        return None
    count = sum(line.count(words[1]) for line in text.splitlines())
    return f"{words[1]}\n" * count if words[1][0] != "-" else None


def _sed(words: list[str], text: str) -> str | None:
    """What `sed 's/a/b/g'` prints, where both are plain text."""
    words = [word for word in words if word not in ("-e", "-E", "-r")]
    match = re.fullmatch(
        r"s(?P<s>[/|#,])(?P<a>(?:\\.|[\w ,:.=-])+)(?P=s)(?P<b>(?:\\/|[\w ,:=.-])*)(?P=s)(?P<g>g?)",
        words[0] if words else "",
    )
    if match is None or len(words) != 1:
        return None
    what, instead = re.sub(r"\\([/.,|#-])", r"\1", match["a"]), match["b"].replace("\\/", "/")
    if "\\" in what or ("." in match["a"] and "\\." not in match["a"]):
        return None
    lines = text.splitlines()
    return "".join(f"{line.replace(what, instead, -1 if match['g'] else 1)}\n" for line in lines)


def _first_lines(words: list[str], text: str) -> str | None:
    """What `head -1` or `head -n 1` prints."""
    count = _line_count(words)
    return None if count is None else "".join(text.splitlines(keepends=True)[:count])


def _last_lines(words: list[str], text: str) -> str | None:
    """What `tail -1` or `tail -n 1` prints."""
    count = _line_count(words)
    return "".join(text.splitlines(keepends=True)[-count:]) if count else None


def _line_count(words: list[str]) -> int | None:
    match = re.fullmatch(r"-n?([0-9]{1,4})", "".join(words))
    return int(match[1]) if match else None


def _xargs(words: list[str], text: str) -> str | None:
    return " ".join(text.split()) + "\n" if not words and not set(text) & set("'\"\\") else None


def _rev(words: list[str], text: str) -> str | None:
    return "".join(f"{line[::-1]}\n" for line in text.splitlines()) if not words else None


_FILTERS: dict[str, Filter] = {
    "tr": _tr,
    "wc": _wc,
    "cut": _cut,
    "awk": _awk,
    "grep": _grep,
    "sed": _sed,
    "head": _first_lines,
    "tail": _last_lines,
    "xargs": _xargs,
    "cat": lambda words, text: None if words else text,
    "rev": _rev,
}
