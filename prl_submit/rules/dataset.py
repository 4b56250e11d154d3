"""The data's arguments. What is in the files: `inputs.rows`."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job


def streaming(job: Job) -> Iterator[Problem]:
    """Source: transformers trainer `_validate_args`; ms-swift pipelines/train/kto reads all labels first."""
    if not job.get("streaming", False):
        return
    if job.get("max_steps", -1) <= 0:
        message = "needs max_steps: the number of rows is not known"
        yield job.refuse("streaming", message, "set max_steps, or streaming: false")
    elif job.rlhf_type == "kto":
        message = "is not possible with kto, which looks at all labels first"
        yield job.refuse("streaming", message, "set it false")
    elif job.many("cached_dataset") or job.many("cached_val_dataset"):
        yield job.refuse("streaming", "does not go with cached data", "set it false")


def tokenizing(job: Job) -> Iterator[Problem]:
    """ms-swift >= 3.7 base_args `_init_lazy_tokenize`.

    Before, train_args `_init_lazy_tokenize` set lazy_tokenize to false where streaming was true.
    """
    if not job.get("lazy_tokenize", False) or not job.since("3.7"):
        return
    for name in ("packing", "streaming"):
        if job.get(name, False):
            message = f"does not go with {name}"
            yield job.refuse("lazy_tokenize", message, "leave it out")
            return


def splitting(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 dataset_meta `post_process`: a share; a val_dataset makes it void."""
    share = job.get("split_dataset_ratio", 0)
    if share < 0:
        message = f"is a share between 0 and 1, found {share}"
        yield job.refuse("split_dataset_ratio", message, "such as 0.01")
    elif share > 0 and job.many("val_dataset") and job.written("split_dataset_ratio"):
        yield job.warn("split_dataset_ratio", "does nothing beside val_dataset", "leave it out")


RULES = (streaming, tokenizing, splitting)
