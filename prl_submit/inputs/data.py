"""Checks of the data files: they can be read, and have enough rows and the columns that are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.inputs.damage import find_damage
from prl_submit.inputs.paths import made_by_setup, resolve
from prl_submit.inputs.plugins import needs, registers_datasets
from prl_submit.inputs.rows import MESSAGES, QUERIES, RESPONSES, Count, count_rows
from prl_submit.rules.batch import accumulation
from prl_submit.rules.evaluation import evaluates
from prl_submit.rules.job import DoubtfulError, Job
from prl_submit.spec.scalars import is_digits, parse_int


class Source(Struct, frozen=True):
    """One entry of dataset or val_dataset that is a file on this machine.

    `sample`: the number after `#`, None without one. `count`: the rows and columns of the file.
    """

    entry: str
    sample: int | None
    count: Count


class Need(Struct, frozen=True):
    """How many rows one batch takes, in numbers and as a formula, and what happens with fewer rows."""

    rows: int
    formula: str
    otherwise: str


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Problems with the data files of a job."""
    damaged = [problem for name in _ARGUMENTS for problem in readable(job, name, workdir)]
    yield from damaged
    if damaged or job.get("streaming", False):
        return
    train, evaluation = _if_certain(training_need, job), _if_certain(evaluation_need, job)
    for argument, need in (("dataset", train), ("val_dataset", evaluation)):
        found = sources(job, argument, workdir, max(need.rows if need else 1, 1))
        if found is None:
            continue
        yield from enough(job, argument, found, need)
        yield from _column_problems(job, argument, found, workdir)


def _if_certain(need: Callable[[Job], Need | None], job: Job) -> Need | None:
    """What a batch takes; None if a factor is wrong, or is told only on the node. Other checks go on."""
    try:
        return need(job)
    except DoubtfulError:
        return None


def _column_problems(
    job: Job, argument: str, found: list[Source], workdir: str
) -> Iterator[Problem]:
    """Problems with columns, unless the user's own code may give the rows other columns."""
    problems: list[Problem] = []
    if not job.get("columns", None):
        problems = list(known_columns(job, argument, found))
    if not problems:
        problems = list(rewarded_columns(job, argument, found, workdir))
    if not problems or job.many("custom_dataset_info") or registers_datasets(job, workdir):
        return
    yield from problems


_ARGUMENTS = ("dataset", "val_dataset", "chord_sft_dataset")
#: The endings of files that ms-swift reads; an ending is the name of a reader of `datasets` (ms-swift 4.6.0
#: dataset/loader `_load_dataset_path`).
_READERS = ("jsonl", "json", "csv", "txt", "parquet", "arrow", "xml", "hdf5", "sql", "pandas")


def readable(job: Job, argument: str, workdir: str) -> Iterator[Problem]:
    """Entries that `datasets` cannot read, with the first mistake of each."""
    for entry in map(str, job.many(argument)):
        uncounted = list(_uncounted(job, argument, entry, workdir))
        path, _ = parse_entry(entry, workdir)
        if uncounted:
            yield from uncounted
        elif path is None:
            yield from _empty_folder(job, argument, entry, workdir)
        elif not made_by_setup(job, path, workdir):
            yield from _unreadable(job, argument, entry, path, workdir)


def _unreadable(job: Job, argument: str, entry: str, path: str, workdir: str) -> Iterator[Problem]:
    """The problem of a file whose format ms-swift does not read, or with a mistake in it."""
    ending = os.path.splitext(path)[1].lstrip(".")
    if ending not in _READERS and not registers_datasets(job, workdir):
        what = f".{ending}" if ending else "files without an ending"
        message = f"{entry}: ms-swift has no reader for {what}"
        yield job.refuse(argument, message, "ms-swift reads .jsonl, .json, .csv and .parquet")
        return
    damage = find_damage(path)
    if damage:
        place = entry if damage.line is None else f"{_file_of(entry, workdir)}:{damage.line}:"
        yield job.refuse(argument, f"{place} {damage.message}", damage.hint)


def _file_of(entry: str, workdir: str) -> str:
    """The file of an entry, without a number of rows after `#`."""
    return entry if os.path.isfile(resolve(entry, workdir)) else entry.rpartition("#")[0]


def _empty_folder(job: Job, argument: str, entry: str, workdir: str) -> Iterator[Problem]:
    """A folder without any file. `datasets` reads a folder like a hub's repository, and stops without files."""
    folder = resolve(entry, workdir)
    if not os.path.isdir(folder) or made_by_setup(job, folder, workdir):
        return
    if not any(files for _, _, files in os.walk(folder)):
        hint = "is this the right folder?"
        yield job.refuse(argument, f"{entry} is a folder without a file", hint)


def _uncounted(job: Job, argument: str, entry: str, workdir: str) -> Iterator[Problem]:
    """An entry with `#` must end in a number of rows. Source: ms-swift 4.6.0 dataset_syntax `DatasetSyntax.parse`."""
    _, sign, rows = entry.rpartition("#")
    if not sign or os.path.exists(resolve(entry, workdir)):
        return
    count = parse_int(rows.strip())
    if count is None or count < 1:
        message = f"{entry}: the number of rows must follow #, found {rows!r}"
        yield job.refuse(argument, message, "such as #500; without # all rows are used")


def rewarded_columns(
    job: Job, argument: str, found: list[Source], workdir: str
) -> Iterator[Problem]:
    """Columns that a reward needs and does not get. Such a reward ends the training at its first step."""
    if job.rlhf_type != "grpo" or not job.has_known_names or job.many("multi_turn_scheduler"):
        return
    wanted = [need for need in needs(job, workdir) if need[1]]
    if not wanted:
        return
    from prl_submit.inputs.columns import renames

    names = renames(job, workdir)
    if names is not None:
        yield from _unmet_needs(job, argument, found, wanted, names)


def _unmet_needs(
    job: Job,
    argument: str,
    found: list[Source],
    wanted: list[tuple[str, list[str], str]],
    names: dict[str, str],
) -> Iterator[Problem]:
    """A problem for each reward and file whose rows lack a column of the reward.

    `wanted`: rewards, their columns, and where that is written. `names`: the argument `columns`.
    """
    from prl_submit.inputs.columns import reaching

    automatic = not job.get("disable_auto_column_mapping", False)
    for source in found:
        keys = source.count.keys
        if not keys:
            continue
        left = reaching(keys, names, automatic) | set(_GIVEN)
        for reward, columns, place in wanted:
            missing = [column for column in columns if column not in left]
            if missing:
                message, hint = _lacking(missing, keys, names, reward)
                where = "" if place == "ms-swift" else f" ({place})"
                yield job.refuse(argument, f"{source.entry}: {message}{where}", hint)


#: Values that ms-swift itself passes to every reward (rl_core/data `to_reward_row`).
_GIVEN = (
    "trainer_state", "prompt_id", "request_id", "finish_reason", "is_truncated", "rollout_infos",
    "response_token_ids", "trajectory_inputs",
)  # fmt: skip


def _lacking(
    columns: list[str], keys: tuple[str, ...], names: dict[str, str], reward: str
) -> tuple[str, str]:
    """The message and the hint for columns that a reward needs and does not get.

    `columns`: these columns. `keys`: the columns in the file. `names`: the argument `columns`.
    """
    column = columns[0]
    if column in names and column in keys:
        message = f"the reward {reward} needs {column}, which columns renames to {names[column]}"
        return message, f"remove {column} from columns"
    if column in keys:
        message = f"the reward {reward} needs {column}, but ms-swift makes a message from it"
        return message, f"call the column solution, which is kept, or add messages beside {column}"
    message = f"the first rows have no {' and no '.join(columns)}, which the reward {reward} needs"
    return message, f"add the column, or rename one of yours: columns: {{…: {column}}}"


def sources(job: Job, argument: str, workdir: str, limit: int) -> list[Source] | None:
    """All entries of an argument with their rows, counted up to `limit`.

    None if an entry cannot be counted: it is a hub's id, has another format, or is damaged.
    """
    if job.many("cached_dataset" if argument == "dataset" else "cached_val_dataset"):
        return None
    found = []
    for entry in map(str, job.many(argument)):
        path, sample = parse_entry(entry, workdir)
        if path is None or made_by_setup(job, path, workdir):
            return None
        counted = count_rows(path, limit + 1)  # one more, because a share may be split off
        if counted is None:
            return None
        found.append(Source(entry, sample, counted))
    return found


def parse_entry(entry: str, workdir: str) -> tuple[str | None, int | None]:
    """The path of an entry's file and its number of rows after `#`; (None, None) if it is not a file here.

    Source: ms-swift 4.6.0 dataset_syntax `DatasetSyntax.parse`.
    """
    whole = resolve(entry, workdir)
    if os.path.isfile(whole):
        return whole, None
    path, sign, number = entry.rpartition("#")
    if not sign or not is_digits(number):
        return None, None
    whole = resolve(path, workdir)
    return (whole, int(number)) if os.path.isfile(whole) else (None, None)


def training_need(job: Job) -> Need | None:
    """The rows that one batch takes, for the types that train nothing with fewer rows; else None.

    GRPO takes generation batch / num_generations prompts, and GKD takes the generation batch: trl's
    RepeatSampler drops the last, incomplete batch (ms-swift 4.6.0 grpo_trainer, gkd_trainer
    `_get_train_sampler`). PPO waits until it has drawn a whole batch (trl 0.29 ppo_trainer). None also if
    the batch is not certain.
    """
    kind = job.rlhf_type
    if kind not in ("grpo", "gkd", "ppo") or job.get("sequence_parallel_size", 1) > 1:
        return None
    if job.get("per_device_train_batch_size", 1) < 1:
        return None
    total, formula = _training_batch(job)
    if kind == "ppo":
        return Need(total, formula, "it would wait for rows for ever")
    if kind == "gkd":
        return Need(total, formula, _no_step(job))
    group = job.get("num_generations", 8)
    if group < 1 or total % group:
        return None  # the rules on batches report it
    return Need(total // group, f"{formula} / num_generations {group}", _no_step(job))


def _training_batch(job: Job) -> tuple[int, str]:
    """The completions of one generation (for PPO: the rows of one step), and the formula for messages."""
    given = job.get("generation_batch_size", None)
    if given is not None and job.rlhf_type != "ppo":
        return given, f"generation_batch_size {given}"
    steps, name = job.get("steps_per_generation", None), "steps_per_generation"
    if steps is None or job.rlhf_type == "ppo":
        steps, name = accumulation(job), "gradient_accumulation_steps"
    device = job.get("per_device_train_batch_size", 1)
    formula = f"per_device_train_batch_size {device} x {job.world_words} x {name} {steps}"
    return device * job.world * steps, formula


def _no_step(job: Job) -> str:
    """What happens with too few rows. With max_steps ms-swift exits with 0, so nobody notices."""
    given = job.get("max_steps", -1) > 0
    return "no step would be trained" + (", and ms-swift reports no failure" if given else "")


def evaluation_need(job: Job) -> Need | None:
    """The rows that GRPO needs to evaluate on: one batch of different prompts. None without an evaluation.

    Source: ms-swift >= 3.6 grpo_trainer `__init__`.
    """
    if job.rlhf_type != "grpo" or not evaluates(job) or job.get("eval_use_evalscope", False):
        return None
    name = "num_generations_eval" if job.get("num_generations_eval", None) else "num_generations"
    group, device = job.get(name, 8), job.get("per_device_eval_batch_size", 1)
    if group < 1 or device < 1:
        return None
    formula = f"per_device_eval_batch_size {device} x {job.world_words} / {name} {group}"
    return Need(device * job.world // group, formula, "ms-swift stops")


def enough(job: Job, argument: str, found: list[Source], need: Need | None) -> Iterator[Problem]:
    """A problem if the rows do not make one batch.

    Nothing is said of files that are mixed with probabilities (interleave_prob).
    """
    empty = [source.entry for source in found if not source.count.rows]
    if empty:
        yield job.refuse(argument, f"{empty[0]} has no rows", "is this the right file?")
        return
    if not found or need is None or job.get("interleave_prob", None) is not None:
        return
    files = [(source.count.rows, source.sample) for source in found]
    split = argument == "dataset" and splits(job)
    rows = training_rows_of(job, files) if split else sum(_used(*file) for file in files)
    if rows < need.rows:
        what = f"{rows} row{'s' if rows != 1 else ''}" + (" after the split" if split else "")
        yield job.refuse(
            argument,
            f"has {what}; one batch takes {need.rows} = {need.formula}: {need.otherwise}",
            "use more rows, or a smaller batch",
        )


def splits(job: Job) -> bool:
    """True if ms-swift splits rows off the data set for the evaluation."""
    return split_share(job) > 0 and evaluates(job) and not job.many("val_dataset")


def split_share(job: Job) -> float:
    """The share of the rows that is split off. Before 3.6 the default was 0.01 (3.3.0 data_args)."""
    return float(job.get("split_dataset_ratio", 0 if job.since("3.6") else 0.01))


def training_rows_of(job: Job, files: list[tuple[int, int | None]]) -> int:
    """The rows that are trained in an epoch. `files`: for each its rows, and the number after `#` or None."""
    rows = sum(_used(count, sample) for count, sample in files)
    if not splits(job):
        return rows
    share = split_share(job)
    return rows - sum(_split_off(count, sample, share) for count, sample in files)


def _used(count: int, sample: int | None) -> int:
    """The rows that ms-swift takes: `#N` takes N rows, and repeats rows if the file has fewer."""
    return count if sample is None else sample


def _split_off(count: int, sample: int | None, share: float) -> int:
    """The rows split off for the evaluation: at least one of each file.

    Source: ms-swift 4.6.0 dataset_meta `post_process`.
    """
    return max(int(min(count, _used(count, sample)) * share), 1)


def known_columns(job: Job, argument: str, found: list[Source]) -> Iterator[Problem]:
    """Rows must have a column that ms-swift knows; ms-swift drops all rows that have none.

    Some types need a further column. Source: ms-swift 4.6.0 dataset/preprocessor/core.
    """
    # GRPO generates the answers, so a row with only an answer has no prompt.
    known = {*MESSAGES, *QUERIES, *(RESPONSES if job.rlhf_type != "grpo" else ())}
    for source in found:
        keys = source.count.keys
        if keys is None:
            continue
        lower = {key.lower() for key in keys}
        lacks = _lacks(job.rlhf_type, lower)
        if not lower & known:
            own = keys[0] if keys else "x"
            lacks = (
                "none of ms-swift's columns",
                f"all types read messages; or rename one of yours: columns: {{{own}: query}}",
            )
        if lacks:
            message = f"{source.entry}: the first rows have {lacks[0]}, found {', '.join(keys)}"
            yield job.refuse(argument, message, lacks[1])


def _lacks(kind: str, columns: set[str]) -> tuple[str, str] | None:
    """The column that rows of an rlhf type need and lack, in words, and a hint; None if they lack none."""
    if kind == "kto" and "label" not in columns:
        return "no label", "each row for kto needs label: true or false"
    is_pair = any(column.startswith("rejected") for column in columns)
    if kind in ("dpo", "orpo", "cpo", "simpo", "rm") and not is_pair:
        hint = (
            f"{kind} compares pairs: write the worse one as rejected_response or rejected_messages"
        )
        return "no rejected_response", hint
    return None
