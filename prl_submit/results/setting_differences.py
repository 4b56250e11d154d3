"""The settings in which runs differ."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from prl_submit.results.run_settings import RunSettings
from prl_submit.system.credentials import MARK, masked

#: They differ between any two runs, or say again what another setting says.
_OF_EACH_RUN = frozenset(
    """output_dir logging_dir run_name add_version resume_from_checkpoint logging_first_step rank local_rank
    global_world_size local_world_size hub_model_id swift_version ckpt_dir model_dir last_model_checkpoint
    best_model_checkpoint sink_file model_info model_meta training_args model_name model_author""".split()  # noqa: SIM905  # a list of words
)
#: Old names that args.json has beside the present one, with the same value.
_OLD_NAMES = {"evaluation_strategy": "eval_strategy"}
#: As _OF_EACH_RUN, for the keys of a job spec: tables have the name and the version of ms-swift in other places.
_OF_EACH_JOB = ("name", "extends", "output", "after", "environment.swift_version")
_SECRET = re.compile(
    r"(?:^|[._])(?:token|secret|password|passwd|api_key|access_key)$", re.IGNORECASE
)
HIDDEN = MARK
_MISSING = object()


def differences(settings: Sequence[RunSettings]) -> dict[str, list[Any]]:
    """For each setting in which the runs differ, the value of each run; None where a run has no such setting.

    ms-swift's arguments are named as in a job spec: `swift.beta`. If a training has begun, an argument is
    compared only if all runs have it. Between releases of ms-swift, whose defaults differ, only the arguments
    that a job spec states are compared.
    """
    found: dict[str, list[Any]] = {}
    versions = [item.swift_version for item in settings]
    if len(set(versions)) > 1:
        found["ms-swift"] = list(versions)
    # args.json has all arguments with their defaults; before the trainings wrote it, only plan.json is known.
    has_all = any(item.has_arguments for item in settings)
    arguments = _differing([_arguments(item) for item in settings], needs_all=has_all)
    if found and all(item.planned for item in settings):
        stated = {key for item in settings for key in item.planned}
        arguments = {key: values for key, values in arguments.items() if key in stated}
    found.update(arguments)
    if all(item.planned for item in settings):
        found.update(_differing([_planned(item) for item in settings], needs_all=False))
    return {key: [shown_setting(key, value) for value in values] for key, values in found.items()}


def common_settings(settings: Sequence[RunSettings]) -> dict[str, Any]:
    """The settings that are the same in all runs that have them, by name: those of job specs and of ms-swift."""
    runs = [_arguments(item) | _planned(item) for item in settings]
    found: dict[str, Any] = {}
    for key in sorted({key for run in runs for key in run}):
        values = [run[key] for run in runs if key in run]
        if all(_same(value, values[0]) for value in values[1:]):
            found[key] = shown_setting(key, values[0])
    return found


def differing_values(plans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each plan, by the keys of a job spec, its values of the keys in which the plans differ.

    An empty plan, of a run whose plan.json cannot be read, is compared with none.
    """
    kept = [{key: value for key, value in plan.items() if _is_compared(key)} for plan in plans]
    differing = _differing([plan for plan in kept if plan], needs_all=False)
    return [
        {key: shown_setting(key, plan[key]) for key in differing if plan.get(key) is not None}
        for plan in kept
    ]


def _is_compared(key: str) -> bool:
    """False for a key that differs between any two runs."""
    if key.startswith("sweep."):
        return False
    return key not in _OF_EACH_JOB and key.removeprefix("swift.") not in _OF_EACH_RUN


def _arguments(settings: RunSettings) -> dict[str, Any]:
    return {
        f"swift.{key}": value
        for key, value in settings.arguments.items()
        if key not in _OF_EACH_RUN
        and not key.startswith("_")
        and _OLD_NAMES.get(key) not in settings.arguments
    }


def _planned(settings: RunSettings) -> dict[str, Any]:
    """The keys of the job spec but for ms-swift's arguments."""
    return {
        key: value
        for key, value in settings.planned.items()
        if not key.startswith("swift.") and key not in _OF_EACH_JOB
    }


def _differing(runs: Sequence[Mapping[str, Any]], *, needs_all: bool) -> dict[str, list[Any]]:
    """The keys whose values are not the same in all runs."""
    every = dict.fromkeys(key for run in runs for key in run)
    found: dict[str, list[Any]] = {}
    for key in every:
        values = [run.get(key, _MISSING) for run in runs]
        if needs_all and _MISSING in values:
            continue
        if any(not _same(value, values[0]) for value in values[1:]):
            found[key] = [None if value is _MISSING else value for value in values]
    return found


def _same(one: Any, other: Any) -> bool:
    """True if two values mean the same: 2 and 2.0 do, and True and 1 do not."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


@lru_cache(maxsize=4096)  # many runs have the same values
def _without_credentials(text: str) -> str:
    return masked(text)[0]


def shown_setting(key: str, value: Any) -> Any:
    """The value of a setting, but `***` for a token or a password, and in place of those in its texts."""
    if value is not None and _SECRET.search(key):
        return HIDDEN
    if isinstance(value, str):
        return _without_credentials(value)
    if isinstance(value, list):
        return [shown_setting(key, item) for item in value]
    if isinstance(value, dict):
        return {name: shown_setting(f"{key}.{name}", item) for name, item in value.items()}
    return value
