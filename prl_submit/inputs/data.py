"""Rules on the data files: enough rows for one batch, in columns that ms-swift understands."""

from __future__ import annotations

import os.path
from collections.abc import Iterator

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.inputs.plugins import registers_datasets
from prl_submit.inputs.rows import Count, count_rows
from prl_submit.job import Job
from prl_submit.reading import read_regular
from prl_submit.rules.batch import accumulation
from prl_submit.rules.evaluation import evaluates

#: ms-swift 4.6.0 dataset/preprocessor/core: MessagesPreprocessor, ResponsePreprocessor.
_MESSAGES = ("messages", "conversation", "conversations")
_QUERIES = ("query", "prompt", "input", "instruction", "question", "problem")
_RESPONSES = (
    "response", "answer", "output", "targets", "target", "answer_key", "answers", "solution",
    "text", "completion", "content",
)  # fmt: skip


class Source(Struct, frozen=True):
    """One entry of dataset or val_dataset that is a file here, with what was counted in it."""

    entry: str
    sample: int | None
    count: Count


class Need(Struct, frozen=True):
    """Rows that one batch takes, the product that makes them, and what happens without."""

    rows: int
    formula: str
    otherwise: str


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Data files against the batch, and their first rows."""
    if job.get("streaming", False):
        return
    train, evaluation = training_need(job), evaluation_need(job)
    for argument, need in (("dataset", train), ("val_dataset", evaluation)):
        yield from readable(job, argument, workdir)
        found = sources(job, argument, workdir, max(need.rows if need else 1, 1))
        if found is None:
            continue
        yield from enough(job, argument, found, need)
        named = job.get("columns", None) or job.many("custom_dataset_info")
        strange = (
            [] if named else [*known_columns(job, argument, found), *answers(job, argument, found)]
        )
        if strange and not registers_datasets(job, workdir):
            yield from strange


def readable(job: Job, argument: str, workdir: str) -> Iterator[Problem]:
    """A .jsonl or .json file that begins with neither `{` nor `[`: `datasets` 4.8 stops at it."""
    for entry in map(str, job.many(argument)):
        path, _ = parse_entry(entry, workdir)
        if path is None or not path.endswith((".jsonl", ".json")):
            continue
        try:
            start = read_regular(path, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()
        except OSError:
            continue
        if start and start[:1] not in b"{[":
            shown = start[:20].decode("utf-8", "replace").split("\n")[0]
            message = f"{entry} is not JSON: it begins with {shown!r}"
            yield job.refuse(argument, message, "one JSON object on each line")


#: ms-swift 4.6.0 rewards/orm: what these are called with; without the column they stop.
_ANSWERS = {
    "accuracy": "solution",
    "cosine": "solution",
    "toolbench": "solution",
    "math": "ground_truths",
}


def answers(job: Job, argument: str, found: list[Source]) -> Iterator[Problem]:
    """ms-swift's own rewards need a column each; rows without it end the first step."""
    if job.rlhf_type != "grpo" or not job.has_known_names or job.has_plugins:
        return
    for name in map(str, job.many("reward_funcs")):
        column = _ANSWERS.get(name)
        for source in found:
            keys = source.count.keys
            if column and keys and column not in keys:
                message = f"{source.entry}: the first rows have no {column}, which the reward {name} needs"
                yield job.refuse(
                    argument, message, f"add it, or name yours: columns: {{…: {column}}}"
                )


def sources(job: Job, argument: str, workdir: str, limit: int) -> list[Source] | None:
    """All entries counted; None where one cannot be: a hub's id, another format, damaged."""
    if job.many("cached_dataset" if argument == "dataset" else "cached_val_dataset"):
        return None
    found = []
    left = limit + 1  # one more where a share is split off
    for entry in map(str, job.many(argument)):
        path, sample = parse_entry(entry, workdir)
        if path is None or made_by_setup(job, path, workdir):
            return None
        counted = count_rows(path, left)
        if counted is None:
            return None
        found.append(Source(entry, sample, counted))
    return found


def parse_entry(entry: str, workdir: str) -> tuple[str | None, int | None]:
    """ms-swift 4.6.0 dataset_syntax `DatasetSyntax.parse`: a file, and how many rows of it."""
    whole = resolve(entry, workdir)
    if os.path.isfile(whole):
        return whole, None
    path, sign, number = entry.rpartition("#")
    if not sign or not number.isdigit():
        return None, None
    whole = resolve(path, workdir)
    return (whole, int(number)) if os.path.isfile(whole) else (None, None)


def training_need(job: Job) -> Need | None:
    """Rows of one batch, where less than that trains nothing; None: any row will do, or unsure.

    ms-swift 4.6.0 grpo_trainer, gkd_trainer `_get_train_sampler` (trl's RepeatSampler drops the last,
    incomplete batch): GRPO takes generation batch / num_generations prompts, GKD the generation
    batch. trl 0.29 ppo_trainer draws whole batches for ever.
    """
    kind, device = job.rlhf_type, job.get("per_device_train_batch_size", 1)
    if job.get("sequence_parallel_size", 1) > 1 or device < 1:
        return None
    steps = job.get("steps_per_generation", None)
    if steps is None or kind == "ppo":
        steps, name = accumulation(job), "gradient_accumulation_steps"
    else:
        name = "steps_per_generation"
    total = device * job.world * steps
    formula = f"per_device_train_batch_size {device} x {job.world_words} x {name} {steps}"
    given = job.get("generation_batch_size", None)
    if given is not None and kind != "ppo":
        total, formula = given, f"generation_batch_size {given}"
    if kind == "grpo":
        group = job.get("num_generations", 8)
        if group < 1 or total % group:
            return None  # refused for that
        formula += f" / num_generations {group}"
        return Need(total // group, formula, _no_step(job))
    if kind == "gkd":
        return Need(total, formula, _no_step(job))
    if kind == "ppo":
        return Need(total, formula, "it would wait for rows for ever")
    return None


def _no_step(job: Job) -> str:
    """Where max_steps is given nobody notices."""
    given = job.get("max_steps", -1) > 0
    return "no step would be trained" + (", and the job succeeds" if given else "")


def evaluation_need(job: Job) -> Need | None:
    """ms-swift >= 3.6 grpo_trainer `__init__`: one batch of different prompts to evaluate on."""
    if job.rlhf_type != "grpo" or not evaluates(job) or job.get("eval_use_evalscope", False):
        return None
    name = "num_generations_eval" if job.get("num_generations_eval", None) else "num_generations"
    group, device = job.get(name, 8), job.get("per_device_eval_batch_size", 1)
    if group < 1 or device < 1:
        return None
    formula = f"per_device_eval_batch_size {device} x {job.world_words} / {name} {group}"
    return Need(device * job.world // group, formula, "ms-swift stops")


def enough(job: Job, argument: str, found: list[Source], need: Need | None) -> Iterator[Problem]:
    """Whether the rows make one batch; several files with probabilities are too many ifs."""
    empty = [source.entry for source in found if not source.count.rows]
    if empty:
        yield job.refuse(argument, f"{empty[0]} has no rows", "is it the right file?")
        return
    if not found or need is None or job.get("interleave_prob", None) is not None:
        return
    rows = sum(_used(source) for source in found)
    share = job.get("split_dataset_ratio", 0)
    split = argument == "dataset" and share > 0 and evaluates(job) and not job.many("val_dataset")
    if split:
        rows -= sum(_split_off(source, share) for source in found)
    if rows < need.rows:
        what = f"{rows} row{'s' if rows != 1 else ''}" + (" after the split" if split else "")
        yield job.refuse(
            argument,
            f"has {what}; one batch takes {need.rows} = {need.formula}: {need.otherwise}",
            "use more rows, or a smaller batch",
        )


def _used(source: Source) -> int:
    """`#N` takes N rows, the same ones again where there are fewer."""
    return source.count.rows if source.sample is None else source.sample


def _split_off(source: Source, share: float) -> int:
    """ms-swift 4.6.0 dataset_meta `post_process`: at least one row of each file."""
    return max(int(min(source.count.rows, _used(source)) * share), 1)


def known_columns(job: Job, argument: str, found: list[Source]) -> Iterator[Problem]:
    """ms-swift 4.6.0 dataset/preprocessor/core: rows with other columns are dropped, one and all."""
    # GRPO answers itself: a row of nothing but an answer is none.
    known = {*_MESSAGES, *_QUERIES, *(_RESPONSES if job.rlhf_type != "grpo" else ())}
    for source in found:
        keys = source.count.keys
        if keys is None:
            continue
        lower = {key.lower() for key in keys}
        if not lower & known:
            hint = f"messages is what all types read; or name yours: columns: {{{keys[0] if keys else 'x'}: query}}"
            message = f"{source.entry}: the first rows have none of ms-swift's columns, found {', '.join(keys)}"
            yield job.refuse(argument, message, hint)
        elif job.rlhf_type == "kto" and "label" not in lower:
            yield job.refuse(
                argument,
                f"{source.entry}: the first rows have no label, found {', '.join(keys)}",
                "kto's rows say label: true or false",
            )
        elif job.rlhf_type in ("dpo", "orpo", "cpo", "simpo", "rm") and not any(
            key.startswith("rejected") for key in lower
        ):
            yield job.refuse(
                argument,
                f"{source.entry}: the first rows have no rejected_response, found {', '.join(keys)}",
                f"{job.rlhf_type} compares pairs: rejected_response or rejected_messages is the worse one",
            )
