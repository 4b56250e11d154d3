"""Rules on vLLM, which generates completions on the trainer's GPUs or on a server of its own."""

from __future__ import annotations

from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.divisors import divisors, listed
from prl_submit.rules.job import Job

#: The rlhf types that generate completions (ms-swift 4.6.0 rlhf_args `rlhf_support_vllm_types`).
GENERATING = ("grpo", "gkd")


def mode(job: Job) -> Iterator[Problem]:
    """use_vllm and vllm_mode need each other. Source: ms-swift >= 3.11.1 rlhf_args `_init_rollout`.

    Before 3.11.1 the default of vllm_mode was colocate.
    """
    if job.rlhf_type not in GENERATING or not job.since("3.11.1"):
        return
    chosen = job.get("vllm_mode", None)
    if chosen and not job.get("use_vllm", False):
        hint = "set vllm_mode: null, or use_vllm: true"
        yield job.refuse("vllm_mode", "is set, but use_vllm is false", hint)
    if not chosen and job.get("use_vllm", False):
        hint = "colocate shares the trainer's GPUs, server uses a running `swift rollout`"
        yield job.refuse("vllm_mode", "is required if use_vllm is true", hint)


def workers(job: Job) -> Iterator[Problem]:
    """In ms-swift 3.2.2 to 3.4.1 num_infer_workers must fit the node's GPUs.

    If there are as many workers as GPUs, they share the GPUs with the trainer. Else each training process
    and each worker needs a GPU of its own. Source: rlhf_args `_check_grpo`.
    """
    if not _has_infer_workers(job):
        return
    processes = job.nproc_per_node
    given = job.spec.local.cuda_visible_devices if job.traits.chooses_gpus else None
    count = len(given.split(",")) if given else processes
    chosen = job.get("num_infer_workers", 1)
    if count == chosen:
        if job.get("async_generate", False):
            message = f"needs GPUs of its own, but num_infer_workers {chosen} shares the trainer's"
            yield job.refuse("async_generate", message, "set async_generate: false")
        return
    if count != processes + chosen:
        name = "num_infer_workers" if "num_infer_workers" in job.swift else "use_vllm"
        message = f"{count} GPUs are neither num_infer_workers {chosen} nor nproc_per_node {processes} + {chosen}"
        hint = f"set num_infer_workers: {processes}; these workers share the trainer's GPUs"
        yield job.refuse(name, message, hint)


def _has_infer_workers(job: Job) -> bool:
    """True if the job's ms-swift generates with num_infer_workers processes.

    Since 3.4 a running vLLM server replaces these workers.
    """
    if job.rlhf_type != "grpo" or job.swift_version is None:
        return False
    if not job.since("3.2.2") or job.since("3.5"):
        return False
    if job.since("3.4") and job.get("vllm_server_host", None) is not None:
        return False
    return bool(job.get("use_vllm", False) or job.get("use_lmdeploy", False))


def server(job: Job) -> Iterator[Problem]:
    """vllm_mode server needs addresses of servers, with one port for each.

    Source: ms-swift 4.6.0 rlhf_args `_init_rollout`, `_init_external_vllm`; vllm_client (>= 3.7).
    """
    if job.rlhf_type not in GENERATING:
        return
    using, hosts = job.get("use_vllm", False), job.many("vllm_server_host")
    urls = job.many("vllm_server_base_url")
    if using and job.get("vllm_mode", None) == "server" and not hosts and not urls:
        hint = "set vllm_server_host or vllm_server_base_url; `swift rollout` starts a server"
        yield job.refuse("vllm_mode", "server needs the address of a vLLM server", hint)
    if not hosts and not urls:
        return
    yield from unused_server(job)
    yield from addresses(job)
    ports = job.many("vllm_server_port") or [8000]
    if not urls and len(hosts) != len(ports):
        yield job.refuse(
            "vllm_server_host",
            f"has {len(hosts)} for {len(ports)} vllm_server_port",
            "give one port per host, in the same order",
        )
    groups, count = job.many("vllm_server_group_port"), len(urls or hosts)
    if groups and len(groups) != count:
        yield job.refuse(
            "vllm_server_group_port",
            f"has {len(groups)} for {count} servers",
            "give one per server, or remove vllm_server_group_port",
        )


def unused_server(job: Job) -> Iterator[Problem]:
    """ms-swift connects to a vLLM server whenever an address is set, even if vllm_mode is not server.

    The connection needs the package vLLM. If no server answers within vllm_server_timeout seconds,
    ms-swift stops. From 3.7 to 3.11 an address together with use_vllm sets vllm_mode to server. Source:
    ms-swift >= 3.4 rlhf_args `_init_external_vllm`; for gkd since 3.12.
    """
    using, chosen = job.get("use_vllm", False), job.get("vllm_mode", None)
    if not job.since("3.4" if job.rlhf_type == "grpo" else "3.12") or chosen == "server":
        return
    if using == (chosen is None) and (using or job.since("3.11.1")):
        return  # the rule `mode` reports it
    name = "vllm_server_base_url" if job.many("vllm_server_base_url") else "vllm_server_host"
    if using and not job.since("3.11.1"):
        yield job.warn(
            name, f"makes ms-swift take vllm_mode server, found {chosen}", f"remove {name}"
        )
        return
    timeout = job.get("vllm_server_timeout", 240)
    why = f"vllm_mode is {chosen}" if using else "use_vllm is false"
    message = f"is set while {why}: ms-swift connects all the same, and stops after {timeout:g} s without a server"
    yield job.refuse(name, message, f"remove {name}, or set use_vllm: true and vllm_mode: server")


def addresses(job: Job) -> Iterator[Problem]:
    """vllm_server_base_url is a URL, and vllm_server_host is the name of a host.

    ms-swift >= 3.7 vllm_client requests `http://HOST:PORT/health` or BASE_URL/health.
    """
    for url in map(str, job.many("vllm_server_base_url")):
        if not url.startswith(("http://", "https://")):
            message = f"{url} begins with neither http:// nor https://"
            yield job.refuse("vllm_server_base_url", message, f"such as http://{url}")
    for host in map(str, job.many("vllm_server_host")):
        if "/" in host:
            hint = "give only the host's name; vllm_server_port has the port"
            yield job.refuse("vllm_server_host", f"{host} is not the name of a host", hint)


def colocated(job: Job) -> Iterator[Problem]:
    """The tensor parallel size of vLLM must divide the number of processes.

    Source: ms-swift >= 3.5 rollout_mixin `_prepare_vllm`.
    """
    if job.rlhf_type not in GENERATING or not job.get("use_vllm", False):
        return
    size = job.get("vllm_tensor_parallel_size", 1)
    if size < 1 or (job.get("vllm_mode", None) == "colocate" and job.world % size):
        yield job.refuse(
            "vllm_tensor_parallel_size",
            f"{size} does not divide the world {job.world} = {job.world_words}",
            f"these work: {listed(divisors(job.world))}",
        )


def memory_share(job: Job) -> Iterator[Problem]:
    """The share of the GPU's memory that vLLM takes is above 0 and at most 1. Source: vllm.config.CacheConfig."""
    if job.rlhf_type not in GENERATING or not job.get("use_vllm", False):
        return
    share = job.get("vllm_gpu_memory_utilization", 0.4)
    if not 0 < share <= 1:
        yield job.refuse(
            "vllm_gpu_memory_utilization",
            f"must be a share of the GPU's memory, between 0 and 1; found {share}",
            "0.4 leaves room for the trainer beside a colocated vLLM",
        )


def asynchronous(job: Job) -> Iterator[Problem]:
    """async_generate needs a vLLM server, and excludes gkd and multi_turn_scheduler.

    Source: ms-swift 4.6.0 rlhf_args `_init_rollout`, `_check_grpo`, `_check_gkd` (grpo since 3.5).
    """
    if job.rlhf_type not in GENERATING or not job.get("async_generate", False):
        return
    if not job.since("3.5"):
        return  # the rule `workers` checks these releases
    found = job.get("vllm_mode", None) if job.get("use_vllm", False) else None
    if found != "server":
        what = found or "use_vllm false"
        message = f"needs vllm_mode server, found {what}"
        yield job.refuse("async_generate", message, "remove async_generate")
    elif job.rlhf_type == "gkd" and job.since("3.10"):
        yield job.refuse("async_generate", "is not supported for gkd", "remove async_generate")
    elif job.get("multi_turn_scheduler", None) is not None and job.since("3.5"):
        message = "is not supported together with multi_turn_scheduler"
        yield job.refuse("async_generate", message, "keep one of the two")


def reasoning_parser(job: Job) -> Iterator[Problem]:
    """GRPO refuses vllm_reasoning_parser. Source: ms-swift >= 3.8 rlhf_trainers/arguments GRPOConfig."""
    if job.rlhf_type != "grpo" or not job.since("3.8"):
        return
    if job.get("vllm_reasoning_parser", None) is not None:
        yield job.refuse(
            "vllm_reasoning_parser", "is not supported for GRPO", "remove vllm_reasoning_parser"
        )


RULES = (mode, workers, server, colocated, memory_share, asynchronous, reasoning_parser)
