"""Rules on teachers: gkd learns from a teacher, and GRPO may have one (OPD-RL, since ms-swift 4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json

#: The rlhf types that can have a teacher.
TAUGHT = ("grpo", "gkd")


def one_teacher(job: Job) -> Iterator[Problem]:
    """A job has one teacher. Source: ms-swift >= 4.4 rlhf_args `_check_teacher` (gkd since 4.0)."""
    since = "4.0" if job.rlhf_type == "gkd" else "4.4"
    if job.rlhf_type not in TAUGHT or not job.since(since):
        return
    if None not in (job.get("teacher_model", None), job.get("teacher_model_server", None)):
        message = "and teacher_model are both set; a job has one teacher"
        yield job.refuse("teacher_model_server", message, "keep one of the two")


def servers(job: Job) -> Iterator[Problem]:
    """teacher_model_server is one URL, or a list of mappings with a url and tags (also as JSON text).

    Source: ms-swift >= 4.4 gkd_helpers `parse_teacher_model_server`.
    """
    value = job.get("teacher_model_server", None)
    if job.rlhf_type not in TAUGHT or value is None or not job.since("4.4"):
        return
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith("["):
            return  # one URL
        try:
            value = decode_json(text)
        except ValueError:
            return  # ms-swift repairs text that is nearly JSON
    message = _wrong_servers(value)
    if message:
        hint = 'such as [{"url": "http://host:8000", "tags": ["math"]}, …]'
        yield job.refuse("teacher_model_server", message, hint)


def _wrong_servers(value: Any) -> str | None:
    """What is wrong with a list of teachers' servers; None if nothing is."""
    if not isinstance(value, list) or not value:
        return "must be a list of servers that is not empty"
    for index, entry in enumerate(value):
        if not isinstance(entry, dict) or not entry.get("url"):
            return f"[{index}] needs a url"
        tags = entry.get("tags", [])
        if not isinstance(tags, list):
            return f"[{index}]: tags must be a list"
        if len(value) > 1 and not tags:
            return f"[{index}]: each of several teachers needs tags"
    return _shared_tag(value) if len(value) > 1 else None


def _shared_tag(servers: list[dict[str, Any]]) -> str | None:
    """The message for a tag that two teachers have; None if each tag has one teacher."""
    seen: dict[str, int] = {}
    for index, entry in enumerate(servers):
        for tag in map(str, entry["tags"]):
            if tag in seen:
                return f"both teacher [{seen[tag]}] and teacher [{index}] have the tag {tag!r}"
            seen[tag] = index
    return None


def needs(job: Job) -> Iterator[Problem]:
    """A gkd job needs a teacher. Since 4.1 it can also learn from itself, but not with Liger.

    Source: ms-swift 4.0 rlhf_args `_check_gkd`.
    """
    if job.rlhf_type != "gkd":
        return
    taught = job.get("teacher_model", None) or job.get("teacher_model_server", None)
    if not taught and not job.since("4.1"):
        hint = "teacher_model names a model, teacher_model_server a running server"
        yield job.problem("swift.rlhf_type", "gkd needs a teacher", hint)
    if not taught and job.since("4.1") and job.get("use_liger_kernel", False):
        message = "cannot be combined with self-distillation, which gkd without a teacher does"
        hint = "set use_liger_kernel: false, or name a teacher_model"
        yield job.refuse("use_liger_kernel", message, hint)


def opd(job: Job) -> Iterator[Problem]:
    """GRPO with a teacher excludes several arguments.

    Source: ms-swift >= 4.4 rlhf_args `_check_teacher`, `_check_opd_rl`.
    """
    if job.rlhf_type != "grpo" or not job.since("4.4"):
        return
    if job.get("teacher_model", None) is None and job.get("teacher_model_server", None) is None:
        return
    if job.get("use_liger_kernel", False):
        message = "cannot be combined with GRPO with a teacher"
        yield job.refuse("use_liger_kernel", message, "set use_liger_kernel: false")
    why = "cannot be combined with a teacher, because it needs an advantage per sequence"
    loss = _first_loss(job)
    if loss in ("real", "fipo"):
        yield job.refuse("loss_type", f"{loss} {why}", "remove loss_type; grpo is the default")
    if job.get("off_policy_sequence_mask_delta", None) is not None:
        hint = "remove off_policy_sequence_mask_delta"
        yield job.refuse("off_policy_sequence_mask_delta", why, hint)


def opd_without_rewards(job: Job) -> Iterator[Problem]:
    """GRPO with a teacher but without reward_funcs cannot use arguments that read rewards.

    Source: ms-swift >= 4.4 rlhf_args `_check_opd_rl`.
    """
    if job.rlhf_type != "grpo" or not job.since("4.4") or job.many("reward_funcs"):
        return
    if job.get("teacher_model", None) is None and job.get("teacher_model_server", None) is None:
        return
    if job.get("dynamic_sample", False):
        message = "needs reward_funcs, because it filters groups by their rewards"
        hint = "name a reward function, or set dynamic_sample: false"
        yield job.refuse("dynamic_sample", message, hint)
    if job.get("scale_rewards", None) == "gdpo" and _first_loss(job) != "real":
        message = "gdpo needs reward_funcs, because it scales each reward"
        hint = "name a reward function, or remove scale_rewards"
        yield job.refuse("scale_rewards", message, hint)


def _first_loss(job: Job) -> Any:
    """The first value of loss_type; None if it is not set."""
    losses = job.many("loss_type")
    return losses[0] if losses else None


def gkd(job: Job) -> Iterator[Problem]:
    """The shares of gkd are from 0 to 1, and seq_kd is gone since 4.4.

    Source: ms-swift >= 4.0 rlhf_args `_check_gkd`, trl gkd_config.
    """
    if job.rlhf_type != "gkd":
        return
    for name in ("lmbda", "beta"):
        value = job.get(name, 0.5)
        if not 0 <= value <= 1:
            yield job.refuse(
                name, f"must be between 0 and 1 for gkd, found {value}", "0.5 is usual"
            )
    if job.get("seq_kd", False) and job.since("4.4"):
        message = "is gone since ms-swift 4.4, which no longer generates the teacher's responses"
        yield job.refuse("seq_kd", message, "set seq_kd: false")


def gkd_logits(job: Job) -> Iterator[Problem]:
    """A teacher's server returns only the first logprobs, so gkd_logits_topk must say how many.

    Source: ms-swift >= 4.0 rlhf_args `_check_gkd`.
    """
    if job.rlhf_type != "gkd":
        return
    topk = job.get("gkd_logits_topk", None)
    if topk is not None and topk <= 0:
        yield job.refuse("gkd_logits_topk", f"must be above 0, found {topk}", "such as 20")
    if topk is None and job.get("teacher_model_server", None) and job.since("4.0"):
        message = "is required with teacher_model_server, which returns only the first logprobs"
        yield job.refuse("gkd_logits_topk", message, "20 is what vLLM returns by default")


def gkd_liger(job: Job) -> Iterator[Problem]:
    """The Liger loss of gkd excludes two arguments. Source: ms-swift >= 4.0 gkd_trainer `_prepare_liger_loss`."""
    if job.rlhf_type != "gkd" or not job.get("use_liger_kernel", False):
        return
    message, hint = "cannot be combined with use_liger_kernel", "keep one of the two"
    if job.get("gkd_logits_topk", None) is not None:
        yield job.refuse("gkd_logits_topk", message, hint)
    if job.get("sft_alpha", 0) != 0 and job.since("4.1"):
        yield job.refuse("sft_alpha", message, hint)


RULES = (one_teacher, servers, needs, opd, opd_without_rewards, gkd, gkd_logits, gkd_liger)
