"""Finds credentials in a script, so that none gets into a spec or a message."""

from __future__ import annotations

import re

from prl_submit.rules import looks_secret

#: What a spec or a message shows in place of one.
HIDDEN = "…"
#: A shorter value is no credential, and would be found in any text.
_SHORTEST = 6
_VALUE = r"""(?P<value>(?:"(?:[^"\\]|\\.)*"|'[^']*'|\$'(?:[^'\\]|\\.)*'|\$\([^)]{0,999}\)|\$\{[^}]{0,999}\}|\\.|[^\s;&|()<>"'`\\])+)"""
_ASSIGNED = re.compile(r"\b(?P<name>[A-Za-z_]\w{0,99})(?:\[[^\]]{0,80}\])?\+?=" + _VALUE, re.ASCII)
#: In a here-document: `"token": "x"`, `api_key: x`.
_ENTRY = re.compile(r"\b(?P<name>[A-Za-z_]\w{0,99})[\"']?[ \t]{0,9}:[ \t]+" + _VALUE, re.ASCII)
_OPTION = re.compile(
    r"(?<![\w-])--?(?P<name>(?:[A-Za-z0-9]{1,30}[-_]){0,6}(?:token|key|secret|password|passwd|apikey))(?:[ \t]+|=)"
    rf"(?!(?:is|has|takes)\b){_VALUE}",
    re.ASCII | re.IGNORECASE,
)
#: Names of tokens of a tokenizer, which are no credentials.
_OF_TOKENIZERS = re.compile(
    r"(eos|bos|pad|unk|sep|cls|mask|special|image|stop|end|start)[-_]token", re.IGNORECASE
)
_HEADER = re.compile(r"(?:Bearer|Basic)[ \t]+(?P<value>[\w.~+/=-]{6,})", re.IGNORECASE)
_ADDRESS = re.compile(r"://[^/\s:@\"']{0,99}:(?P<value>[^/\s@$\"']+)@")
#: Credentials of well-known services, by their beginnings.
_KNOWN = re.compile(r"\b(?P<value>(?:hf_|ghp_|gho_|glpat-|xox[abp]-|sk-)[A-Za-z0-9_-]{12,})")
#: Text that names a value and does not hold it: `$A`, `${A}`, `${A:-}`, `$(…)`, and quotes.
_NAMED = re.compile(
    r"\$\([^)]*\)|`[^`]*`|\$\{[A-Za-z_]\w*(?::?[-?])?\}|\$[A-Za-z_]\w*|\$[0-9@*]|[\"'\\]", re.ASCII
)


def literal_secrets(text: str) -> list[str]:
    """The names of credentials written out in a text; empty for those without a name."""
    return [
        match["name"] if pattern is _ASSIGNED else ""
        for pattern in (_ASSIGNED, _ENTRY, _OPTION, _HEADER, _ADDRESS, _KNOWN)
        for match in pattern.finditer(text)
        if _is_secret(pattern, match)
    ]


def _is_secret(pattern: re.Pattern[str], match: re.Match[str]) -> bool:
    if pattern not in (_ASSIGNED, _ENTRY, _OPTION):
        return True
    name, value = match["name"], match["value"]
    if _OF_TOKENIZERS.fullmatch(name) or not _NAMED.sub("", value).strip(" \t,}"):
        return False
    return value[:1] != "-" if pattern is _OPTION else looks_secret(name, value)


def masked(text: str, hidden: set[str]) -> str:
    """A message without the credentials in it."""
    for pattern in (_ASSIGNED, _OPTION, _HEADER, _ADDRESS, _KNOWN):
        for match in reversed(list(pattern.finditer(text))):
            if _is_secret(pattern, match):
                text = text[: match.start("value")] + HIDDEN + text[match.end("value") :]
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def is_worth_hiding(name: str, value: str) -> bool:
    """True if a variable's value must be shown nowhere."""
    return len(value) >= _SHORTEST and looks_secret(name, value)
