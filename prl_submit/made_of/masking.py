"""Leaving credentials out of the copies of a user's code: files by their names, and parts of lines.

Too much is left out rather than too little, because a run directory is often readable for a whole group.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache

from prl_submit.rules import looks_secret

#: Stands where a credential was.
MARK = "***"
#: A shorter value of a variable is no credential, and would be found in any text.
_SHORTEST = 6
#: Names of files with credentials, in lower case; `*` stands for any characters.
_FILES = (
    ".env", ".env.*", "*.env", ".envrc", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx", "*.gpg", "*.keystore",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".npmrc", ".pypirc", ".git-credentials",
    ".htpasswd", ".pgpass", "credentials", "credentials.*", "*credentials.json", "service-account*.json",
    "service_account*.json", "kubeconfig", "*.kubeconfig", "secret.*", "secrets.*", "*.secret", "*.secrets", "*.token",
    "token", "token.txt", ".hf_token", "*_token.txt", "*_key.txt", "api_key*", "apikey*",
)  # fmt: skip
#: Examples that hold no credential.
_NOT_FILES = (".env.example", ".env.sample", ".env.template", "*.example", "*.py")
#: Folders whose files are credentials.
_FOLDERS = frozenset({".ssh", ".aws", ".kube", ".docker", ".gnupg", ".netrc.d"})

#: Credentials of well-known services, by their beginnings.
_KNOWN = (
    r"\b(?:hf_[A-Za-z0-9]{10,}|gh[pousr]_[A-Za-z0-9]{10,}|github_pat_[A-Za-z0-9_]{10,}|glpat-[A-Za-z0-9_-]{10,}"
    r"|xox[a-z]-[A-Za-z0-9-]{10,}|sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{12,}"
    r"|LTAI[A-Za-z0-9]{12,}|AIza[A-Za-z0-9_-]{30,}|nvapi-[A-Za-z0-9_-]{10,}|npm_[A-Za-z0-9]{20,}"
    r"|pypi-[A-Za-z0-9_-]{20,}|r8_[A-Za-z0-9]{20,}|ms-[0-9a-f]{8}(?:-[0-9a-f]{4,12}){2,4}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?)"
)
_HEADER = r"(?P<kept>\b(?:Bearer|Basic)[ \t]+)(?=[\w.~+/=-]*[0-9=])[\w.~+/=-]{6,}"
_ADDRESS = r"(?P<kept>://[^/\s:@\"']{0,99}:)[^/\s@$\"'{}]+(?=@)"
_LOGIN = r"(?P<kept>\blogin[ \t]+(?:--relogin[ \t]+)?)[0-9a-f]{32,}\b"
#: The end of a name of a credential; a pattern that uses it closes its group. `_name_before` looks at what is
#: before it in the name, and only for a match, because a pattern that begins with a name of any length takes
#: minutes for a long line.
_WORD = r"(?P<name>(?i:token|secret|passw(?:or)?d|passwd|pwd|(?:api|access|secret|private|auth)[_-]?key|credential)s?(?i:_?id)?"
#: Only lines with one of these are looked at for a name, because that is much faster.
_WORDS = ("token", "secret", "passw", "pwd", "key", "credential")
#: `TOKEN="…"`, `"api_key": "…"`, `password: str = '…'`.
_QUOTED = (
    rf"(?P<kept>{_WORD}|KEY)(?:[\"']?\]?[ \t]*)(?::[ \t]*[A-Za-z_.]{{1,30}}[ \t]*)?(?::=|[=:])[ \t]*[rbuRBU]?"
    r"(?P<quote>[\"']))(?P<value>(?:\\.|(?!(?P=quote))[^\\\n])+)"
)
#: `export TOKEN=…`, `API_KEY: …`: without quotes, so the name is in capitals.
_BARE = (
    r"(?P<kept>(?P<name>(?:TOKEN|SECRET|PASSWORD|PASSWD|PWD|KEY|CREDENTIAL)S?)[ \t]*(?:\+?=|:[ \t])[ \t]*)"
    r"(?P<value>[^\s\"'$`(){}\[\]<>,;&|#=]+)(?![\w(\[])"
)
#: `api_key: …` of a YAML file, in small letters.
_ENTRY = (
    rf"(?P<kept>{_WORD}):[ \t]+)(?P<value>(?=\S*[0-9])[^\s\"'$`(){{}}\[\]<>,;&|#]{{6,}})(?=[ \t]*$)"
)
#: `--hf-token …`, `--token=…`
_OPTION = (
    rf"(?P<kept>{_WORD}|(?<=-)key)(?:[ \t]+|=)[\"']?)"
    r"(?P<value>(?=\S*[0-9])[^\s\"'$`(){}\[\]<>,;&|-][^\s\"'$`(){}\[\]<>,;&|]{5,})"
)
#: The lines of a private key, in a file or in a difference.
_PRIVATE_KEY = r"(?P<kept>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:\\n|[ \t\r]*\n[ +-]?[ \t]*(?=[A-Za-z0-9+/=\\]{8})|[A-Za-z0-9+/=])+"
#: Tokens of a tokenizer, and how many tokens: no credentials.
_OF_TOKENIZERS = re.compile(
    r"(?:.*[._-])?(?:eos|bos|pad|unk|sep|cls|mask|special|image|video|audio|stop|end|start|new|extra|think|tool|n|num|max|min"
    r"|total|per|each|last|first|next|response|prompt|completion|added|additional|begin|generation)[._-]?(?:special[._-]?)?tokens?",
    re.IGNORECASE,
)
#: Texts that are no credentials: special tokens, names of variables and placeholders.
_HARMLESS = re.compile(
    r"<.*>|\[[A-Z_]+\]|\$.*|%.*|\{.*\}|[*x.…-]+|none|null|true|false|empty|auto|str|int|[0-9]{1,6}|your[-_ ].*",
    re.IGNORECASE,
)


def is_credentials_file(path: str) -> bool:
    """True if the name of a file says that it holds credentials."""
    *folders, name = path.lower().split("/")
    if _FOLDERS.intersection(folders):
        return True
    if any(fnmatchcase(name, pattern) for pattern in _NOT_FILES):
        return False
    return any(fnmatchcase(name, pattern) for pattern in _FILES)


def credentials_of(environ: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """The values of variables that are shown nowhere: those that the spec calls secret, and others by their names."""
    wanted = set(secrets)
    found = {
        line
        for name, value in environ.items()
        if name in wanted or looks_secret(name, value)
        for line in value.splitlines()
        if len(line) >= _SHORTEST and not os.path.isdir(line)
    }
    return sorted(found, key=len, reverse=True)


def masked(text: str, values: Iterable[str] = ()) -> tuple[str, int]:
    """A text without credentials, and in how many places one was left out. `values`: credentials that are known."""
    count = 0
    for value in values:
        count += text.count(value)
        text = text.replace(value, MARK)
    for pattern in _patterns():
        text, marks = _replaced(text, pattern, None)
        count += marks
    if not any(word in text.lower() for word in _WORDS):
        return text, count
    lines = text.split("\n")
    for number, line in enumerate(lines):
        lowered = line.lower()
        if any(word in lowered for word in _WORDS):
            lines[number], marks = _masked_line(line)
            count += marks
    return "\n".join(lines), count


def _masked_line(line: str) -> tuple[str, int]:
    """A line without the credentials that it assigns to a name, and how many these are."""
    count = 0
    for pattern, is_name in _assigning_patterns():
        line, marks = _replaced(line, pattern, is_name)
        count += marks
    return line, count


#: Says whether a whole name can be that of a credential.
_IsName = Callable[[str], bool]


def _replaced(text: str, pattern: re.Pattern[str], is_name: _IsName | None) -> tuple[str, int]:
    """The text with a mark for each credential that the pattern finds, and how many these are."""
    count = 0

    def mark(match: re.Match[str]) -> str:
        nonlocal count
        if is_name is not None:
            name = _name_before(match.string, match.start()) + match["name"]
            if not is_name(name) or _is_harmless(name.lstrip("-"), match["value"]):
                return match[0]
        count += 1
        return f"{match['kept'] if 'kept' in match.re.groupindex else ''}{MARK}"

    return pattern.sub(mark, text), count


def _name_before(text: str, end: int) -> str:
    """The part of a name that stands before a place in a text."""
    start = end
    while start > max(end - 60, 0) and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    return text[start:end]


def _is_harmless(name: str, value: str) -> bool:
    """True if an assigned value is no credential."""
    if value == MARK or _HARMLESS.fullmatch(value) or _OF_TOKENIZERS.fullmatch(name):
        return True
    if name.endswith("PWD"):
        return value[:1] in "/.~"  # the working directory
    # `API_KEY = "mean"` is nobody's; a credential has digits, or is longer.
    return name.lower().endswith("key") and value.isalpha() and len(value) < 16


def _is_any(name: str) -> bool:
    return True


def _is_option(name: str) -> bool:
    return name.startswith("-")


@cache
def _patterns() -> list[re.Pattern[str]]:
    """The patterns of credentials that are known by themselves."""
    return [re.compile(text) for text in (_PRIVATE_KEY, _KNOWN, _HEADER, _ADDRESS, _LOGIN)]


@cache
def _assigning_patterns() -> list[tuple[re.Pattern[str], _IsName]]:
    """The patterns of lines that assign a value to a name."""
    texts: list[tuple[str, _IsName]] = [
        (_QUOTED, _is_any),
        (_BARE, str.isupper),
        (_OPTION, _is_option),
        (_ENTRY, _is_any),
    ]
    return [(re.compile(text), is_name) for text, is_name in texts]
