"""The content of a repository's files as a run had them: those of its commit, with the difference that was kept."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from prl_submit.made_of.hunks import FilePart, applied, parts_of
from prl_submit.made_of.recorded import MadeOf, read_kept
from prl_submit.made_of.working_tree import MAX_FILE
from prl_submit.system.credentials import masked
from prl_submit.system.git import GitReader
from prl_submit.system.shell import Shell

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", re.ASCII)
#: So many commits between two runs are listed.
MAX_COMMITS = 50


class CodeVersion(Struct, frozen=True):
    """The code of one run. `commit`: None if it is not known; `parts`: what its working tree had beside it."""

    commit: str | None
    parts: dict[str, FilePart]
    is_known: bool


class CodeOrigin(Struct, frozen=True):
    """One run: its name, what it was made of, and what plan.json says of its code: a run may have only that.

    `is_clean`: True if nothing had changed since the commit.
    """

    name: str
    made_of: MadeOf
    workdir: str | None = None
    commit: str | None = None
    is_clean: bool = False


def code_version(run: CodeOrigin) -> CodeVersion:
    """The code of a run."""
    code, folder = run.made_of.code, run.made_of.folder
    if code is None or folder is None or code.fault is not None:
        return CodeVersion(_checked(run.commit), {}, is_known=run.is_clean)
    text = read_kept(folder, code.diff) if code.diff else ""
    return CodeVersion(_checked(code.commit), parts_of(text or ""), is_known=text is not None)


def _checked(commit: str | None) -> str | None:
    """The commit, if it is one: the file may be somebody else's, and git would take `--x` for an option."""
    return commit if commit is not None and _COMMIT.fullmatch(commit) else None


class CodeHistory:
    """The repository of two runs, if it is still on this machine and has the commits of both."""

    def __init__(self, folder: str, shell: Shell, environ: Mapping[str, str]) -> None:
        self._git = GitReader(shell, folder, environ, seconds=20)

    def has(self, commit: str) -> bool:
        """True if the repository has this commit."""
        return self._git.ask("cat-file", "-e", f"{commit}^{{commit}}", timeout=5).code == 0

    def commits(self, one: str, other: str) -> list[str]:
        """The commits that the other has and the one has not, newest first: short name and title."""
        words = ["log", "--format=%h %s", "--no-color", f"--max-count={MAX_COMMITS + 1}"]
        answer = self._git.ask(*words, f"{one}..{other}", "--")
        return answer.out.splitlines() if answer.code == 0 else []

    def changed(self, one: str, other: str) -> list[str] | None:
        """The paths of the files that differ between two commits; None if git does not say."""
        answer = self._git.ask("diff-tree", "-r", "--name-only", "-z", "--no-renames", one, other)
        return answer.out.split("\0")[:-1] if answer.code == 0 else None

    def content(self, commit: str, path: str) -> str | None:
        """A text file of a commit without credentials; None if it is large, binary or no file."""
        name = f"{commit}:{path}"
        size = self._git.ask("cat-file", "-s", name, timeout=5)
        if size.code != 0 or not size.out.strip().isdecimal() or int(size.out) > MAX_FILE:
            return None
        answer = self._git.ask("cat-file", "blob", name, timeout=5)
        return masked(answer.out)[0] if answer.code == 0 and "\0" not in answer.out else None

    def is_missing(self, commit: str, path: str) -> bool:
        """True if a commit has no such file."""
        answer = self._git.ask("ls-tree", "--name-only", "-z", "--full-tree", commit, path)
        return answer.code == 0 and not answer.out


def find_history(
    runs: tuple[CodeOrigin, CodeOrigin],
    commits: Sequence[str],
    shell: Shell,
    environ: Mapping[str, str],
) -> CodeHistory | None:
    """The repository that has the commits of both runs; None if there is none on this machine."""
    for run in reversed(runs):
        code = run.made_of.code
        folder = code.repository if code is not None else run.workdir
        if folder and os.path.isabs(folder) and Path(folder).is_dir():
            history = CodeHistory(folder, shell, environ)
            if all(map(history.has, commits)):
                return history
    return None


def content_of(
    commit: str, part: FilePart | None, path: str, history: CodeHistory
) -> tuple[bool, str | None]:
    """True and the content of a file as a run had it, None for no file; False if it is not known.

    `part`: what the run's working tree had beside the commit.
    """
    if part is not None and (part.is_removed or not part.is_whole):
        return part.is_removed, None
    if part is not None and part.is_new:
        return True, applied("", part.hunks)
    old = history.content(commit, path)
    if old is None:
        return history.is_missing(commit, path) and part is None, None
    if part is None:
        return True, old
    new = applied(old, part.hunks)
    return new is not None, new
