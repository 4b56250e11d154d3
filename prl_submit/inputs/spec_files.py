"""Finding and reading the files of a spec: the spec itself, its bases, and the profile.

Every command that takes a SPEC also takes a RUN. Then the run's spec.yaml is read, with the working
directory and the output root of that run.
"""

from __future__ import annotations

import os

from prl_submit.errors import Problem, SpecError
from prl_submit.planning.layers import read_files
from prl_submit.runs.layout import PLAN, RECORD, SPEC, SWEEP, sweep_folder
from prl_submit.spec.nodes import Node, Origin, merge, scalar_node
from prl_submit.spec.suggest import closest
from prl_submit.spec.yaml import MAX_BYTES
from prl_submit.system.reading import read_record, read_regular
from prl_submit.system.user_paths import output_root as output_root_of

#: Names of runs, which nobody uses for a spec file: `v26`, `26`, `v26-20261122-210000`, `latest`.
_LIKE_A_RUN = r"v?[0-9]+|v[0-9]+-[0-9]{8}-[0-9]{6}|latest"


def spec_file(spec: str, output_root: str | None) -> str:
    """The file to read: `spec` itself, or the spec.yaml of the run or the sweep that it names.

    Raises SpecError if `spec` looks like a run and there is no such run; PrlSubmitError if there are several.
    """
    if os.path.isfile(spec):
        return spec
    if any(os.path.isfile(os.path.join(spec, name)) for name in (RECORD, SWEEP)):
        return os.path.join(spec, SPEC)
    if os.sep in spec or os.path.splitext(spec)[1]:
        return spec
    import re

    from prl_submit.errors import NoSuchRunError
    from prl_submit.runs.directory import find_runs, names_sweep

    try:
        runs = find_runs(spec, output_root_of(output_root))
        sweep = runs[0].record.sweep if runs[0].record and names_sweep(spec, runs) else None
        folder = sweep_folder(runs[0].path.parent, sweep.folder) if sweep else runs[0].path
        return os.path.relpath(folder / SPEC)
    except NoSuchRunError as error:
        if re.fullmatch(_LIKE_A_RUN, spec) is None:
            return spec  # a misspelt file name; reading it reports the most similar name
        message = f"no such file, and {error.message}"
        raise SpecError(
            [Problem(file=spec, line=None, key=None, message=message, hint=error.hint)]
        ) from None


def folders_of_its_run(spec: str) -> Node | None:
    """`workdir` and `output` of the run that a spec.yaml belongs to; None for any other file.

    A run's spec has both as the user wrote them, relative to the folder of the command.
    """
    if os.path.basename(spec) != SPEC:
        return None
    folder = os.path.dirname(os.path.abspath(spec))
    plan = os.path.join(folder, PLAN)
    if not os.path.isfile(plan) or not os.path.isfile(os.path.join(folder, RECORD)):
        return None
    from pathlib import Path

    from prl_submit.runs.plan_file import find_plan

    found = find_plan(Path(folder))
    if found is None:
        return None  # plan.json is damaged, so only the spec is used
    origin = Origin("spec", os.path.relpath(plan))
    folders = {"workdir": found.workdir, "output": os.path.dirname(folder)}
    return Node({key: scalar_node(path, origin) for key, path in folders.items()}, origin)


def is_of_a_run(spec: str) -> bool:
    """True if a file is the spec.yaml of a run directory or of a sweep, where other users may have written."""
    folder, name = os.path.split(spec)
    return name == SPEC and any(
        os.path.lexists(os.path.join(folder, own)) for own in (RECORD, SWEEP)
    )


def of_another_user(spec: str) -> list[Problem]:
    """A warning if the spec belongs to another user's run."""
    if not is_of_a_run(spec):
        return []
    from pathlib import Path

    from prl_submit.runs.belonging import stranger
    from prl_submit.system.owners import user_name

    uid = stranger(Path(spec).parent)
    if uid is None:
        return []
    message = f"this run is {user_name(uid)}'s: its setup lines and plugins would run as you"
    return [Problem(file=spec, line=None, key=None, message=message, severity="warning")]


def read_spec_files(spec: str, profile: Node | None) -> Node:
    """The tree of a spec with its bases and the profile. Raises SpecError if a file cannot be read."""
    try:
        files = read_files(spec, read=_SpecFiles(), profile=profile)
        folders = folders_of_its_run(spec)
        return files if folders is None else merge(files, folders)
    except OSError as error:
        raise SpecError([_unreadable(spec, error)]) from None


def read_own_spec(spec: str) -> Node:
    """The tree of a run's spec.yaml as it was written. Raises SpecError if it cannot be read."""
    try:
        return read_files(spec, read=_SpecFiles(), profile=None)
    except OSError as error:
        raise SpecError([_unreadable(spec, error)]) from None


class _SpecFiles:
    """Reads a spec and then its bases; each file names the next one.

    If another user wrote a spec, its bases must be files that this user may read. Otherwise the spec could
    show the content of a file that its writer may not read.
    """

    def __init__(self) -> None:
        self._naming: str | None = None

    def __call__(self, path: str) -> bytes:
        naming, self._naming = self._naming, path
        if naming is None:
            return read_record(path, MAX_BYTES + 1) if is_of_a_run(path) else _read(path)
        from prl_submit.system.owners import could_read, owner_of, user_name

        writer = owner_of(naming)
        if writer not in (None, 0, os.geteuid()) and not could_read(writer, path):
            raise OSError(None, f"{user_name(writer)}, whose {naming} is, may not read it", path)
        return read_regular(path, MAX_BYTES + 1)


def _read(path: str) -> bytes:
    """The beginning of a file, at most one byte more than a spec may have."""
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)  # the reader refuses a file with more than MAX_BYTES


def _unreadable(spec: str, error: OSError) -> Problem:
    """The problem of a file that cannot be read."""
    hint = near_file(spec) if isinstance(error, FileNotFoundError) else None
    what = "is a folder" if isinstance(error, IsADirectoryError) else error.strerror or str(error)
    return Problem(file=spec, line=None, key=None, message=f"cannot be read: {what}", hint=hint)


def near_file(spec: str) -> str | None:
    """A hint for a missing file: a spec of a similar name in its folder."""
    folder, name = os.path.split(spec)
    try:
        here = [os.path.splitext(item) for item in os.listdir(folder or ".")]
    except OSError:
        return f"there is no folder {folder}"
    specs = {stem: stem + ending for stem, ending in here if ending in (".yaml", ".yml")}
    near = closest(os.path.splitext(name)[0], specs, 0.6)
    return f"did you mean {os.path.join(folder, specs[near])}?" if near else None


def find_profile(name: str | None) -> Node | None:
    """The profile that --profile names, or the default one; None without one. Raises SpecError."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    candidates = ["prl-submit.toml", os.path.join(config, "prl-submit", "prl-submit.toml")]
    found = [path for path in candidates if os.path.isfile(path)]
    if not found and name is None:
        return None
    from prl_submit.spec.profiles import read_profile

    return read_profile([(path, _read(path)) for path in found], name)
