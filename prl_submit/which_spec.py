"""Where a SPEC is expected a RUN does too: its spec.yaml, with the folders that it was submitted with."""

from __future__ import annotations

import os

from prl_submit.errors import Problem
from prl_submit.spec.nodes import Node, Origin, scalar_node

#: What nobody calls a spec file: `v26`, `26`, `v26-20261122-210000`, `latest`.
_LIKE_A_RUN = r"v?[0-9]+|v[0-9]+-[0-9]{8}-[0-9]{6}|latest"


def spec_file(spec: str, output_root: str | None) -> str:
    """The file to read: `spec` itself, or the spec.yaml of the run that it names.

    Raises SpecError where it looks like a run and names none; PrlSubmitError where it names several.
    """
    if os.path.isfile(spec):
        return spec
    if os.path.isdir(spec):
        own = os.path.join(spec, "spec.yaml")
        return own if os.path.isfile(os.path.join(spec, "run.json")) else spec
    if os.sep in spec or os.path.splitext(spec)[1]:
        return spec
    import re

    from prl_submit.cli.shared_options import output_root as output_root_of
    from prl_submit.errors import NoSuchRunError, SpecError
    from prl_submit.runs.directory import find_run

    try:
        return os.path.relpath(find_run(spec, output_root_of(output_root)).path / "spec.yaml")
    except NoSuchRunError as error:
        if re.fullmatch(_LIKE_A_RUN, spec) is None:
            return spec  # a misspelt file name, for which others are suggested
        message = f"no such file, and {error.message}"
        raise SpecError(
            [Problem(file=spec, line=None, key=None, message=message, hint=error.hint)]
        ) from None


def folders_of_its_run(spec: str) -> Node | None:
    """`workdir` and `output` of the run that a spec.yaml belongs to; None for any other file.

    A run's spec says both as they were typed, relative to where somebody stood.
    """
    if os.path.basename(spec) != "spec.yaml":
        return None
    folder = os.path.dirname(os.path.abspath(spec))
    plan = os.path.join(folder, "plan.json")
    if not os.path.isfile(plan) or not os.path.isfile(os.path.join(folder, "run.json")):
        return None
    from prl_submit.errors import PrlSubmitError
    from prl_submit.runs.plan_file import read_plan

    try:
        workdir = read_plan(plan).plan.workdir
    except PrlSubmitError:
        return None  # damaged: the spec alone has to do
    origin = Origin("spec", os.path.relpath(plan))
    folders = {"workdir": workdir, "output": os.path.dirname(folder)}
    return Node({key: scalar_node(path, origin) for key, path in folders.items()}, origin)


def is_of_a_run(spec: str) -> bool:
    """Whether a file is the spec.yaml of a run directory, which anybody may have written."""
    folder, name = os.path.split(spec)
    return name == "spec.yaml" and os.path.lexists(os.path.join(folder, "run.json"))


def of_another_user(spec: str) -> list[Problem]:
    """A warning where a spec is that of another user's run."""
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
