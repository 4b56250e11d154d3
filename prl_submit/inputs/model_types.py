"""Check that ms-swift can tell the model type and the template of a local model.

ms-swift finds the type by the folder's name, and else by the architecture in config.json.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.inputs.registered import are_silent
from prl_submit.rules.job import Job
from prl_submit.rules.other_models import unloaded
from prl_submit.swift.registries import Registries
from prl_submit.system.reading import decode_json, read_regular

MAX_BYTES = 4_000_000
_REGISTER = ("register_model", "MODEL_MAPPING")


class Unclear(Struct, frozen=True):
    """What the user must say of a local model, because ms-swift cannot tell it.

    `kinds`: the model types that it may be, the likely one first; empty if ms-swift can tell the type.
    `is_likely`: true if config.json names the first one. `templates`: the templates that it may have; empty
    if ms-swift can tell the template.
    """

    kinds: tuple[str, ...] = ()
    is_likely: bool = False
    templates: tuple[str, ...] = ()


class Folder(Struct, frozen=True):
    """A model's folder: the word for it in the spec, its path, and its config.json."""

    given: str
    path: str
    config: dict[str, Any]


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """ms-swift 3.0-4.6 model_meta `_get_model_info` (before 4.0 llm/model/register), by local folders.

    The trained model is looked at while the arguments are read, the others later.
    """
    if not (job.folders or job.has_known_names) or job.get("load_args", False):
        return
    for argument, typed in (
        ("model", "model_type"),
        ("reward_model", "reward_model_type"),
        ("teacher_model", "teacher_model_type"),
    ):
        if argument not in job.swift or not _is_loaded(job, argument):
            continue
        types = job.many(typed)
        for index, given in enumerate(map(str, job.many(argument))):
            folder = read_folder(job, given, workdir)
            if folder is None:
                continue
            chosen = str(types[index]) if index < len(types) and types[index] else None
            yield from _match(job, workdir, argument, typed, folder, chosen)


def _is_loaded(job: Job, argument: str) -> bool:
    """True if ms-swift loads the model. Source: pipelines/train/rlhf `_prepare_model_tokenizer`.

    Since 4.4 a teacher that is the trained model itself, without its adapter, is not loaded again.
    """
    if argument == "teacher_model":
        own = job.get("teacher_model", None) == job.get("model", None)
        is_adapter = own and job.tuner_type == "lora" and not job.many("teacher_adapters")
        return "teacher_model" not in unloaded(job.swift) and not (is_adapter and job.since("4.4"))
    if argument == "reward_model":
        return job.rlhf_type in ("grpo", "ppo")
    return not job.get("resume_only_model", False)


def read_folder(job: Job, given: str, workdir: str) -> Folder | None:
    """A model's folder on this machine.

    None for a hub's id, for a folder that a setup line makes, and if config.json cannot be read.
    """
    path = resolve(given, workdir)
    if not os.path.isdir(path) or made_by_setup(job, path, workdir):
        return None
    try:
        config = decode_json(read_regular(os.path.join(path, "config.json"), MAX_BYTES))
    except (OSError, ValueError):
        return None
    return Folder(given, path, config) if isinstance(config, dict) else None


def model_name(path: str) -> str:
    """The name by which ms-swift looks a model up: the last part of its path, or its name in a hub's cache.

    In lower case. Source: ms-swift 4.6.0 model_meta `get_model_name`.
    """
    path = path.rstrip("/")
    for hub in (r"/models--(?:.+?--)?(.+?)/snapshots/", r"/models/(?:.+?--)?(.+?)/snapshots/"):
        found = re.search(hub, path)
        if found:
            return found[1].lower()
    return path.rsplit("/", 1)[-1].replace("___", ".").lower()


def _match(
    job: Job, workdir: str, argument: str, typed: str, folder: Folder, chosen: str | None
) -> Iterator[Problem]:
    """Problems with the type and the template of one folder.

    `typed`: the argument for the type. `chosen`: its value, None if it is not set.
    """
    if os.path.exists(os.path.join(folder.path, "args.json")):
        return  # a checkpoint of ms-swift: args.json has the type and the template
    registries = job.names()
    if registries is None:
        return
    named = registries.names.get(model_name(folder.given))
    kind = chosen or (named[0] if named else None)
    if kind is None:
        kinds = possible_types(registries, folder.config)
        if len(kinds) > 1 and are_silent(job, workdir, _REGISTER):
            yield _ambiguous(job, argument, typed, folder, kinds)
        if len(kinds) != 1:
            return
        kind = kinds[0]
    # The name also gives the template, if the name gives the same type.
    own = named[1] if named and named[0] == kind else None
    if argument == "model" and own is None:
        yield from _template(job, workdir, registries, folder, kind)


def possible_types(registries: Registries, config: dict[str, Any]) -> list[str]:
    """The model types of the first architecture in config.json; none if there is no architecture.

    The type that has the same name as the `model_type` of config.json comes first.
    """
    found = config.get("architectures")
    if not isinstance(found, list) or not found:
        return []
    return sorted(registries.types_of(str(found[0])), key=lambda kind: not _is_named(kind, config))


def _is_named(kind: str, config: dict[str, Any]) -> bool:
    """True if config.json names this type. Its own `model_type` is a type of transformers, not of ms-swift.

    But where ms-swift has a type of the same name, the others are of special models, such as embeddings.
    """
    return bool(kind == config.get("model_type"))


def unclear(job: Job, workdir: str) -> Unclear:
    """What ms-swift cannot tell of the trained model. Nothing is unclear of a model that is not here."""
    registries = job.names()
    folder = read_folder(job, str(job.get("model", "")), workdir)
    if registries is None or folder is None or not are_silent(job, workdir, _REGISTER):
        return Unclear()
    if os.path.exists(os.path.join(folder.path, "args.json")):
        return Unclear()
    named = registries.names.get(model_name(folder.given))
    chosen = job.get("model_type", None) or (named[0] if named else None)
    kinds = (chosen,) if chosen else tuple(possible_types(registries, folder.config))
    open_kinds = kinds if len(kinds) > 1 else ()
    if not kinds or (open_kinds and not _is_named(kinds[0], folder.config)):
        return Unclear(open_kinds)
    has_own = named is not None and named[0] == kinds[0]
    return Unclear(open_kinds, True, () if has_own else _open_templates(job, registries, kinds[0]))


def _open_templates(job: Job, registries: Registries, kind: str) -> tuple[str, ...]:
    """The templates of a model type if ms-swift cannot choose one: it has several and no default."""
    known = registries.models.get(kind)
    if known is None or known.template or len(known.templates) < 2:
        return ()
    return known.templates if job.since("4.0") and not job.get("template", None) else ()


def _ambiguous(job: Job, argument: str, typed: str, folder: Folder, kinds: list[str]) -> Problem:
    architecture = folder.config["architectures"][0]
    message = (
        f"{folder.given} is {architecture}, which may be {_either(kinds)}; ms-swift cannot tell which, "
        "because it does not know the folder's name"
    )
    if _is_named(kinds[0], folder.config):
        return job.refuse(argument, message, f"set {typed}: {kinds[0]}")
    hint = f"set {typed} to the type of the model that yours was trained from"
    return job.refuse(argument, message, hint)


def _template(
    job: Job, workdir: str, registries: Registries, folder: Folder, kind: str
) -> Iterator[Problem]:
    """A problem if the model type does not have exactly one template, and `template` is not set.

    Source: ms-swift >= 4.0 template/register `get_template_meta`.
    """
    known = registries.models.get(kind)
    if not job.since("4.0") or known is None or known.template or job.get("template", None):
        return
    if len(known.templates) == 1 or not are_silent(job, workdir, _REGISTER):
        return
    message = "is not set"
    if known.templates:
        message += (
            f", and model_type {kind} has {len(known.templates)}: {_either(list(known.templates))}"
        )
    else:
        message += f", and model_type {kind} has none of its own"
    key = "swift.model_type" if "model_type" in job.swift else "swift.model"
    hint = f"set template: {known.templates[0] if known.templates else 'dummy'}"
    yield job.problem(key, f"template {message}", hint)


def _either(words: list[str]) -> str:
    """`a, b or c`, at most six of the words."""
    shown = words[:6]
    return f"{', '.join(shown[:-1])} or {shown[-1]}" + (", …" if len(words) > 6 else "")
