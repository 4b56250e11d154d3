"""A forecast in words: a table of its parts, and the message of `check`. Pure."""

from __future__ import annotations

from typing import Any

from prl_submit.memory.fitting import Change, Verdict
from prl_submit.memory.forecast import GIB, MIB, PARTS, Moment
from prl_submit.swift.values import word

#: For each part: the arguments that change it, if it is the largest. The one that matters most comes first.
KEYS = {
    "vllm": ("vllm_gpu_memory_utilization", "use_vllm"),
    "activations": ("per_device_train_batch_size", "max_length", "max_completion_length"),
    "logits": ("per_device_train_batch_size", "max_completion_length", "max_length"),
    "cache": ("per_device_train_batch_size", "max_completion_length"),
    "reference": ("ref_model", "tuner_type"),
    "reward": ("reward_model",),
    "value": ("reward_model",),
    "teacher": ("teacher_model",),
}
#: The error of past forecasts, in words. docs/memory-method.md has the cases.
SHOWN = (
    "Accuracy: within 6 % of torch's tensors; 40 % too low to 7 % too high against ms-swift's "
    "published GPU numbers; not yet measured on a GPU."
)
#: When a moment is, in words.
WHEN = {
    "weights to vLLM": "when the weights are copied to vLLM",
    "generation": "while completions are generated",
    "loss": "when the loss is computed",
    "backward": "in the backward pass",
    "optimizer step": "in the optimizer step",
}
_OTHERWISE = ("deepspeed", "tuner_type", "model")


def keys_of(moment: Moment) -> list[str]:
    """The arguments to name in the message. The one that matters most comes first."""
    largest = max(moment.parts, key=lambda name: moment.parts[name])
    return [*KEYS.get(largest, ()), *_OTHERWISE]


def size(number: float) -> str:
    """Bytes as GiB with one decimal, such as `14.2`."""
    return f"{number / GIB:.1f}"


def message(verdict: Verdict, where: str) -> str:
    """The message about a job that does not fit, with the largest parts. `where`: the GPU, in words."""
    peak = verdict.forecast.peak
    room = f"{where} {size(verdict.gpu * MIB)} GiB"
    if peak.total <= verdict.gpu * MIB:
        return (
            f"vLLM's share of {room} is {size(verdict.share)} GiB; it needs about "
            f"{size(verdict.needed)} for its weights and one longest sequence"
        )
    will = "will not fit" if verdict.hopeless else "may not fit"
    about = f"about {size(peak.total)} GiB, allowing {size(peak.margin)} for error"
    return f"{will}: needs {about}, of {room} ({_largest(peak)}; at the moment: {peak.name})"


def _largest(moment: Moment, most: int = 5) -> str:
    names = sorted(moment.parts, key=lambda name: -moment.parts[name])[:most]
    return ", ".join(f"{PARTS[name]} {size(moment.parts[name])}" for name in names)


def hint(changes: list[Change]) -> str:
    """The hint with the changes. For each of them the forecast says that the job fits."""
    if not changes:
        return "no setting makes it fit: take more or larger GPUs, or a smaller model"
    alternatives = [
        " with ".join(filter(None, (_one(change, 0), ", ".join(_rest(change)))))
        for change in changes
    ]
    return f"these fit: {'; or '.join(alternatives)}"


def _one(change: Change, index: int) -> str:
    name, value = list(change.items())[index]
    return f"{name} {word(value)}"


def _rest(change: Change) -> list[str]:
    return [_one(change, index) for index in range(1, len(change))]


def rows(verdict: Verdict) -> tuple[list[str], list[list[str]]]:
    """The header and rows of the table in GiB. It has a row for each part and a column for each moment."""
    moments = verdict.forecast.moments
    header = ["GIB PER RANK", *(moment.name.upper() for moment in moments)]
    used = [name for name in PARTS if any(name in moment.parts for moment in moments)]
    table = [
        [PARTS[name], *(size(m.parts[name]) if name in m.parts else "-" for m in moments)]
        for name in used
    ]
    table.append(["all together", *(size(moment.total) for moment in moments)])
    table.append(["allowance", *(size(moment.margin) for moment in moments)])
    return header, table


def summary(verdict: Verdict, where: str) -> list[str]:
    """The lines that are printed below the table."""
    found = verdict.forecast
    trained = "all" if found.trained == found.parameters else f"{found.trained:,}"
    peak = found.peak
    lines = [
        f"{found.parameters:,} parameters, {trained} of them trained",
        f"Peak: {size(peak.total)} GiB (± {size(peak.margin)}) of {where} {size(verdict.gpu * MIB)} GiB, "
        f"{WHEN[peak.name]}. {_SENTENCES[_verdict(verdict)]}",
    ]
    return [*lines, SHOWN, *(f"note: {note}" for note in found.notes)]


_SENTENCES = {
    "fits": "It fits.",
    "fits, if barely": "It barely fits.",
    "may not fit": "It may not fit.",
    "will not fit": "It will not fit.",
    "vLLM cannot start in its share": "vLLM cannot start in its share.",
}


def _verdict(verdict: Verdict) -> str:
    if not verdict.starts:
        return "vLLM cannot start in its share"
    if verdict.surely:
        return "fits"
    if verdict.fits:
        return "fits, if barely"
    return "will not fit" if verdict.hopeless else "may not fit"


def document(verdict: Verdict, where: str) -> dict[str, Any]:
    """The table for `--json`, with sizes in bytes."""
    found = verdict.forecast
    return {
        "parameters": found.parameters,
        "trained": found.trained,
        "gpu": where,
        "gpu_bytes": verdict.gpu * MIB,
        "verdict": _verdict(verdict),
        "peak": found.peak.name,
        "moments": [
            {"name": m.name, "parts": m.parts, "total": m.total, "margin": m.margin}
            for m in found.moments
        ],
        "notes": found.notes,
        "shown": SHOWN,
    }
