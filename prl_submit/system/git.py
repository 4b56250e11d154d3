"""Asking git about a repository: nothing is written, and no program is run that the repository names.

A repository's own configuration can name programs that `git status` and `git diff` run: a file system monitor,
external diffs, text converters, filters, hooks. A user's own configuration may have filters too (git-lfs), and
these run. Objects that a partial clone lacks are not fetched.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from prl_submit.system.shell import Answer, Shell

#: Variables of git that say whose configuration is read. All others could name another repository or a program.
_KEPT = (
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_KEY_",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_VALUE_",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXEC_PATH",
)
_OWN = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
#: Files above 512 KiB are binary to git, so it prints no difference of them.
_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "core.bigFileThreshold=512k",
    "diff.suppressBlankEmpty=false",
    "log.showSignature=false",
)
#: The scopes of settings that stand in the repository, as git calls them.
_OF_A_REPOSITORY = frozenset({"local", "worktree"})
#: Options of `git diff` and `git log`: no program of the repository, and one form whatever the user's settings.
DIFF_OPTIONS = (
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-renames",
    "--no-relative",
    "--submodule=short",
    "--ignore-submodules=dirty",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


class GitReader:
    """Asks git about the repository in which a folder is. All questions together have a limit in seconds."""

    def __init__(
        self, shell: Shell, folder: str, environ: Mapping[str, str], *, seconds: float = 15
    ) -> None:
        self.folder = folder
        self._shell = shell
        self._environ = _environ(environ)
        self._ends = time.monotonic() + seconds
        self._filters: list[str] | None = None

    def ask(
        self, *words: str, timeout: float = 10, stdin: str | None = None, folder: str | None = None
    ) -> Answer:
        """The answer of a command that reads no file of the working tree. Its code is 124 if time is up.

        `folder`: where it runs, if not in the folder of the reader.
        """
        return self._ask([], words, timeout, stdin, folder)

    def ask_of_files(self, *words: str, timeout: float = 10) -> Answer:
        """The answer of a command that compares files, for which git may run filters: not the repository's."""
        if self._filters is None:
            self._filters = self._own_filters()
        if any("=" in name or "\n" in name for name in self._filters):
            return Answer(126, "", "git: its configuration names a filter whose name has a `=`")
        off = [
            f"filter.{name}.{key}"
            for name in self._filters
            for key in ("clean=", "smudge=", "process=", "required=false")
        ]
        return self._ask(off, words, timeout)

    def _ask(
        self,
        settings: Sequence[str],
        words: Sequence[str],
        timeout: float,
        stdin: str | None = None,
        folder: str | None = None,
    ) -> Answer:
        left = self._ends - time.monotonic()
        if left <= 0:
            return Answer(124, "", "git: no answer in time")
        options = [word for setting in (*_SETTINGS, *settings) for word in ("-c", setting)]
        argv = ["git", "-C", folder or self.folder, "--no-pager", "--literal-pathspecs"]
        argv += [*options, *words]
        return self._shell(argv, timeout=min(timeout, left), environ=self._environ, stdin=stdin)

    def _own_filters(self) -> list[str]:
        """The names of the filters that the repository's own configuration sets."""
        words = ["config", "--null", "--name-only", "--get-regexp", r"^filter\."]
        answer = self.ask(*words[:2], "--show-scope", *words[2:])
        if answer.code == 129:  # before git 2.26: then the user's filters are off too
            keys = self.ask(*words).out.split("\0")[:-1]
            return sorted({_filter_of(key) for key in keys})
        fields = answer.out.split("\0")[:-1]
        pairs = zip(fields[::2], fields[1::2], strict=False)
        return sorted({_filter_of(key) for scope, key in pairs if scope in _OF_A_REPOSITORY})


def _filter_of(key: str) -> str:
    """`filter.lfs.clean` -> `lfs`."""
    return key.removeprefix("filter.").rpartition(".")[0]


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT)
    }
    return {**kept, **_OWN}
