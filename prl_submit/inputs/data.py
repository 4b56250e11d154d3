"""Rules on the data files: enough rows for one batch, in columns that ms-swift understands."""

from __future__ import annotations

import os
from collections.abc import Iterator

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.damage import find_damage
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.inputs.plugins import needs, registers_datasets
from prl_submit.inputs.rows import Count, count_rows
from prl_submit.rules.batch import accumulation
from prl_submit.rules.evaluation import evaluates
from prl_submit.rules.job import Job
from prl_submit.spec.scalars import is_digits, parse_int

#: ms-swift 4.6.0 dataset/preprocessor/core: MessagesPreprocessor, ResponsePreprocessor.
MESSAGES = ("messages", "conversation", "conversations")
QUERIES = ("query", "prompt", "input", "instruction", "question", "problem")
RESPONSES = (
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
    """Data files against the batch, and their rows."""
    damaged = [problem for name in _ARGUMENTS for problem in readable(job, name, workdir)]
    yield from damaged
    if damaged or job.get("streaming", False):
        return
    train, evaluation = training_need(job), evaluation_need(job)
    for argument, need in (("dataset", train), ("val_dataset", evaluation)):
        found = sources(job, argument, workdir, max(need.rows if need else 1, 1))
        if found is None:
            continue
        yield from enough(job, argument, found, need)
        strange = list(() if job.get("columns", None) else known_columns(job, argument, found))
        strange = strange or list(rewarded_columns(job, argument, found, workdir))
        if strange and not job.many("custom_dataset_info") and not registers_datasets(job, workdir):
            yield from strange


_ARGUMENTS = ("dataset", "val_dataset", "chord_sft_dataset")
#: ms-swift 4.6.0 dataset/loader `_load_dataset_path`: the ending is the name of the reader.
_READERS = ("jsonl", "json", "csv", "txt", "parquet", "arrow", "xml", "hdf5", "sql", "pandas")


def readable(job: Job, argument: str, workdir: str) -> Iterator[Problem]:
    """Entries that `datasets` stops at: the first row that is none, another format, no number of rows."""
    for entry in map(str, job.many(argument)):
        uncounted = list(_uncounted(job, argument, entry, workdir))
        yield from uncounted
        path, _ = parse_entry(entry, workdir)
        if not uncounted and path is None:
            yield from _empty_folder(job, argument, entry, workdir)
        if uncounted or path is None or made_by_setup(job, path, workdir):
            continue
        ending = os.path.splitext(path)[1].lstrip(".")
        if ending not in _READERS and not registers_datasets(job, workdir):
            message = (
                f"{entry}: no reader for {'.' + ending if ending else 'files without an ending'}"
            )
            yield job.refuse(argument, message, "ms-swift reads .jsonl, .json, .csv and .parquet")
            continue
        damage = find_damage(path)
        if damage:
            place = entry if damage.line is None else f"{_file_of(entry, workdir)}:{damage.line}:"
            yield job.refuse(argument, f"{place} {damage.message}", damage.hint)


def _file_of(entry: str, workdir: str) -> str:
    return entry if os.path.isfile(resolve(entry, workdir)) else entry.rpartition("#")[0]


def _empty_folder(job: Job, argument: str, entry: str, workdir: str) -> Iterator[Problem]:
    """A folder is read as a hub's repository is; without a single file in it `datasets` stops."""
    folder = resolve(entry, workdir)
    if not os.path.isdir(folder) or made_by_setup(job, folder, workdir):
        return
    if not any(files for _, _, files in os.walk(folder)):
        yield job.refuse(argument, f"{entry} is a folder without a file", "is it the right one?")


def _uncounted(job: Job, argument: str, entry: str, workdir: str) -> Iterator[Problem]:
    """ms-swift 4.6.0 dataset_syntax `DatasetSyntax.parse`: behind the last `#` stands a whole number."""
    _, sign, rows = entry.rpartition("#")
    if not sign or os.path.exists(resolve(entry, workdir)):
        return
    count = parse_int(rows.strip())
    if count is None or count < 1:
        message = f"{entry}: behind # stands the number of rows, found {rows!r}"
        yield job.refuse(argument, message, f"such as #500; remove {argument} for all rows")


def rewarded_columns(
    job: Job, argument: str, found: list[Source], workdir: str
) -> Iterator[Problem]:
    """Rewards are called with the columns that are left; one that lacks its own ends the first step."""
    if job.rlhf_type != "grpo" or not job.has_known_names or job.many("multi_turn_scheduler"):
        return
    wanted = [need for need in needs(job, workdir) if need[1]]
    if not wanted:
        return
    from prl_submit.inputs.columns import reaching, renames  # not for rewards that need none

    names = renames(job, workdir)
    automatic = not job.get("disable_auto_column_mapping", False)
    for source in found if names is not None else ():
        keys = source.count.keys
        if not keys:
            continue
        left = reaching(keys, names or {}, automatic) | set(_GIVEN)
        for reward, columns, place in wanted:
            lacking = [column for column in columns if column not in left]
            if lacking:
                message, hint = _lacking(lacking, keys, names or {}, reward)
                message += "" if place == "ms-swift" else f" ({place})"
                yield job.refuse(argument, f"{source.entry}: {message}", hint)


#: What ms-swift itself hands to every reward (rl_core/data `to_reward_row`).
_GIVEN = (
    "trainer_state", "prompt_id", "request_id", "finish_reason", "is_truncated", "rollout_infos",
    "response_token_ids", "trajectory_inputs",
)  # fmt: skip


def _lacking(
    columns: list[str], keys: tuple[str, ...], names: dict[str, str], reward: str
) -> tuple[str, str]:
    """Where the first of the columns went that a reward does not get, and what to do."""
    column = columns[0]
    if column in names and column in keys:
        message = f"the reward {reward} needs {column}, which columns renames to {names[column]}"
        return message, f"leave {column} out of columns"
    if column in keys:
        message = f"the reward {reward} needs {column}, of which ms-swift makes a message"
        return message, f"a column called solution is kept; or give messages beside {column}"
    message = f"the first rows have no {' and no '.join(columns)}, which the reward {reward} needs"
    return message, f"add it, or name yours: columns: {{…: {column}}}"


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
    if not sign or not is_digits(number):
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
    known = {*MESSAGES, *QUERIES, *(RESPONSES if job.rlhf_type != "grpo" else ())}
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
