"""Find the sizes of models and GPUs on this machine: in config.json files, hub caches and the probe's facts.

No other module of this package reads the disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from prl_submit.memory.fitting import Inputs
from prl_submit.memory.gpus import gpu_sizes
from prl_submit.memory.known import known_config
from prl_submit.memory.model import ModelConfig, read_config
from prl_submit.memory.older import in_todays_names
from prl_submit.memory.settings import other_roles
from prl_submit.rules.job import DoubtfulError
from prl_submit.system.reading import read_regular
from prl_submit.system.shared_results import shared
from prl_submit.system.user_paths import absolute

if TYPE_CHECKING:
    from prl_submit.planning.plan import Planned
    from prl_submit.probe.node_facts import Damaged, Facts

_TUNERS = ("full", "lora")


def find_inputs(planned: Planned, environ: Mapping[str, str]) -> Inputs | str:
    """What the forecast needs to know of a plan; or, in words, why there can be no forecast."""
    plan = planned.plan
    if plan.resources.accelerator != "gpu":
        return "the job uses no GPU"
    try:
        values = in_todays_names(planned.job)
    except DoubtfulError as error:
        return f"{error} is wrong"
    model = values.get("model")
    if not isinstance(model, str):
        return "no model is set"
    tuner = values.get("tuner_type", "lora")
    if tuner not in _TUNERS:
        name = planned.job.tuner_argument
        return f"{name} {tuner} is not among what it can count: {', '.join(_TUNERS)}"
    if values.get("use_lmdeploy"):
        return "LMDeploy is not among what it can count"
    config = find_config(model, plan.workdir, environ)
    if config is None:
        return f"the sizes of {model} are not known: it is not here, and not in the table of common models"
    names = {name for changed in _kinds(values) for _, name, _ in other_roles(changed) if name}
    found = {name: find_config(name, plan.workdir, environ) for name in sorted(names)}
    return Inputs(values, plan.world_size, config, found, _sharding_file(values, plan.workdir))


def _sharding_file(values: dict[str, object], workdir: str) -> bytes | None:
    """The content of the JSON file that `deepspeed` or `fsdp` names; None if there is none that can be read."""
    file = values.get("deepspeed") or values.get("fsdp")
    return (
        _read(absolute(file, workdir, os.path.expanduser("~"))) if isinstance(file, str) else None
    )


def _kinds(values: dict[str, object]) -> list[dict[str, object]]:
    """The arguments with each tuner, because a proposal may change the tuner."""
    return [{**values, "tuner_type": tuner} for tuner in _TUNERS]


def find_config(model: str, workdir: str, environ: Mapping[str, str]) -> ModelConfig | None:
    """A model's config: from its folder, from the table of common models, or from a hub's cache.

    None if there is none. None also for weights that are quantised on disk, because their sizes differ.
    """
    folder = absolute(model, workdir, os.path.expanduser("~"))
    raw = _read(os.path.join(folder, "config.json"))
    if raw is None and (known := known_config(model)) is not None:
        return known
    if raw is None:
        raw = next((text for path in _cached(model, environ) if (text := _read(path))), None)
    config = read_config(raw) if raw else None
    return None if config is None or config.quantization_config else config


def _cached(model: str, environ: Mapping[str, str]) -> list[str]:
    """The paths at which huggingface_hub and modelscope keep the config.json of a model with this id."""
    home = environ.get("HOME") or os.path.expanduser("~")
    cache = os.path.join(home, ".cache")
    hugging = environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    hub = environ.get("HF_HUB_CACHE") or os.path.join(hugging, "hub")
    snapshots = os.path.join(hub, f"models--{model.replace('/', '--')}", "snapshots")
    scope = environ.get("MODELSCOPE_CACHE") or os.path.join(cache, "modelscope", "hub")
    # modelscope writes a dot in a model's name as three underscores.
    names = (model, model.replace(".", "___"))
    found = [os.path.join(scope, part, name) for part in ("models", "") for name in names]
    try:
        found += sorted(os.path.join(snapshots, name) for name in os.listdir(snapshots))
    except (OSError, ValueError):
        pass  # never downloaded; ValueError: a NUL in the name
    return [os.path.join(folder, "config.json") for folder in found]


@shared
def _read(path: str) -> bytes | None:
    try:
        return read_regular(path, 1_000_000)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None


def find_gpu(planned: Planned, facts: Facts | Damaged | None) -> tuple[int, ...]:
    """The memory in MiB that the job's GPUs may have: as the probe saw it, else that of `resources.gpu_type`."""
    wanted = planned.plan.resources.gpu_type
    seen = _seen(wanted, facts) if facts is not None else ()
    return seen or (gpu_sizes(wanted) if wanted else ())


def _seen(wanted: str | None, facts: Facts | Damaged) -> tuple[int, ...]:
    from prl_submit.probe.check_facts import is_kind
    from prl_submit.probe.node_facts import Facts

    if not isinstance(facts, Facts):
        return ()
    return tuple(
        sorted(
            {
                gpu.memory_mib
                for node in facts.nodes
                for gpu in node.gpus or []
                if gpu.memory_mib and (not wanted or is_kind(wanted, gpu.name or ""))
            }
        )
    )
