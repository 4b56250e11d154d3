"""Check of names that ms-swift or a plugin must register: templates, model types, loss scales and others.

The known names are those of the ms-swift that will run. They are read from its source if it is on this
machine, else from the bundled names of its release.
"""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.inputs.plugins import read_plugins
from prl_submit.rules.job import Job
from prl_submit.rules.other_models import REFERRING, unloaded
from prl_submit.swift.registries import STRATEGIES, Registries

#: Argument -> its registry, and the words in a plugin that registers a name there.
NAMING: dict[str, tuple[str, tuple[str, ...]]] = {
    "template": ("template", ("register_template", "TEMPLATE_MAPPING")),
    "reward_template": ("template", ("register_template", "TEMPLATE_MAPPING")),
    "model_type": ("model_type", ("register_model", "MODEL_MAPPING")),
    "ref_model_type": ("model_type", ("register_model", "MODEL_MAPPING")),
    "reward_model_type": ("model_type", ("register_model", "MODEL_MAPPING")),
    "teacher_model_type": ("model_type", ("register_model", "MODEL_MAPPING")),
    "loss_scale": ("loss_scale", ("loss_scale_map",)),
    "attn_impl": ("attn_impl", ("AttentionInterface", "ALL_ATTENTION_FUNCTIONS")),
    "agent_template": ("agent_template", ("agent_templates", "agent_template_map")),
}


#: Values of attn_impl (transformers 4.56-5.19 modeling_utils `get_correct_attn_implementation`), and
#: ms-swift's own word flash_attn.
_ATTENTION = (
    "flash_attn", "sdpa", "eager", "flex_attention", "flash_attention_2", "flash_attention_3",
    "flash_attention_4", "paged|eager", "paged|sdpa", "paged|flash_attention_2", "paged_attention",
    "sdpa_paged", "eager_paged",
)  # fmt: skip


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Problems with names that are not registered.

    Source: for types and templates, ms-swift 3.0-4.6 model_meta `_get_model_info`, template/register
    `get_template_meta`. For a loss_scale and an agent_template, template/base `Template.__init__`; since 4.2
    ms-swift looks an agent_template up only when it meets the first row with tools. transformers looks an
    attn_impl up when it makes the model; `owner/name` names a kernel of the hub.
    """
    wanted = [name for name in NAMING if name in job.swift and _is_looked_up(job, name)]
    registries = job.names() if wanted else None
    if registries is None or not (job.folders or job.has_known_names):
        return
    for argument in wanted:
        registry, words = NAMING[argument]
        for value in map(str, job.many(argument)):
            yield from _known(job, workdir, argument, value, _names(registries, registry), words)


def _is_looked_up(job: Job, argument: str) -> bool:
    """True if ms-swift looks the name up in this job."""
    if argument == "ref_model_type":
        if job.tuner_type != "full" or job.get("ref_model", None) is None:
            return False
        return "ref_model" not in unloaded(job.swift) and job.rlhf_type in REFERRING
    if argument == "teacher_model_type":
        return bool(job.get("teacher_model", None)) and "teacher_model" not in unloaded(job.swift)
    if argument in ("reward_model_type", "reward_template"):
        kinds = ("grpo",) if argument == "reward_template" else ("grpo", "ppo")
        return bool(job.many("reward_model")) and job.rlhf_type in kinds
    return True


def _names(registries: Registries, registry: str) -> tuple[str, ...]:
    if registry == "model_type":
        return tuple(registries.models)
    if registry == "attn_impl":
        return _ATTENTION
    return registries.others.get(registry, ())


def _known(
    job: Job,
    workdir: str,
    argument: str,
    value: str,
    names: tuple[str, ...],
    words: tuple[str, ...],
) -> Iterator[Problem]:
    """A problem for the first part of a name that is not registered."""
    if not names or not value:
        return
    for part in _parts(job, argument, value):
        if part in names:
            continue
        sure = are_silent(job, workdir, words)
        from prl_submit.spec.suggest import closest

        near = closest(part, names, 0.6)
        shown = (
            ", ".join(names) if len(names) < 12 else f"{', '.join(names[:10])}, … ({len(names)})"
        )
        hint = f"did you mean {near}?" if near else f"known: {shown}"
        version = f" {job.swift_version}" if job.swift_version else ""
        message = f"{part} is not known to ms-swift{version}"
        if argument == "agent_template" and job.since("4.2"):
            yield job.warn(argument, f"{message}: the first row with tools ends the job", hint)
        elif sure:
            yield job.refuse(argument, message, hint)
        else:
            yield job.warn(argument, f"{message}, unless a plugin registers it", hint)
        return


def _parts(job: Job, argument: str, value: str) -> list[str]:
    """The names in a value. Since ms-swift 3.9 a loss_scale may have several: `last_round+react`."""
    if argument == "attn_impl" and "/" in value:
        return []
    if argument != "loss_scale":
        return [value]
    registries = job.names()
    strategies = registries.others.get(STRATEGIES, ()) if registries else ()
    if not strategies:
        return [value]
    parts = value.split("+")
    return parts[1:] if parts[0] in strategies else parts


def are_silent(job: Job, workdir: str, words: tuple[str, ...]) -> bool:
    """True if no plugin registers names with these words."""
    if not job.has_plugins:
        return True
    files = read_plugins(job, workdir)
    if files is None:
        return False
    from prl_submit.inputs.plugin_ast import provided

    return all(provided(plugin.source, word) == set() for plugin in files for word in words)
