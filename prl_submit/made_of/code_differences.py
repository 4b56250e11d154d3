"""What differs in the code of two runs: commits, the files that the specs name, and the repository's files."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from prl_submit.made_of.code_versions import (
    MAX_COMMITS,
    CodeHistory,
    CodeOrigin,
    CodeVersion,
    code_version,
    content_of,
    find_history,
)
from prl_submit.made_of.contents import CopiedFile
from prl_submit.made_of.hunks import FilePart, new_text, old_text
from prl_submit.made_of.masking import is_credentials_file
from prl_submit.made_of.recorded import MadeOf, read_kept
from prl_submit.system.shell import Shell

#: So many files are compared line by line; the others are only named.
MAX_FILES = 200
#: Longer files are not compared line by line.
_MAX_LINES = 20_000


class ChangedFile(Struct, frozen=True, kw_only=True):
    """A file that differs. `lines`: a unified difference; empty if there is none, and then `why` says why."""

    path: str
    key: str | None = None
    added: int = 0
    removed: int = 0
    lines: list[str] = []
    why: str | None = None


class CodeDifference(Struct, frozen=True, kw_only=True):
    """What differs in the code. `commits`: of both runs.

    `new_commits`: those that the second run has and the first has not; `lost_commits`: the reverse. `named`:
    the files that the specs name, such as plugins. `repository`: the other files. `not_kept`: files of which
    nobody knows whether they differ.
    """

    commits: list[str | None]
    new_commits: list[str]
    lost_commits: list[str]
    named: list[ChangedFile]
    repository: list[ChangedFile]
    not_kept: list[str]
    notes: list[str]


def code_difference(
    one: CodeOrigin, other: CodeOrigin, shell: Shell, environ: Mapping[str, str]
) -> CodeDifference:
    """What differs in the code of two runs, as far as it was kept."""
    versions = (code_version(one), code_version(other))
    commits = [version.commit for version in versions]
    known = [commit for commit in commits if commit is not None]
    history = find_history((one, other), known, shell, environ) if len(known) == 2 else None
    named = list(_named(one, other))
    seen = {file.path for file in named}
    changed, notes = _repository((one, other), versions, history)
    data = _data_paths(one, other)
    changed = [_without_lines(file, data) for file in changed]
    return CodeDifference(
        commits=commits,
        new_commits=_limited(history.commits(*known)) if history else [],
        lost_commits=_limited(history.commits(*reversed(known))) if history else [],
        named=named,
        repository=[file for file in changed if _inside(one, other, file.path) not in seen],
        not_kept=_not_kept(one, other),
        notes=notes,
    )


def _data_paths(one: CodeOrigin, other: CodeOrigin) -> set[str]:
    """The paths of data files, from the folder of the repository."""
    found = set()
    for run in (one, other):
        code, data = run.made_of.code, run.made_of.data
        root = code.repository if code is not None else None
        for item in data.items if data is not None else []:
            if root is not None and item.path is not None and Path(item.path).is_relative_to(root):
                found.add(str(Path(item.path).relative_to(root)))
    return found


def _without_lines(file: ChangedFile, data: set[str]) -> ChangedFile:
    """The same without its lines if it is a data file: its rows are long, and the data is compared apart."""
    if file.path not in data:
        return file
    return msgspec.structs.replace(file, lines=[], why=file.why or "data, see below")


def _limited(commits: Sequence[str]) -> list[str]:
    return [*commits[:MAX_COMMITS], *(["…"] if len(commits) > MAX_COMMITS else [])]


def _inside(one: CodeOrigin, other: CodeOrigin, path: str) -> str:
    """The path of a repository's file from the working directory, as the named files have it."""
    for run in (one, other):
        code = run.made_of.code
        if code is not None and code.repository is not None:
            below = Path(code.workdir)
            whole = Path(code.repository) / path
            return str(whole.relative_to(below)) if whole.is_relative_to(below) else str(whole)
    return path


def _not_kept(one: CodeOrigin, other: CodeOrigin) -> list[str]:
    """The files that one of the runs did not keep, with the reason."""
    found: dict[str, None] = {}
    for run in (one, other):
        code = run.made_of.code
        if code is not None:
            found |= dict.fromkeys(f"{item.path}: {item.why}" for item in code.left_out)
            if code.more_left_out:
                found[f"{code.more_left_out} more files of {run.name}"] = None
    return list(found)


def _named(one: CodeOrigin, other: CodeOrigin) -> Iterator[ChangedFile]:
    """The files that the specs name and that differ."""
    files = [_by_name(one.made_of), _by_name(other.made_of)]
    for name in dict.fromkeys([*files[0], *files[1]]):
        before, after = (found.get(name) for found in files)
        if not _is_same_copy(before, after):
            yield _changed_copy(name, (one, before), (other, after))


def _is_same_copy(before: CopiedFile | None, after: CopiedFile | None) -> bool:
    """True if a file is the same in both runs, as far as that is known."""
    if before is None or after is None or before.sha256 != after.sha256:
        return False
    return before.sha256 is not None or (before.why, before.size) == (after.why, after.size)


def _by_name(made_of: MadeOf) -> dict[str, CopiedFile]:
    """The copied files by their paths from the working directory."""
    if made_of.code is None:
        return {}
    workdir = Path(made_of.code.workdir)
    found = {}
    for file in made_of.code.files:
        path = Path(file.path)
        inside = path.relative_to(workdir) if path.is_relative_to(workdir) else path
        found[str(inside)] = file
    return found


def _changed_copy(
    name: str,
    before: tuple[CodeOrigin, CopiedFile | None],
    after: tuple[CodeOrigin, CopiedFile | None],
) -> ChangedFile:
    """The difference of a file that both runs, or one of them, have a copy of."""
    texts: list[str | None] = []
    whys = []
    for run, file in (before, after):
        texts.append(None if file is None else _copy_of(run, file))
        if file is not None and texts[-1] is None:
            whys.append(f"{run.name} has no copy: {file.why or 'it is missing'}")
    key = next(file.key for _, file in (before, after) if file is not None)
    if whys:
        return ChangedFile(path=name, key=key, why="; ".join(whys))
    found = compared(name, texts[0], texts[1], (before[0].name, after[0].name), key=key)
    return found or ChangedFile(path=name, key=key, why="only in what was left out as a credential")


def _copy_of(run: CodeOrigin, file: CopiedFile) -> str | None:
    """The text of a copy; None if there is none."""
    folder = run.made_of.folder
    return read_kept(folder, file.copy) if folder is not None and file.copy is not None else None


def compared(
    path: str, old: str | None, new: str | None, runs: tuple[str, str], key: str | None = None
) -> ChangedFile | None:
    """The difference of two texts, None for no file; None if they are equal."""
    if old == new:
        return None
    before, after = map(_lines, (old, new))
    if max(len(before), len(after)) > _MAX_LINES:
        return ChangedFile(path=path, key=key, why="too long to be compared line by line")
    old_name, new_name = (
        "/dev/null" if text is None else f"{run}/{path}"
        for run, text in zip(runs, (old, new), strict=True)
    )
    found = list(difflib.unified_diff(before, after, old_name, new_name, lineterm=""))
    return ChangedFile(
        path=path,
        key=key,
        added=sum(line[:1] == "+" for line in found[2:]),
        removed=sum(line[:1] == "-" for line in found[2:]),
        lines=found,
    )


def _lines(text: str | None) -> list[str]:
    """The lines of a text. As git does, a line tells where the last line end is missing."""
    lines = (text or "").split("\n")
    if not lines[-1]:
        return lines[:-1]
    return [*lines, "\\ No newline at end of file"]


def _repository(
    runs: tuple[CodeOrigin, CodeOrigin],
    versions: tuple[CodeVersion, CodeVersion],
    history: CodeHistory | None,
) -> tuple[list[ChangedFile], list[str]]:
    """The files of the repository that differ, and what is not known, in words."""
    first, second = versions
    names = (runs[0].name, runs[1].name)
    notes = [
        f"{run.name}: what its working tree had beside commit {version.commit[:9]} is not known"
        for run, version in zip(runs, versions, strict=True)
        if version.commit is not None and not version.is_known
    ]
    if history is not None:
        return list(_by_content(versions, names, history)), notes
    if not (first.is_known and second.is_known):
        return [], notes
    if first.commit == second.commit:
        return list(_by_parts(first.parts, second.parts, names)), notes
    note = "no repository here has both commits, so only what each run had changed since is listed"
    return [*_listed(first, names[0]), *_listed(second, names[1])], [note]


def _by_content(
    versions: tuple[CodeVersion, CodeVersion], names: tuple[str, str], history: CodeHistory
) -> Iterator[ChangedFile]:
    """The files that differ, by their whole content in both runs."""
    first, second = versions
    commits = (first.commit or "", second.commit or "")
    same = commits[0] == commits[1]
    between = [] if same else history.changed(*commits) or []
    for number, path in enumerate(sorted({*between, *first.parts, *second.parts})):
        parts = (first.parts.get(path), second.parts.get(path))
        if same and parts[0] == parts[1]:
            continue
        if number >= MAX_FILES:
            yield ChangedFile(path=path, why=f"only {MAX_FILES} files are compared line by line")
            continue
        if is_credentials_file(path):
            yield ChangedFile(path=path, why="its name is that of a file with credentials")
            continue
        found = _compared_in(commits, parts, path, names, history)
        if found is not None:
            yield found


def _compared_in(
    commits: tuple[str, str],
    parts: tuple[FilePart | None, FilePart | None],
    path: str,
    names: tuple[str, str],
    history: CodeHistory,
) -> ChangedFile | None:
    """The difference of one file of the repository."""
    knows_old, old = content_of(commits[0], parts[0], path, history)
    knows_new, new = content_of(commits[1], parts[1], path, history)
    if knows_old and knows_new:
        return compared(path, old, new, names)
    return ChangedFile(path=path, why="binary, large, or not kept")


def _by_parts(
    first: Mapping[str, FilePart], second: Mapping[str, FilePart], names: tuple[str, str]
) -> Iterator[ChangedFile]:
    """The files that differ between two runs of one commit which is not here, by what was kept of them."""
    for path in sorted({*first, *second}):
        old, new = first.get(path), second.get(path)
        if old == new:
            continue
        if any(part is not None and not part.is_whole for part in (old, new)):
            yield ChangedFile(path=path, why="binary, large, or not kept")
            continue
        texts = (_text(old, new), _text(new, old))
        found = compared(path, texts[0], texts[1], names)
        yield found or ChangedFile(path=path, why="it was removed, or its mode differs")


def _text(part: FilePart | None, other: FilePart | None) -> str:
    """What a run had in those places of a file that one of two runs had changed."""
    if part is not None:
        return new_text(part)
    return old_text(other) if other is not None else ""


def _listed(version: CodeVersion, name: str) -> Iterator[ChangedFile]:
    """What a run had changed since its commit: the files and the numbers of lines."""
    for path, part in version.parts.items():
        lines = [line for hunk in part.hunks for line in hunk.lines]
        yield ChangedFile(
            path=path,
            added=sum(line[:1] == "+" for line in lines),
            removed=sum(line[:1] == "-" for line in lines),
            why=f"changed in {name}",
        )
