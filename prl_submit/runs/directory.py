"""Make numbered run directories, list them, and find the one that a user names."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from prl_submit.errors import NoSuchRunError, PrlSubmitError
from prl_submit.runs.labels import read_labels
from prl_submit.runs.layout import LATEST, RECORD, RUN_NAME, SWEEPS, claim_folder
from prl_submit.runs.record import ArrayTask, Record, decode_record
from prl_submit.system.owners import whose
from prl_submit.system.reading import read_record

#: Every name that begins so has a number, because ms-swift 4.6.0 utils.py `_get_version` counts them all.
_NUMBERED = r"v([0-9]+)"
#: So many runs of a sweep are named in a message.
_LISTED = 5


class Run(Struct, frozen=True):
    """A run directory. If run.json cannot be read, `record` is None and `fault` says why."""

    path: Path
    number: int
    record: Record | None
    fault: str | None = None

    @property
    def name(self) -> str:
        """The name of its directory: `v26-20261122-210000`."""
        return self.path.name

    def require_record(self) -> Record:
        """The run's record. Raises PrlSubmitError if run.json cannot be read."""
        if self.record is None:
            raise PrlSubmitError(f"{self.name}: {self.fault}")
        return self.record


def allocate(root: Path, now: time.struct_time | None = None) -> Path:
    """Make the next run directory: `vNN-YYYYMMDD-HHMMSS`, where NN is the highest number so far plus 1.

    Two submissions at a time must not get one number, and their names may differ in the seconds. So the
    number is claimed first, by an atomic mkdir; flock does not work on every file system. Raises OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    lowest = 0
    while True:
        number = max(_next_number(root), lowest)
        claim = claim_folder(root, number)
        try:
            claim.mkdir()
        except FileExistsError:
            # Another process has claimed it, or was killed after that and nobody will ever use the number.
            lowest = number + 1
            continue
        try:
            # Another process may have made the directory and removed its claim since we listed the numbers.
            if number in _numbers(root):
                continue
            run = root / f"v{number}-{time.strftime('%Y%m%d-%H%M%S', now or time.localtime())}"
            run.mkdir()
            return run
        finally:
            with contextlib.suppress(OSError):  # if the claim stays, only its number is lost
                claim.rmdir()


def allocate_many(root: Path, count: int) -> list[Path]:
    """Make the next `count` run directories, in the order of their numbers. Raises OSError; then none is left.

    All numbers are claimed before the first directory is made, as `allocate` claims one. A claim is an empty
    folder, so it becomes the run directory by a new name, which is half the work of making a second folder.
    """
    root.mkdir(parents=True, exist_ok=True)
    claims: list[int] = []
    made: list[Path] = []
    try:
        _claim(root, count, claims)
        # Another process may have made a directory and removed its claim since we listed the numbers.
        taken = _numbers(root)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime())
        for number in [each for each in claims if each not in taken]:
            made.append(root / f"v{number}-{stamp}")
            os.rename(claim_folder(root, number), made[-1])
            claims.remove(number)
        return made if len(made) == count else made + allocate_many(root, count - len(made))
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise
    finally:
        for number in claims:
            with contextlib.suppress(OSError):
                claim_folder(root, number).rmdir()


def _claim(root: Path, count: int, claims: list[int]) -> None:
    """Claim `count` numbers that no directory has, and add each to `claims` at once."""
    number = _next_number(root)
    while len(claims) < count:
        with contextlib.suppress(FileExistsError):  # another process has claimed this number
            claim_folder(root, number).mkdir()
            claims.append(number)
        number += 1


def _numbers(root: Path) -> set[int]:
    found = (re.match(_NUMBERED, name) for name in os.listdir(root))
    return {int(match[1]) for match in found if match}


def _next_number(root: Path) -> int:
    return max(_numbers(root), default=-1) + 1


def point_latest(run: Path) -> None:
    """Make the link `latest` in the output root point to the run, unless it points to a newer run."""
    link = run.parent / LATEST
    for _ in range(20):
        # If the link points to a removed run, exists() is false and the link is replaced.
        if os.path.exists(link) and _number(Path(os.path.realpath(link)).name) > _number(run.name):
            return
        if os.path.exists(link) and not link.is_symlink():
            return  # a file of the user's own, which must stay
        part = run.parent / f".{LATEST}.{os.urandom(8).hex()}"
        try:
            part.symlink_to(run.name)
            os.replace(part, link)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        # A slower submission of an older run may have replaced our link just now; then try again.
        if _number(Path(os.readlink(link)).name) >= _number(run.name):
            return


def is_run_name(name: str) -> bool:
    """True if a directory with this name may be a run."""
    return re.fullmatch(RUN_NAME, name) is not None


def sort_key(name: str) -> tuple[int, str]:
    """By this lists of runs are sorted: by number, the newest last."""
    return _number(name), name


def _number(name: str) -> int:
    match = re.match(_NUMBERED, name)
    return int(match[1]) if match else -1


def read_run(path: Path) -> Run | None:
    """The run in a directory; None if it has no run.json, so no job was ever submitted from it."""
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


def run_with(path: Path, record: Record) -> Run:
    """The run in a directory whose run.json says this."""
    return Run(path, _number(path.name), record)


def _no_directory(path: Path) -> Run | None:
    """A run whose `fault` says why something with the name of a run directory is not one; None for a folder."""
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
    """The names in a folder; none if it is not a folder or we may not list it."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def list_runs(root: Path) -> list[Run]:
    """The runs in an output root, newest last. An output root that does not exist yet has no runs."""
    try:
        names = [name for name in os.listdir(root) if is_run_name(name)]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise PrlSubmitError(f"output root {root} is a file, not a folder") from None
    except OSError as error:
        raise PrlSubmitError(f"output root {root} cannot be read: {error.strerror}") from None
    paths = [root / name for name in sorted(names, key=sort_key)]
    runs = (read_run(path) or _no_directory(path) for path in paths)
    return [run for run in runs if run is not None]


def find_run(text: str, root: Path) -> Run:
    """The run that a RUN of the command line names: `v26`, `26`, a directory, a job id, a name, or `latest`.

    Raises NoSuchRunError; PrlSubmitError with the candidates if several runs fit.
    """
    if "/" in text or text in (".", ".."):
        path = Path(os.path.abspath(text))
        # `output/latest` means the run it points to. Other links in the path stay as the user typed them.
        run = read_run(Path(os.path.realpath(path)) if path.is_symlink() else path)
        if run is None:
            raise NoSuchRunError(f"{text} is no run directory: it has no {RECORD}")
        return run
    return _find_listed(text, list_runs(root), root)


def _find_listed(text: str, runs: list[Run], root: Path) -> Run:
    """The one of `runs` that the text names. Raises as `find_run` does."""
    if text == LATEST and runs:
        directories = [run for run in runs if os.path.isdir(run.path)]
        return (directories or runs)[-1]
    matches = _named(text, runs)
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(run.name for run in matches)
        raise PrlSubmitError(f"{text!r} names {len(matches)} runs: {listed}", "say which")
    if swept := _of_sweep(text, runs):
        listed = ", ".join(run.name for run in swept[:_LISTED])
        more = ", …" if len(swept) > _LISTED else ""
        message = f"{text!r} is a sweep of {len(swept)} runs, and one is needed: {listed}{more}"
        raise PrlSubmitError(message, "say which")
    raise NoSuchRunError(
        f"no run {text!r} under {root}" + ("" if runs else ": it holds no runs"),
        "`prl-submit list` shows them; --output-root DIR or a path looks elsewhere",
    )


def find_runs(text: str, root: Path) -> list[Run]:
    """The runs that a RUN of the command line names: the one of `find_run`, or all runs of a sweep, by index.

    A sweep is named by its name, which means the newest sweep of that name, by the name of its folder, or by
    the folder itself. The id of a job array of Slurm names all runs that are its tasks. Raises as `find_run`
    does; also if a run and a sweep have the name.
    """
    if "/" in text:
        folder = Path(os.path.abspath(text))
        if folder.parent.name != SWEEPS:
            return [find_run(text, root)]
        text, root = folder.name, folder.parent.parent
    runs = list_runs(root)
    swept = _of_sweep(text, runs) or _of_array(text, runs)
    if not swept:
        return [_find_listed(text, runs, root)]
    others = [run for run in _named(text, runs) if run not in swept]
    if others:
        listed = ", ".join([*(run.name for run in others), f"a sweep with {len(swept)} runs"])
        raise PrlSubmitError(
            f"{text!r} names {listed}", "say which; a sweep also by its folder in sweeps/"
        )
    return swept


def names_sweep(text: str, runs: list[Run]) -> bool:
    """True if a RUN of the command line, for which `find_runs` gave `runs`, names a whole sweep."""
    sweep = runs[0].record.sweep if runs and runs[0].record else None
    return sweep is not None and os.path.basename(os.path.abspath(text)) in (
        sweep.name,
        sweep.folder,
    )


def find_all(texts: Iterable[str], root: Path) -> list[Run]:
    """All runs that several RUNs of the command line name, each once. Raises as `find_runs` does."""
    found = [run for text in texts for run in find_runs(text, root)]
    return list({run.path: run for run in found}.values())


def _of_sweep(text: str, runs: list[Run]) -> list[Run]:
    """The runs of the sweep with that folder, else of the newest sweep with that name."""
    of_sweeps = [(run, run.record.sweep) for run in runs if run.record and run.record.sweep]
    folders = {sweep.folder for _, sweep in of_sweeps if text in (sweep.folder, sweep.name)}
    folder = text if text in folders else max(folders, default=None)
    found = [(sweep.index, run) for run, sweep in of_sweeps if sweep.folder == folder]
    at_home = {index for index, run in found if _is_at_home(run)}
    kept = [(index, run) for index, run in found if index not in at_home or _is_at_home(run)]
    return [run for _, run in sorted(kept, key=lambda item: item[0])]


def _is_at_home(run: Run) -> bool:
    """True if the run directory is the one that was submitted: a user may have copied it beside."""
    directory = run.record.directory if run.record is not None else None
    return directory is None or directory.path == str(run.path)


def _of_array(array: str, runs: list[Run]) -> list[Run]:
    """The runs whose jobs are the tasks of that array, `4711_1` and so on, by their numbers."""
    tasks = [
        (run, run.record.place) for run in runs if run.record and _array_of(run.record) == array
    ]
    found = [(place.task, run) for run, place in tasks if isinstance(place, ArrayTask)]
    return [run for _, run in sorted(found, key=lambda item: item[0])]


def _array_of(record: Record) -> str | None:
    """The array that has the run as a task; None for a run with a job of its own."""
    array, mark, _ = (record.job_id or "").partition("_")
    return array if mark else None


def _named(text: str, runs: list[Run]) -> list[Run]:
    """The runs with that number, directory or job id; without one, those with that name."""
    # A number may be one run's number and another run's job id. Then both fit, so that nobody cancels the wrong one.
    numbered = _by_number(text, runs)
    numbered += [run for run in _by_record("job_id", text, runs) if run not in numbered]
    return numbered or _by_name(text, runs)


def _by_number(text: str, runs: list[Run]) -> list[Run]:
    exact = [run for run in runs if run.name == text]
    bare = text.removeprefix("v")
    # Compared as text, because int() refuses thousands of digits.
    wanted = bare.lstrip("0") or bare[-1:]
    return exact or [run for run in runs if str(run.number) == wanted]


def _by_name(text: str, runs: list[Run]) -> list[Run]:
    """The runs that lists show with that name; if there are none, those whose job has it.

    Lists show the name that the user gave with `rename` in place of the job's.
    """
    named = _by_record("name", text, runs)
    given = {run.path: read_labels(run.path).name for run in runs}
    shown = [run for run in runs if given[run.path] == text]
    shown += [run for run in named if given[run.path] is None]
    return shown or named


def _by_record(field: str, text: str, runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.record and getattr(run.record, field) == text]
