"""Which files, and which variables of the user's environment, are credentials and are left out of copies of code.

Too much is left out rather than too little, because a run directory is often readable for a whole group. What
looks like a credential in a line: system/credentials.py.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from prl_submit.rules import looks_secret
from prl_submit.system.credential_patterns import FILES, FOLDERS, NOT_FILES

#: A shorter value of a variable is no credential, and would be found in any text.
_SHORTEST = 6


def is_credentials_file(path: str) -> bool:
    """True if the name of a file says that it holds credentials."""
    *folders, name = path.lower().split("/")
    if FOLDERS.intersection(folders):
        return True
    if any(fnmatchcase(name, pattern) for pattern in NOT_FILES):
        return False
    return any(fnmatchcase(name, pattern) for pattern in FILES)


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
