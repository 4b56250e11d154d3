"""Rules on the arguments about data: streaming, lazy tokenizing and the split for the evaluation.

`prl_submit.inputs.data` checks the data files themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job


def streaming(job: Job) -> Iterator[Problem]:
    """`streaming` needs max_steps, and works neither with kto nor with cached data.

    Source: transformers trainer `_validate_args`; ms-swift pipelines/train/kto, which reads all labels
    before it trains.
    """
    if not job.get("streaming", False):
        return
    if job.get("max_steps", -1) <= 0:
        message = "needs max_steps, because the number of rows is not known"
        yield job.refuse("streaming", message, "set max_steps, or streaming: false")
    elif job.rlhf_type == "kto":
        message = "is not possible with kto, because kto reads all labels first"
        yield job.refuse("streaming", message, "set streaming: false")
    elif job.many("cached_dataset") or job.many("cached_val_dataset"):
        yield job.refuse("streaming", "cannot be combined with cached data", "set streaming: false")


def tokenizing(job: Job) -> Iterator[Problem]:
    """lazy_tokenize cannot be combined with packing or streaming.

    Source: ms-swift >= 3.7 base_args `_init_lazy_tokenize`. Before that, train_args `_init_lazy_tokenize`
    turned lazy_tokenize off if streaming was true.
    """
    if not job.get("lazy_tokenize", False) or not job.since("3.7"):
        return
    for name in ("packing", "streaming"):
        if job.get(name, False):
            message = f"cannot be combined with {name}"
            yield job.refuse("lazy_tokenize", message, "remove lazy_tokenize")
            return


def splitting(job: Job) -> Iterator[Problem]:
    """split_dataset_ratio is a share of the rows, and is ignored if there is a val_dataset.

    Source: ms-swift 4.6.0 dataset_meta `post_process`.
    """
    share = job.get("split_dataset_ratio", 0)
    if share < 0:
        message = f"must be a share between 0 and 1, found {share}"
        yield job.refuse("split_dataset_ratio", message, "such as 0.01")
    elif share > 0 and job.many("val_dataset") and job.written("split_dataset_ratio"):
        yield job.warn(
            "split_dataset_ratio", "does nothing beside val_dataset", "remove split_dataset_ratio"
        )


RULES = (streaming, tokenizing, splitting)
