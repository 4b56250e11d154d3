"""Optional packages that a job needs, held against the environment where it lies on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.rules.vllm import GENERATING

#: What brings each import along, where pip calls it otherwise.
_DISTRIBUTIONS = {
    "liger_kernel": "liger-kernel",
    "flash_attn": "flash-attn",
    "flash_attn_interface": "flash-attn-3",
    "galore_torch": "galore-torch",
    "apollo_torch": "apollo-torch",
    "lomo_optim": "lomo-optim",
    "optimi": "torch-optimi",
    "comet_ml": "comet-ml",
    "azureml": "azureml-sdk",
    "flytekit": "flytekit",
    "lora_ga": "git+https://github.com/lxline/LoRA-GA.git",
}
#: transformers 4.47-5.19 integration_utils: each callback asks for the package of its name, or this one.
_REPORTING = {"azure_ml": "azureml", "flyte": "flytekit", "tensorboard": "", "kubeflow": ""}
#: transformers 4.47-5.19 trainer_optimizer, before 5 Trainer `get_optimizer_cls_and_kwargs`: the first
#: that the name of the optimiser has in it.
_OPTIMIZERS = (
    ("galore", "galore_torch"),
    ("apollo", "apollo_torch"),
    ("lomo", "lomo_optim"),
    ("grokadamw", "grokadamw"),
    ("schedule_free", "schedulefree"),
    ("stable_adamw", "optimi"),
    ("torch_4bit", "torchao"),
    ("torch_8bit", "torchao"),
    ("apex", "apex"),
    ("8bit", "bitsandbytes"),
    ("paged", "bitsandbytes"),
    ("bnb", "bitsandbytes"),
    ("lion", "bitsandbytes"),
    ("ademamix", "bitsandbytes"),
)
#: ms-swift 4.6.0 quant_args, transformers quantizers `validate_environment`.
_QUANTIZERS = {"bnb": "bitsandbytes", "hqq": "hqq", "eetq": "eetq", "quanto": "optimum"}
#: Source: transformers modeling_utils `_flash_attn_can_dispatch`; ms-swift model/utils AttnImpl.
_ATTENTION = {
    "flash_attn": "flash_attn",
    "flash_attention_2": "flash_attn",
    "flash_attention_3": "flash_attn_interface",
}
#: ms-swift 3.0-4.6 rewards/orm MathAccuracy, which the cosine reward asks too.
_REWARDS = {"accuracy": "math_verify", "cosine": "math_verify"}


#: ms-swift takes the arguments, and fails where it imports its trainer.
_LATE = ("rlhf_type", "math_verify")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Each need with its source above or in `_needs`; nothing is said of an environment elsewhere.

    What a setup line or an environment module may bring along is left to the node.
    """
    if not job.folders or job.spec.environment.modules:
        return
    wanted = list(_needs(job))
    if not wanted:
        return
    have = installed(sorted({workdir, *job.folders}))
    for argument, what, packages in wanted:
        if any(name in have for name in packages):
            continue
        name = packages[0]
        distribution = _DISTRIBUTIONS.get(name, name.replace("_", "-"))
        if _is_made(job, {name, distribution}):
            continue
        message = f"{what} needs the package {name}, which the environment lacks"
        severity = "warning" if (argument, name) == _LATE else "error"
        yield job.problem(f"swift.{argument}", message, f"pip install {distribution}", severity)


def _needs(job: Job) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Argument, what of it, and the packages of which one must be there."""
    # ms-swift 4.6.0 sft_args `_init_deepspeed` (before 4.0 train_args): require_version.
    if job.get("deepspeed", None):
        yield "deepspeed", "it", ("deepspeed",)
    # ms-swift 3.0-4.6 trainers/arguments `_init_liger`.
    if job.get("use_liger_kernel", False):
        yield "use_liger_kernel", "it", ("liger_kernel",)
    # ms-swift 4.6.0 trainers/arguments `__post_init__`.
    if job.get("eval_use_evalscope", False):
        yield "eval_use_evalscope", "it", ("evalscope",)
    # ms-swift 4.6.0 sft_args `_init_metric`; before 4.4 jieba came with ms-swift.
    predicted = job.get("eval_metric", None) is None and job.get("predict_with_generate", False)
    if job.get("eval_metric", None) == "nlg" or predicted:
        name = "predict_with_generate" if predicted else "eval_metric"
        yield name, "the metric nlg", ("jieba",)
    yield from _of_models(job)
    yield from _of_training(job)
    if job.rlhf_type in GENERATING:
        yield from _of_generation(job)


def _of_models(job: Job) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    method = str(job.get("quant_method", None))
    if method in _QUANTIZERS:
        yield "quant_method", method, (_QUANTIZERS[method],)
    attention = str(job.get("attn_impl", None))
    if attention in _ATTENTION:
        # transformers >= 4.57 takes the kernels package in its place.
        yield "attn_impl", attention, (_ATTENTION[attention], "kernels")
    # ms-swift 4.6.0 model/register `load_by_unsloth`.
    if job.get("tuner_backend", None) == "unsloth":
        yield "tuner_backend", "unsloth", ("unsloth",)
    # ms-swift 4.6.0 pipelines/train/tuner `prepare_adapter`.
    if job.tuner_type == "lora" and job.get("init_weights", None) == "lora-ga":
        yield "init_weights", "lora-ga", ("lora_ga",)


def _of_training(job: Job) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for name in map(str, job.many("report_to")):
        package = _REPORTING.get(name, name)
        if package and name not in ("all", "none") and name.replace("_", "").isalnum():
            yield "report_to", name, (package,)
    optim = str(job.get("optim", None))
    if job.get("optimizer", "default") == "default" and not job.get("use_galore", False):
        package = next((package for part, package in _OPTIMIZERS if part in optim), "")
        if package:
            yield "optim", optim, (package,)


def _of_generation(job: Job) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    # ms-swift >= 3.10 rlhf_trainers/utils imports it and does not ask pip for it.
    if job.since("3.10"):
        yield "rlhf_type", job.rlhf_type, ("msgspec",)
    # ms-swift 3.6, 3.8 and 3.9 plugin/multi_turn: a class makes a MathAccuracy while it is imported.
    is_math = (job.since("3.6") and not job.since("3.7")) or job.since("3.8")
    if job.rlhf_type == "grpo" and is_math and not job.since("3.10"):
        yield "rlhf_type", f"grpo in ms-swift {job.swift_version}", ("math_verify",)
    # ms-swift 4.6.0 rollout_mixin `_prepare_vllm`, vllm_client VLLMClient: an address is connected to
    # whatever use_vllm says.
    server = next((n for n in ("vllm_server_base_url", "vllm_server_host") if job.many(n)), None)
    if job.get("use_vllm", False):
        yield "use_vllm", "it", ("vllm",)
    elif server:
        yield server, "connecting to a vLLM server", ("vllm",)
    if job.get("use_lmdeploy", False):
        yield "use_lmdeploy", "it", ("lmdeploy",)
    if job.rlhf_type == "grpo":
        for name in map(str, job.many("reward_funcs")):
            if name in _REWARDS:
                yield "reward_funcs", f"the reward {name}", (_REWARDS[name],)


def installed(folders: list[str]) -> set[str]:
    """What can be imported from these folders: packages, modules, and what pip noted."""
    found = set()
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                found.add(name.partition("-")[0].replace(".", "_").lower())
            elif name.endswith((".py", ".so")):
                found.add(name.partition(".")[0])
            elif "." not in name:
                found.add(name)
    return found


def _is_made(job: Job, names: set[str]) -> bool:
    """Whether a setup line speaks of the package."""
    lines = "\n".join(job.spec.environment.setup).lower()
    return any(name.lower() in lines for name in names)
