"""Names that plugin files register with ms-swift: rewards, schedulers, callbacks and the like.

A plugin is Python and may do anything. A name counts as provided wherever the text plainly says so;
it counts as missing only where the whole file can be followed, and that is rarely: no name made at
run time, nothing imported that could register on its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.job import Job
from prl_submit.reading import read_regular
from prl_submit.rules.builtin import (
    CALLBACKS,
    MODEL_PLUGINS,
    OPTIMIZERS,
    REWARDS,
    SCHEDULERS,
    TUNERS,
)

#: Argument -> ms-swift's registry for it, what that has from the start, the types that look, and
#: since when it is called so.
REGISTRIES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], str]] = {
    "reward_funcs": ("orms", REWARDS, ("grpo",), "3.0"),
    "reward_model_plugin": ("rm_plugins", MODEL_PLUGINS, ("grpo",), "3.4.1"),
    "multi_turn_scheduler": ("multi_turns", SCHEDULERS, ("grpo",), "3.8"),
    "callbacks": ("callbacks_map", CALLBACKS, (), "4.0"),
    "optimizer": ("optimizers_map", OPTIMIZERS, (), "4.0"),
    "tuner_type": ("tuners_map", TUNERS, (), "4.0"),
}
MAX_BYTES = 4_000_000


class Plugin(Struct, frozen=True):
    """A plugin file's text, and the path as it was given."""

    given: str
    source: str


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """ms-swift 4.6.0 grpo_trainer `_prepare_rewards`, rollout_mixin, trainers/mixin, tuner.

    Names that are neither ms-swift's own nor a plugin's fail after the model is loaded.
    """
    wanted = list(_unknown(job))
    if not wanted:
        return
    files = _read(job, workdir)
    if files is None:
        return
    for argument, name in wanted:
        registry, builtin, *_ = REGISTRIES[argument]
        if any(says(plugin.source, registry, name) for plugin in files):
            continue
        from prl_submit.inputs.following import provided  # for a name that no text plainly has

        found = [provided(plugin.source, registry) for plugin in files]
        if None not in found:
            names = {name for names in found for name in names or ()}
            yield missing(job, argument, name, sorted(names), builtin, files)


def missing(
    job: Job,
    argument: str,
    name: str,
    names: list[str],
    builtin: tuple[str, ...],
    files: list[Plugin],
) -> Problem:
    """The problem of a name that nothing provides."""
    where = " or ".join(plugin.given for plugin in files)
    message = f"{name} is not known to ms-swift"
    message += f", and {where} does not provide it" if files else ", and no plugin is given"
    from prl_submit.suggest import closest

    near = closest(name, [*names, *builtin], 0.6)
    hint = f"did you mean {near}?" if near else f"known: {', '.join([*names, *builtin])}"
    return job.refuse(argument, message, hint)


def _unknown(job: Job) -> Iterator[tuple[str, str]]:
    """Names that ms-swift does not bring. What the pure rules refuse already is left to them."""
    if not job.has_known_names:
        return
    for argument, (_, builtin, types, since) in REGISTRIES.items():
        if argument not in job.swift or (types and job.rlhf_type not in types):
            continue
        if not job.since(since) or (argument != "reward_funcs" and not job.has_plugins):
            continue
        for name in job.many(argument):
            if name not in builtin:
                yield argument, str(name)


def _given(job: Job) -> list[str]:
    names = job.many("external_plugins") + job.many("custom_register_path")
    return [str(name) for name in names]


def _read(job: Job, workdir: str) -> list[Plugin] | None:
    """All plugin files; None where one is not there to be read, which others tell."""
    files = []
    for given in _given(job):
        path = resolve(given, workdir)
        if made_by_setup(job, path, workdir):
            return None
        try:
            files.append(Plugin(given, read_regular(path, MAX_BYTES).decode("utf-8")))
        except (OSError, UnicodeDecodeError):
            return None
    return files


def says(source: str, registry: str, name: str) -> bool:
    """Whether the text plainly registers `name`: by key, or in an `update` or `setdefault`.

    Looked for without a regular expression, which takes half a millisecond for a plugin of 20 kB.
    """
    end = 0
    while (start := source.find(registry, end)) >= 0:
        end = start + len(registry)
        after = source[end : end + 2000].lstrip()
        if after[:1] == "[" and _is_quoted(after[1:].partition("]")[0], name):
            return True
        call, _, inside = after.partition("(")
        if call.strip() in (".update", ".setdefault"):
            for part in inside.partition(")")[0].split(","):
                if part.partition("=")[0].strip() == name:
                    return True
                if _is_quoted(part.partition(":")[0].strip().lstrip("{"), name):
                    return True
    return False


def _is_quoted(text: str, name: str) -> bool:
    return text.strip() in (f"'{name}'", f'"{name}"')


def registers_datasets(job: Job, workdir: str) -> bool:
    """Whether a plugin may give data files columns of its own."""
    files = _read(job, workdir)
    return files is None or any("register_dataset" in plugin.source for plugin in files)
