"""Check that the job's environment has the optional packages that the job needs.

It is done only if the environment is on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from prl_submit.errors import Problem
from prl_submit.rules.job import Job
from prl_submit.rules.vllm import GENERATING

#: Name of an import -> name of its package for pip, where the two differ.
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
#: A tracker in report_to needs the package of its name, except these (transformers 4.47-5.19
#: integration_utils). Empty: no package.
_REPORTING = {"azure_ml": "azureml", "flyte": "flytekit", "tensorboard": "", "kubeflow": ""}
#: A part of an optimiser's name -> the package that the optimiser needs; the first match counts
#: (transformers 4.47-5.19 trainer_optimizer, before 5 Trainer `get_optimizer_cls_and_kwargs`).
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
#: The packages of quantization methods (ms-swift 4.6.0 quant_args, transformers quantizers
#: `validate_environment`).
_QUANTIZERS = {"bnb": "bitsandbytes", "hqq": "hqq", "eetq": "eetq", "quanto": "optimum"}
#: The packages of attention implementations (transformers modeling_utils `_flash_attn_can_dispatch`;
#: ms-swift model/utils AttnImpl).
_ATTENTION = {
    "flash_attn": "flash_attn",
    "flash_attention_2": "flash_attn",
    "flash_attention_3": "flash_attn_interface",
}
#: The packages of rewards (ms-swift 3.0-4.6 rewards/orm MathAccuracy, which the cosine reward uses too).
_REWARDS = {"accuracy": "math_verify", "cosine": "math_verify"}


#: An argument and a package whose lack is only a warning: ms-swift accepts the arguments, and fails later,
#: when it imports its trainer.
_LATE = ("rlhf_type", "math_verify")


def check(job: Job, workdir: str) -> Iterator[Problem]:
    """Problems for packages that the job needs and its environment lacks.

    Nothing is said of a package that a setup line names, nor if the job loads environment modules, because
    both may add packages on the node. The tables above and `_needs` have the sources.
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
    """The needs of a job: an argument, the value that needs a package, and packages of which one must exist."""
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
    """The needs of quantization, attention and tuners."""
    method = str(job.get("quant_method", None))
    if method in _QUANTIZERS:
        yield "quant_method", method, (_QUANTIZERS[method],)
    attention = str(job.get("attn_impl", None))
    if attention in _ATTENTION:
        # transformers >= 4.57 also works with the package kernels.
        yield "attn_impl", attention, (_ATTENTION[attention], "kernels")
    # ms-swift 4.6.0 model/register `load_by_unsloth`.
    if job.get("tuner_backend", None) == "unsloth":
        yield "tuner_backend", "unsloth", ("unsloth",)
    # ms-swift 4.6.0 pipelines/train/tuner `prepare_adapter`.
    if job.tuner_type == "lora" and job.get("init_weights", None) == "lora-ga":
        yield "init_weights", "lora-ga", ("lora_ga",)


def _of_training(job: Job) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The needs of trackers and optimisers."""
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
    """The needs of types that generate completions."""
    # ms-swift >= 3.10 rlhf_trainers/utils imports msgspec, but ms-swift does not list it as a requirement.
    if job.since("3.10"):
        yield "rlhf_type", job.rlhf_type, ("msgspec",)
    yield from _of_engine(job)
    if job.rlhf_type == "grpo":
        yield from _of_rewards(job)


def _of_engine(job: Job) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The needs of the engine that generates.

    ms-swift 4.6.0 connects to a vLLM server whenever an address is set, even if use_vllm is false
    (rollout_mixin `_prepare_vllm`, vllm_client VLLMClient).
    """
    addresses = [name for name in ("vllm_server_base_url", "vllm_server_host") if job.many(name)]
    if job.get("use_vllm", False):
        yield "use_vllm", "it", ("vllm",)
    elif addresses:
        yield addresses[0], "connecting to a vLLM server", ("vllm",)
    if job.get("use_lmdeploy", False):
        yield "use_lmdeploy", "it", ("lmdeploy",)


def _of_rewards(job: Job) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """The needs of GRPO's rewards."""
    # ms-swift 3.6, 3.8 and 3.9 plugin/multi_turn: importing it makes an object of MathAccuracy.
    is_math = (job.since("3.6") and not job.since("3.7")) or job.since("3.8")
    if is_math and not job.since("3.10"):
        yield "rlhf_type", f"grpo in ms-swift {job.swift_version}", ("math_verify",)
    for name in map(str, job.many("reward_funcs")):
        if name in _REWARDS:
            yield "reward_funcs", f"the reward {name}", (_REWARDS[name],)


def installed(folders: list[str]) -> set[str]:
    """The names that can be imported from these folders, and the packages that pip installed there."""
    found = set()
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        found |= {_import_name(name) for name in names}
    return found - {""}


def _import_name(file: str) -> str:
    """The name under which a file or folder is imported, or the name of a pip package; else empty."""
    if file.endswith((".dist-info", ".egg-info")):
        return file.partition("-")[0].replace(".", "_").lower()
    if file.endswith((".py", ".so")):
        return file.partition(".")[0]
    return file if "." not in file else ""


def _is_made(job: Job, names: set[str]) -> bool:
    """True if a setup line mentions the package, because the line may install it."""
    lines = "\n".join(job.spec.environment.setup).lower()
    return any(name.lower() in lines for name in names)
