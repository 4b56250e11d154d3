"""The settings in a run's plan.json, read quickly: `list` reads those of 1000 runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.runs.layout import PLAN, versions_file
from prl_submit.runs.signs_of_life import last_size
from prl_submit.system.reading import PLAN_BYTES, read_record


class _Value(Struct, frozen=True):
    key: str
    value: Any = None


class _Git(Struct, frozen=True):
    commit: str | None = None
    dirty: bool = False


class PlannedSettings(Struct, frozen=True):
    """What plan.json says. `values`: the keys of the job spec with their values; empty without a plan.json.

    `commit`, `dirty`: git's commit of the working directory, and whether it had other changes too. `unstated`:
    the keys of the job's size that only the platform tells. `spec_file`: the job spec, as the user named it.
    """

    values: dict[str, Any]
    swift_version: str | None = None
    commit: str | None = None
    dirty: bool = False
    unstated: frozenset[str] = frozenset()
    spec_file: str | None = None


class _Job(Struct, frozen=True):
    workdir: str | None = None
    unstated: list[str] = []
    spec_file: str | None = None


class _Plan(Struct, frozen=True):
    values: list[_Value] = []
    swift_version: str | None = None
    git: _Git | None = None
    plan: _Job = _Job()


_DECODER = msgspec.json.Decoder(_Plan)
_NONE = PlannedSettings({})


def read_planned(run: Path) -> PlannedSettings:
    """The settings in plan.json; empty if the file is missing or damaged."""
    try:
        plan = _DECODER.decode(read_record(run / PLAN, PLAN_BYTES))
    except (OSError, ValueError, RecursionError):
        return _NONE
    git = plan.git or _Git()
    values = {item.key: item.value for item in plan.values}
    if plan.plan.workdir is not None and "workdir" in values:
        # A spec says `.`, and a rerun of it the whole path: the same folder is no difference.
        values["workdir"] = plan.plan.workdir
    unstated = frozenset(plan.plan.unstated)
    return PlannedSettings(
        values, plan.swift_version, git.commit, git.dirty, unstated, plan.plan.spec_file
    )


def gpus_of(planned: PlannedSettings, run: Path) -> int | None:
    """The GPUs of the training's processes; 0 on CPUs, None if nobody knows."""
    values = planned.values
    if not values:
        return None
    if values.get("resources.accelerator") == "cpu":
        return 0
    counts = [_count(values, name) for name in ("nodes", "nproc_per_node")]
    if planned.unstated or None in counts:
        size = last_size(run)
        return None if size is None else size[0] * size[1]
    return (counts[0] or 0) * (counts[1] or 0)


def _count(values: Mapping[str, Any], name: str) -> int | None:
    """A number of the section `resources`, of which 1 is the default."""
    found = values.get(f"resources.{name}", 1)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


class _Versions(Struct, frozen=True):
    packages: dict[str, str] = {}


def versions_of(run: Path) -> dict[str, str]:
    """The versions of the packages on node 0, as it wrote them; empty if it has not started."""
    try:
        data = read_record(versions_file(run, 0))
        return msgspec.json.decode(data, type=_Versions).packages
    except (OSError, ValueError, RecursionError):
        return {}
