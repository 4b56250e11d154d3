"""Which runs `list` shows, with which columns, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec import Struct

from prl_submit.cli.views.run_columns import (
    COLUMNS,
    Column,
    TableLook,
    metric,
    setting,
    setting_text,
)
from prl_submit.errors import NoSuchRunError, PrlSubmitError
from prl_submit.results.metric_names import METRICS, REWARD_OF, REWARD_STD_OF
from prl_submit.results.planned_settings import read_planned
from prl_submit.results.run_status import RunView
from prl_submit.results.setting_differences import differing_values
from prl_submit.runs.directory import Run
from prl_submit.runs.labels import read_labels
from prl_submit.runs.states import FINISHED, QUEUED, RUNNING
from prl_submit.spec.suggest import did_you_mean

STATES = sorted({QUEUED, RUNNING, *FINISHED})
#: Other names of columns.
_ALIASES = {
    "s/it": "speed",
    "seconds_per_step": "speed",
    "memory_gib": "memory",
    "duration": "elapsed",
}
#: So many differing settings of a run are shown.
_MOST_DIFFERENCES = 6


class Choice(Struct, frozen=True):
    """Which runs are meant. A condition that is None or empty is met by all runs."""

    states: frozenset[str] = frozenset()
    name: str | None = None
    tags: list[str] = []
    sweep: str | None = None
    last: int | None = None


def known_states(words: Sequence[str]) -> frozenset[str]:
    """The states that the user named, in any case and separated by commas. Raises PrlSubmitError."""
    found = [part.strip().upper() for word in words for part in word.split(",") if part.strip()]
    for state in found:
        if state not in STATES:
            hint = did_you_mean(state, STATES) or f"the states are {', '.join(STATES)}"
            raise PrlSubmitError(f"--state: there is no state {state!r}", hint)
    return frozenset(found)


def chosen_runs(runs: Sequence[Run], choice: Choice) -> list[Run]:
    """The runs that the choice may mean, as far as their files tell; their states are not known yet."""
    found = [run for run in runs if _is_named(run, choice)]
    if choice.sweep is not None:
        found = _of_sweep(found, runs, choice.sweep)
    if choice.last is not None and not choice.states:
        found = found[-choice.last :]
    return found


def of_choice(views: Sequence[RunView], choice: Choice) -> list[RunView]:
    """The runs in the states that are meant, and of these the last ones."""
    found = [view for view in views if not choice.states or view.status.state in choice.states]
    return found if choice.last is None else found[-choice.last :]


def _is_named(run: Run, choice: Choice) -> bool:
    """True if the run's name and tags are meant."""
    if choice.name is None and not choice.tags:
        return True
    labels = read_labels(run.path)
    name = labels.name or (run.record.name if run.record else "")
    if choice.name is not None and not fnmatchcase(name, choice.name):
        return False
    return all(tag in labels.tags for tag in choice.tags)


def _of_sweep(found: Sequence[Run], runs: Sequence[Run], name: str) -> list[Run]:
    """The runs of a sweep, named by its name, its folder or its id. Raises NoSuchRunError."""
    sweeps = [run.record.sweep for run in runs if run.record and run.record.sweep]
    if not any(name in (sweep.name, sweep.folder, sweep.id) for sweep in sweeps):
        hint = did_you_mean(name, {sweep.name for sweep in sweeps})
        raise NoSuchRunError(f"there is no sweep {name!r}", hint)
    return [
        run
        for run in found
        if run.record
        and run.record.sweep
        and name in (run.record.sweep.name, run.record.sweep.folder, run.record.sweep.id)
    ]


def chosen_columns(names: str | None, runs: Sequence[Run]) -> dict[str, Column]:
    """The columns that the user named, separated by commas. Raises PrlSubmitError for an unknown one."""
    if names is None:
        return {}
    words = [word.strip() for word in names.split(",")]
    return {word: _column(word, runs) for word in words}


def _column(word: str, runs: Sequence[Run]) -> Column:
    name = _ALIASES.get(word, word)
    if name in COLUMNS:
        return COLUMNS[name]
    if name in _METRICS or name.startswith((REWARD_OF, REWARD_STD_OF)):
        return metric(name)
    if name in _planned_keys(runs) or name in (known := _all_keys()):
        return setting(name)
    every = [*COLUMNS, *_METRICS, *known]
    hint = (did_you_mean(name, every) or did_you_mean(f"swift.{name}", every)) if name else None
    listed = f"columns are {', '.join(COLUMNS)}; any metric (kl, reward/NAME) and any setting (swift.beta)"
    raise PrlSubmitError(f"there is no column {word!r}", hint or listed)


_METRICS = frozenset(item.name for item in METRICS)


def _planned_keys(runs: Sequence[Run]) -> set[str]:
    """All keys that the plans of the runs have."""
    return {key for run in runs for key in read_planned(run.path).values}


def _all_keys() -> list[str]:
    """Every key that a spec can have: of its sections, and ms-swift's arguments."""
    from prl_submit.spec.sections import JobSpec
    from prl_submit.swift.table import load_table

    definitions = msgspec.json.schema(JobSpec)["$defs"]
    keys = [f"swift.{name}" for name in load_table()]
    for name, shape in definitions["JobSpec"]["properties"].items():
        section = _section(shape)
        if section is None:
            keys += [name] if name != "swift" else []
        else:
            keys += [f"{name}.{key}" for key in definitions[section]["properties"]]
    return keys


def _section(shape: dict[str, Any]) -> str | None:
    """The name of the section that a key of the spec has; None if the key has a value."""
    shapes = [shape, *shape.get("anyOf", []), *shape.get("allOf", [])]
    for each in shapes:
        if "$ref" in each:
            return str(each["$ref"]).rpartition("/")[2]
    return None


def in_order(
    views: Sequence[RunView], look: TableLook, order: Mapping[str, Column], *, descending: bool
) -> list[RunView]:
    """The runs sorted by the columns. Runs without a value come first, or last if `descending`."""

    def key(view: RunView) -> list[tuple[int, Any]]:
        return [_comparable(column.sort_key(view, look)) for column in order.values()]

    if not order:
        return list(views)[::-1] if descending else list(views)
    return sorted(views, key=key, reverse=descending)


def _comparable(value: Any) -> tuple[int, Any]:
    """A value that can be compared with every other: none, numbers, tuples, texts."""
    if value is None:
        return 0, 0
    if isinstance(value, (bool, int, float)):
        return 1, value
    return (2, value) if isinstance(value, tuple) else (3, str(value))


def differences_in(views: Sequence[RunView]) -> dict[str, str]:
    """For each path the settings in which a run differs from others of its name, or of its sweep."""
    groups: dict[tuple[str, str | None], list[RunView]] = {}
    for view in views:
        sweep = view.status.sweep
        kind = ("sweep", sweep.id) if sweep is not None else ("name", view.status.name)
        groups.setdefault(kind, []).append(view)
    found = {}
    for (_, name), group in groups.items():
        if len(group) < 2 or name is None:
            continue
        plans = [view.planned.values for view in group]
        for view, values in zip(group, differing_values(plans), strict=True):
            found[view.status.path] = _words(values)
    return found


def _words(values: Mapping[str, Any]) -> str:
    """`learning_rate 1e-5, beta 0.1`."""
    shown = [
        f"{key.removeprefix('swift.')} {setting_text(key, value)}" for key, value in values.items()
    ]
    more = len(shown) - _MOST_DIFFERENCES
    return ", ".join([*shown[:_MOST_DIFFERENCES], *([f"{more} more"] if more > 0 else [])])
