"""Teachers: gkd distils from one, GRPO may (OPD-RL, since ms-swift 4.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.system.reading import decode_json

TAUGHT = ("grpo", "gkd")


def one_teacher(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.4 rlhf_args `_check_teacher` (gkd since 4.0)."""
    since = "4.0" if job.rlhf_type == "gkd" else "4.4"
    if job.rlhf_type not in TAUGHT or not job.since(since):
        return
    if None not in (job.get("teacher_model", None), job.get("teacher_model_server", None)):
        message = "and teacher_model are both set; a job has one teacher"
        yield job.refuse("teacher_model_server", message, "leave one of the two out")


def servers(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.4 gkd_helpers `parse_teacher_model_server`: a URL, or JSON [{url, tags}]."""
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
            return  # ms-swift repairs what is nearly JSON
    message = _wrong_servers(value)
    if message:
        hint = 'such as [{"url": "http://host:8000", "tags": ["math"]}, …]'
        yield job.refuse("teacher_model_server", message, hint)


def _wrong_servers(value: Any) -> str | None:
    if not isinstance(value, list) or not value:
        return "is a list of servers, and not empty"
    seen: dict[str, int] = {}
    for index, entry in enumerate(value):
        if not isinstance(entry, dict) or not entry.get("url"):
            return f"[{index}] needs a url"
        tags = entry.get("tags", [])
        if not isinstance(tags, list):
            return f"[{index}]: tags is a list"
        if len(value) > 1 and not tags:
            return f"[{index}]: with several teachers each needs tags"
        for tag in map(str, tags if len(value) > 1 else []):
            if tag in seen:
                return f"tag {tag!r} is both teacher [{seen[tag]}]'s and [{index}]'s"
            seen[tag] = index
    return None


def needs(job: Job) -> Iterator[Problem]:
    """ms-swift 4.0 rlhf_args `_check_gkd`; since 4.1 gkd without a teacher distils itself."""
    if job.rlhf_type != "gkd":
        return
    taught = job.get("teacher_model", None) or job.get("teacher_model_server", None)
    if not taught and not job.since("4.1"):
        hint = "teacher_model names a model, teacher_model_server a running one"
        yield job.problem("swift.rlhf_type", "gkd needs a teacher", hint)
    if not taught and job.since("4.1") and job.get("use_liger_kernel", False):
        message = "does not go with self-distillation, which gkd without a teacher is"
        yield job.refuse("use_liger_kernel", message, "set it false, or name a teacher_model")


def opd(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.4 rlhf_args `_check_teacher`, `_check_opd_rl`: GRPO with a teacher."""
    if job.rlhf_type != "grpo" or not job.since("4.4"):
        return
    if job.get("teacher_model", None) is None and job.get("teacher_model_server", None) is None:
        return
    if job.get("use_liger_kernel", False):
        message = "does not go with GRPO with a teacher"
        yield job.refuse("use_liger_kernel", message, "set it false")
    loss = next(iter(job.many("loss_type")), None)
    if loss in ("real", "fipo"):
        message = f"{loss} does not go with a teacher: it needs an advantage per sequence"
        yield job.refuse("loss_type", message, "leave it out: grpo is the default")
    if job.get("off_policy_sequence_mask_delta", None) is not None:
        message = "does not go with a teacher: it needs an advantage per sequence"
        yield job.refuse("off_policy_sequence_mask_delta", message, "leave it out")
    if job.many("reward_funcs"):
        return
    if job.get("dynamic_sample", False):
        message = "needs reward_funcs: it filters groups by their rewards"
        yield job.refuse("dynamic_sample", message, "name a reward function, or set it false")
    if job.get("scale_rewards", None) == "gdpo" and loss != "real":
        message = "gdpo needs reward_funcs: it scales each reward"
        yield job.refuse("scale_rewards", message, "name a reward function, or leave it out")


def gkd(job: Job) -> Iterator[Problem]:
    """ms-swift >= 4.0 rlhf_args `_check_gkd`, trl gkd_config, gkd_trainer `_prepare_liger_loss`."""
    if job.rlhf_type != "gkd":
        return
    for name, default in (("lmbda", 0.5), ("beta", 0.5)):
        value = job.get(name, default)
        if not 0 <= value <= 1:
            yield job.refuse(name, f"lies between 0 and 1 for gkd, found {value}", "0.5 is usual")
    if job.get("seq_kd", False) and job.since("4.4"):
        message = "is gone: responses of the teacher are not generated any more"
        yield job.refuse("seq_kd", message, "set it false")
    topk = job.get("gkd_logits_topk", None)
    if topk is None and job.get("teacher_model_server", None) and job.since("4.0"):
        message = "is required with teacher_model_server, which gives only the first logprobs"
        yield job.refuse("gkd_logits_topk", message, "20 is what vLLM gives by default")
    if topk is not None and topk <= 0:
        yield job.refuse("gkd_logits_topk", f"must be above 0, found {topk}", "such as 20")
    if not job.get("use_liger_kernel", False):
        return
    if topk is not None:
        yield job.refuse("gkd_logits_topk", "does not go with use_liger_kernel", "leave one out")
    if job.get("sft_alpha", 0) != 0 and job.since("4.1"):
        yield job.refuse("sft_alpha", "does not go with use_liger_kernel", "leave one out")


RULES = (one_teacher, servers, needs, opd, gkd)
