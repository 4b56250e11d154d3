"""Run directories: their numbers, and finding them again."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from msgspec import Struct

from prl_submit.errors import NoSuchRunError, PrlSubmitError
from prl_submit.runs.layout import LATEST, RECORD, claim_folder, pod_file
from prl_submit.runs.record import Record, decode_record
from prl_submit.system.owners import whose
from prl_submit.system.reading import read_record


def writes_here(logs: Path, node: int, pod: str) -> bool:
    """Whether the pod of that name, or one before it, writes the node's log into this folder itself."""
    try:
        return read_record(pod_file(logs, node)).decode("utf-8").strip() == pod
    except (OSError, ValueError):
        return False


#: ms-swift 4.6.0 utils.py `_get_version` counts every name that begins like this.
_NUMBERED = r"v([0-9]+)"
_RUN_NAME = r"v([0-9]+)-[0-9]{8}-[0-9]{6}"


class Run(Struct, frozen=True):
    """A run directory; `record` is None where run.json cannot be read, `fault` then says why."""

    path: Path
    number: int
    record: Record | None
    fault: str | None = None

    @property
    def name(self) -> str:
        """The name of its directory: `v26-20261122-210000`."""
        return self.path.name

    def require_record(self) -> Record:
        """Its record. Raises PrlSubmitError where that cannot be read."""
        if self.record is None:
            raise PrlSubmitError(f"{self.name}: {self.fault}")
        return self.record


def allocate(root: Path, now: time.struct_time | None = None) -> Path:
    """Make the next run directory: `vNN-YYYYMMDD-HHMMSS`, NN = highest existing + 1, from v0.

    Two names may differ in their second and share a number, so a number is claimed first by an
    atomic mkdir, which every file system has (flock does not reach all of them). Raises OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    lowest = 0
    while True:
        number = max(_next_number(root), lowest)
        claim = claim_folder(root, number)
        try:
            claim.mkdir()
        except FileExistsError:
            lowest = number + 1  # taken; or left by a killed process, and then never given out
            continue
        try:
            # Somebody may have made the directory and dropped the claim since we looked.
            if number in _numbers(root):
                continue
            run = root / f"v{number}-{time.strftime('%Y%m%d-%H%M%S', now or time.localtime())}"
            run.mkdir()
            return run
        finally:
            with contextlib.suppress(OSError):  # a claim that stays only costs its number
                claim.rmdir()


def _numbers(root: Path) -> set[int]:
    found = (re.match(_NUMBERED, name) for name in os.listdir(root))
    return {int(match[1]) for match in found if match}


def _next_number(root: Path) -> int:
    return max(_numbers(root), default=-1) + 1


def point_latest(run: Path) -> None:
    """Let `latest` beside the run point to it, unless it points to a newer one already."""
    link = run.parent / LATEST
    for _ in range(20):
        # A link to a removed run says nothing.
        if os.path.exists(link) and _number(Path(os.path.realpath(link)).name) > _number(run.name):
            return
        if os.path.exists(link) and not link.is_symlink():
            return  # somebody's own file; not ours to replace
        part = run.parent / f".{LATEST}.{os.urandom(8).hex()}"
        try:
            part.symlink_to(run.name)
            os.replace(part, link)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        # A slower, older submission may have replaced ours between its look and its rename.
        if _number(Path(os.readlink(link)).name) >= _number(run.name):
            return


def _number(name: str) -> int:
    match = re.match(_NUMBERED, name)
    return int(match[1]) if match else -1


def read_run(path: Path) -> Run | None:
    """The run in a directory, or None where no run was ever submitted from it."""
    number = _number(path.name)
    try:
        data = read_record(path / RECORD)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        fault = f"{RECORD} cannot be read: {error.strerror}{whose(path)}"
        return Run(path, number, None, fault)
    try:
        record = decode_record(data)
    except ValueError as error:  # msgspec's DecodeError, and UnicodeDecodeError
        return Run(path, number, None, f"{RECORD} is damaged: {error}")
    return Run(path, number, record)


def _no_directory(path: Path) -> Run | None:
    """A run with a fault, for something that has the name of a run directory and is none, or that cannot be read."""
    try:
        if os.path.isdir(path):
            return None
        os.stat(path)
        fault = "it is a file, no run directory"
    except FileNotFoundError:
        fault = "it is a link to nothing" if path.is_symlink() else "it was just removed"
    except OSError as error:
        fault = f"it cannot be read: {error.strerror}"
    return Run(path, _number(path.name), None, fault)


def names_in(folder: Path) -> list[str]:
    """The names in a folder; none where it is no folder, or where we have no permission to list it."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def list_runs(root: Path) -> list[Run]:
    """The runs under an output root, newest last. A root that is not there yet has no runs."""
    try:
        names = [name for name in os.listdir(root) if re.fullmatch(_RUN_NAME, name)]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise PrlSubmitError(f"output root {root} is a file, not a folder") from None
    except OSError as error:
        raise PrlSubmitError(f"output root {root} cannot be read: {error.strerror}") from None
    paths = [root / name for name in sorted(names, key=lambda n: (_number(n), n))]
    runs = (read_run(path) or _no_directory(path) for path in paths)
    return [run for run in runs if run is not None]


def find_run(text: str, root: Path) -> Run:
    """The run that RUN names: `v26`, `26`, a directory, a job id, a name, or `latest`.

    Raises NoSuchRunError; PrlSubmitError where it names several, with the candidates.
    """
    if "/" in text or text in (".", ".."):
        path = Path(os.path.abspath(text))
        # `output/latest` is its target; the rest of the path stays as it was typed.
        run = read_run(Path(os.path.realpath(path)) if path.is_symlink() else path)
        if run is None:
            raise NoSuchRunError(f"{text} is no run directory: it has no {RECORD}")
        return run
    runs = list_runs(root)
    if text == LATEST and runs:
        directories = [run for run in runs if os.path.isdir(run.path)]
        return (directories or runs)[-1]
    # A number may be a run's and another one's job: nobody must cancel the wrong one.
    numbered = _by_number(text, runs)
    numbered += [run for run in _by_record("job_id", text, runs) if run not in numbered]
    for matches in (numbered, _by_record("name", text, runs)):
        if len(matches) == 1:
            return matches[0]
        if matches:
            listed = ", ".join(run.name for run in matches)
            raise PrlSubmitError(f"{text!r} names {len(matches)} runs: {listed}", "say which")
    raise NoSuchRunError(
        f"no run {text!r} under {root}" + ("" if runs else ": it holds no runs"),
        "`prl-submit list` shows them; --output-root DIR or a path looks elsewhere",
    )


def _by_number(text: str, runs: list[Run]) -> list[Run]:
    exact = [run for run in runs if run.name == text]
    bare = text.removeprefix("v")
    wanted = bare.lstrip("0") or bare[-1:]  # text, since int() refuses thousands of digits
    return exact or [run for run in runs if str(run.number) == wanted]


def _by_record(field: str, text: str, runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.record and getattr(run.record, field) == text]
