"""Plans from the texts of specs: without a disk, an environment, or a clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prl_submit import backends
from prl_submit.planning.layers import (
    Flags,
    Layered,
    Sections,
    lay_arguments,
    lay_sections,
    read_files,
)
from prl_submit.planning.make import make_plan
from prl_submit.planning.plan import Context, Plan, Planned
from prl_submit.spec.profiles import read_profile
from prl_submit.swift.table import Table, load_table

CONTEXT = Context(cwd="/cwd", home="/home/me")


def sections(
    spec: str | None,
    *,
    files: Mapping[str, str] | None = None,
    read: Callable[[str], bytes] | None = None,
    name: str = "job.yaml",
    environ: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
    backend: str | None = None,
    toml: str | None = None,
) -> Sections:
    """A spec's text, the files it names, a profile, variables and options, but for ms-swift's arguments.

    `spec` None: there is no such file. `read` replaces `spec` and `files`: it is given a path.
    """
    texts = {**({} if spec is None else {name: spec}), **(files or {})}

    def read_text(path: str) -> bytes:
        if path not in texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return texts[path].encode("utf-8")

    profile = None
    if toml is not None:
        profile = read_profile([("prl-submit.toml", toml.encode("utf-8"))], None)
    return lay_sections(
        read_files(name, read=read or read_text, profile=profile),
        profile=profile,
        environ=environ or {},
        flags=Flags(sets, backend),
    )


def layered(spec: str | None, *, table: Table | None = None, **layers: Any) -> Layered:
    """All layers in one tree. `layers`: see `sections`."""
    return lay_arguments(sections(spec, **layers), table or load_table())


def planned(
    spec: str | None,
    *,
    name: str = "job.yaml",
    table: Table | None = None,
    context: Context = CONTEXT,
    **layers: Any,
) -> Planned:
    """A plan with all its problems. `table`: the arguments of its ms-swift; `layers`: see `sections`."""
    chosen = table or load_table()
    made = make_plan(sections(spec, name=name, **layers), lambda _: chosen, name, context)
    made.problems.extend(backends.check_section(made))
    return made


def plan_of(spec: str) -> Plan:
    """The plan of a spec, whatever problems it has."""
    return planned(spec).plan


def slurm_plan(more: str = "") -> Plan:
    """The plan of a Slurm job without errors; `more`: further lines of its spec."""
    made = planned(f"name: x\nbackend: slurm\n{more}")
    assert [problem for problem in made.problems if problem.severity == "error"] == []
    return made.plan
