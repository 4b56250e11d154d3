"""What the working tree of a repository has beside its last commit, as one difference without credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from prl_submit.made_of.contents import LeftOut
from prl_submit.made_of.masking import is_credentials_file
from prl_submit.made_of.new_files import as_difference, read_new_file, size_in_words
from prl_submit.system.credentials import masked
from prl_submit.system.git import DIFF_OPTIONS, GitReader
from prl_submit.system.shell import Answer, Shell

#: The largest file, old or new, whose changes are kept; the largest sum of such files; and how many.
MAX_FILE = 512 << 10
MAX_SUM = 4 << 20
MAX_FILES = 500
#: The largest difference that is kept, in characters.
MAX_DIFFERENCE = 2 << 20
#: git's name of a tree without files, to which a repository without a commit is compared.
_NOTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_CREDENTIALS = "its name is that of a file with credentials"
_TOO_MANY = "more files differ than are kept"
_SUBMODULE = "160000"


class WorkingTree(Struct, frozen=True, kw_only=True):
    """The difference of a working tree to its last commit. `text`: without credentials.

    `fault`: why there is none, in words. `commit`: None in a repository without a commit.
    """

    root: str | None = None
    commit: str | None = None
    text: str = ""
    masked: int = 0
    left_out: list[LeftOut] = []
    fault: str | None = None


class _Changed(Struct, frozen=True):
    """A file that git knows and that differs. `old`: the object of its old content; zeros if it is new."""

    path: str
    old: str
    is_submodule: bool


def read_working_tree(
    workdir: str, shell: Shell, environ: Mapping[str, str], values: Sequence[str], without: str
) -> WorkingTree:
    """The working tree in which `workdir` is. `values`: credentials; `without`: a folder whose files do not count."""
    git = GitReader(shell, workdir, environ)
    answer = git.ask("rev-parse", "--show-toplevel", timeout=5)
    if answer.code != 0:
        return WorkingTree(fault=_why(answer, workdir))
    root = answer.out.removesuffix("\n")
    git.folder = root
    head = git.ask("rev-parse", "--verify", "--quiet", "HEAD", timeout=5)
    commit = head.out.strip() if head.code == 0 else None
    base = commit or _NOTHING
    left_out: list[LeftOut] = []
    changed = _changed(git, base)
    if isinstance(changed, str):
        return WorkingTree(root=root, commit=commit, fault=changed)
    known = _difference(git, base, list(_kept(git, root, changed, left_out)))
    if isinstance(known, str):
        return WorkingTree(root=root, commit=commit, left_out=left_out, fault=known)
    place = _place_of_new_files(git, root, workdir, environ)
    new = _new_files(git, place, without, left_out)
    text = known.out + "".join(_new_texts(root, new, MAX_SUM - len(known.out), left_out))
    text, marks = masked(_cut(text, left_out), values)
    return WorkingTree(root=root, commit=commit, text=text, masked=marks, left_out=left_out)


def _why(answer: Answer, folder: str) -> str:
    """Why git has no answer, in words."""
    if answer.code == 127:
        return "git is not installed"
    if answer.code == 124:
        return "git did not answer in time"
    if "dubious ownership" in answer.err or "unsafe repository" in answer.err:
        return (
            f"another user owns the repository; git config --global --add safe.directory {folder}"
        )
    if "not a git repository" in answer.err:
        return "the working directory is in no git repository"
    lines = answer.err.strip().splitlines() or [f"git exited with {answer.code}"]
    return masked(lines[-1][:300])[0]


def _changed(git: GitReader, base: str) -> list[_Changed] | str:
    """The files that git knows and that differ from the commit, or why they are not known."""
    answer = git.ask_of_files("diff", *DIFF_OPTIONS, "--raw", "-z", "--no-abbrev", base, "--")
    if answer.code != 0:
        return _why(answer, git.folder)
    fields = answer.out.split("\0")[:-1]
    found = []
    for facts, path in zip(fields[::2], fields[1::2], strict=False):
        old_mode, new_mode, old, *_ = facts.lstrip(":").split(" ")
        found.append(_Changed(path, old, _SUBMODULE in (old_mode, new_mode)))
    return found


def _place_of_new_files(
    git: GitReader, root: str, workdir: str, environ: Mapping[str, str]
) -> str | None:
    """The folder whose new files are kept: the repository, or only the working directory.

    Only the latter if the user does not want to see new files, or if the repository is that of a home
    directory, where most files are no part of the job; None if the working directory is a home directory.
    """
    unwanted = (
        git.ask("config", "--get", "status.showUntrackedFiles", timeout=5).out.strip() == "no"
    )
    homes = [os.path.realpath(place) for place in ("/", environ.get("HOME") or "/")]
    if not unwanted and os.path.realpath(root) not in homes:
        return root
    return None if os.path.realpath(workdir) in homes else workdir


def _new_files(
    git: GitReader, place: str | None, without: str, left_out: list[LeftOut]
) -> list[str]:
    """The files in a folder that git neither knows nor ignores, as paths in the repository.

    If they are not known, `left_out` says why.
    """
    if place is None:
        left_out.append(LeftOut(".", "new files of a home directory are not kept"))
        return []
    words = ["ls-files", "--others", "--exclude-standard", "--full-name", "-z"]
    inside = os.path.relpath(os.path.realpath(without), os.path.realpath(git.folder))
    if inside != "." and not inside.startswith("../"):
        pattern = "".join(f"\\{char}" if char in "*?[]\\!# " else char for char in inside)
        words.append(f"--exclude=/{pattern}")
    answer = git.ask(*words, timeout=5, folder=place)
    if answer.code != 0:
        left_out.append(LeftOut(".", f"new files: {_why(answer, git.folder)}"))
        return []
    return answer.out.split("\0")[:-1]


def _kept(
    git: GitReader, root: str, changed: Sequence[_Changed], left_out: list[LeftOut]
) -> Iterator[str]:
    """The paths of the files whose changes are kept; the others are put into `left_out`."""
    sizes = _old_sizes(git, [file.old for file in changed])
    total = count = 0
    for file in changed:
        size = max(sizes.get(file.old, 0), _size_of(os.path.join(root, file.path)))
        if file.is_submodule:
            size = 0
        elif is_credentials_file(file.path):
            left_out.append(LeftOut(file.path, _CREDENTIALS))
            continue
        elif size > MAX_FILE:
            left_out.append(LeftOut(file.path, f"large: {size_in_words(size)}"))
            continue
        total, count = total + size, count + 1
        if total > MAX_SUM or count > MAX_FILES:
            left_out.append(LeftOut(file.path, _TOO_MANY))
        else:
            yield file.path


def _old_sizes(git: GitReader, objects: Sequence[str]) -> dict[str, int]:
    """The sizes of git's objects, as far as they are here."""
    wanted = sorted({name for name in objects if name.strip("0")})
    if not wanted:
        return {}
    form = "--batch-check=%(objectname) %(objectsize)"
    answer = git.ask("cat-file", form, stdin="".join(f"{name}\n" for name in wanted))
    pairs = [line.split(" ") for line in answer.out.splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def _size_of(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0  # it was removed


def _difference(git: GitReader, base: str, paths: Sequence[str]) -> Answer | str:
    """The difference of files that git knows, or why there is none. Of a removed file only its name is kept."""
    if not paths:
        return Answer(0, "", "")
    answer = git.ask_of_files(
        "diff", *DIFF_OPTIONS, "--irreversible-delete", "--unified=3", base, "--", *paths
    )
    return answer if answer.code == 0 else _why(answer, git.folder)


def _new_texts(
    root: str, paths: Sequence[str], most: int, left_out: list[LeftOut]
) -> Iterator[str]:
    """The new files as parts of a difference, with `most` characters; the others are put into `left_out`."""
    count = 0
    for path in paths:
        why = _refusal(path, count, most)
        if why is not None:
            left_out.append(LeftOut(path, why))
            continue
        found = read_new_file(root, path)
        text = found if isinstance(found, str) else as_difference(path, *found)
        if isinstance(found, str) or text is None:
            left_out.append(LeftOut(path, text or "binary"))
            continue
        count, most = count + 1, most - len(text)
        yield text


def _refusal(path: str, count: int, most: int) -> str | None:
    """Why a new file is not read, in words."""
    if path.endswith("/"):
        return "a git repository of its own"
    if is_credentials_file(path):
        return _CREDENTIALS
    return _TOO_MANY if count >= MAX_FILES or most <= 0 else None


def _cut(text: str, left_out: list[LeftOut]) -> str:
    """The text, cut at the end of a line if it is too long."""
    if len(text) <= MAX_DIFFERENCE:
        return text
    end = text.rfind("\n", 0, MAX_DIFFERENCE) + 1
    last = text.rfind("\ndiff --git ", 0, end) + 1
    name = text[last : text.find("\n", last)].removeprefix("diff --git ")
    left_out.append(LeftOut(name, "the difference is cut here, and what follows is left out"))
    return text[:end]
