"""Rules across fields: plain functions from a job to problems.

Each rule names its source. They run on a spec that is already typed; a rule that needs a value that
was wrong by itself stays silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prl_submit.batch import evaluation_batch, generation_batch
from prl_submit.divisors import divisors, listed
from prl_submit.errors import Problem
from prl_submit.job import DoubtfulError, Job

Rule = Callable[[Job], Iterator[Problem]]


def vllm(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 rlhf_args `_init_rollout`; colocated tensor parallelism divides the world."""
    if not job.get("use_vllm", False):
        if job.get("vllm_mode", None):
            hint = "set vllm_mode to null as well, or use_vllm to true"
            yield job.problem("swift.vllm_mode", "is set, but use_vllm is false", hint)
        return
    yield from _vllm_server(job)
    size = job.get("vllm_tensor_parallel_size", 1)
    colocated = job.get("vllm_mode", None) == "colocate"
    if size < 1 or (colocated and job.world % size):
        yield job.problem(
            "swift.vllm_tensor_parallel_size",
            f"{size} does not divide the world {job.world} = {job.world_words}",
            f"these work: {listed(divisors(job.world))}",
        )
    share = job.get("vllm_gpu_memory_utilization", 0.4)
    if not 0 < share <= 1:
        yield job.problem(
            "swift.vllm_gpu_memory_utilization",
            f"is a share of the GPU's memory, between 0 and 1; found {share}",
            "0.4 leaves room for the trainer beside a colocated vLLM",
        )


def _vllm_server(job: Job) -> Iterator[Problem]:
    server = job.get("vllm_mode", None) == "server"
    if server and not (job.get("vllm_server_host", None) or job.get("vllm_server_base_url", None)):
        hint = "set vllm_server_host or vllm_server_base_url; `swift rollout` starts one"
        yield job.problem("swift.vllm_mode", "server needs the address of a vLLM server", hint)
    if job.get("async_generate", False) and not server:
        yield job.problem(
            "swift.async_generate", "needs vllm_mode server, found colocate", "leave it out"
        )


def grpo_arguments(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 rlhf_args `_init_grpo`: what GRPO cannot do."""
    if job.get("rlhf_type", None) != "grpo":
        return
    strategy = job.get("truncation_strategy", None)
    if strategy not in (None, "left", "delete"):
        message = f"GRPO takes left or delete, found {strategy}"
        yield job.problem("swift.truncation_strategy", message, "leave it out: left is the default")


#: ms-swift 4.6.0 tuner_args: these shape a LoRA and do nothing in a full training.
_LORA = ("lora_rank", "lora_alpha", "lora_dropout", "target_modules", "use_dora", "use_rslora")


def lora(job: Job) -> Iterator[Problem]:
    """LoRA's arguments in a full training, where ms-swift passes over them silently."""
    if job.get("tuner_type", None) != "full":
        return
    for name in _LORA:
        if job.get(name, None) is not None:
            hint = "leave it out, or set tuner_type: lora"
            message = "does nothing with tuner_type full"
            yield job.problem(f"swift.{name}", message, hint, "warning")


def rewards(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 grpo_trainer: one weight per reward function and reward model."""
    weights = _as_list(job.get("reward_weights", None))
    functions = _as_list(job.get("reward_funcs", None)) + _as_list(job.get("reward_model", None))
    if job.get("use_gym_env", False):
        functions.append("gym_reward")
    if weights and functions and len(weights) != len(functions):
        yield job.problem(
            "swift.reward_weights",
            f"has {len(weights)} for {len(functions)} rewards ({', '.join(map(str, functions))})",
            "give one weight per reward, in their order",
        )


def processors(job: Job) -> Iterator[Problem]:
    """`accelerator: cpu`: vLLM needs a GPU; without use_cpu every rank trains alone (facts)."""
    if job.spec.resources.accelerator != "cpu":
        return
    if job.get("use_vllm", False):
        yield job.problem("swift.use_vllm", "vLLM needs a GPU; accelerator is cpu", "set it false")
    if not job.get("use_cpu", True):
        yield job.problem(
            "swift.use_cpu",
            "false with accelerator cpu makes each rank train alone",
            "leave it out; prl-submit sets it",
        )


def environment(job: Job) -> Iterator[Problem]:
    """One Python environment, and no credentials in files."""
    env = job.spec.environment
    if env.conda and env.venv:
        yield job.problem(
            "environment.venv",
            "conda is given too",
            "keep one of the two; `conda: null` drops what a base or a profile sets",
        )
    for name, value in env.env.items():
        if looks_secret(name, value):
            yield job.problem(
                f"environment.env.{name}",
                "looks like a credential, and env is written into files",
                f"`secrets: [{name}]` takes it from your environment and writes only the name",
            )
        if name.startswith(("PRL_SUBMIT_", "prl_")):  # launch.sh's own names
            yield job.problem(
                f"environment.env.{name}", "is prl-submit's own, set for each job", "leave it out"
            )
    for name in sorted(set(env.secrets) & set(env.env)):
        yield job.problem(f"environment.env.{name}", "is listed under secrets too", "keep one")


def credentials(job: Job) -> Iterator[Problem]:
    """A secret among the arguments would stand in every file of the run and in `ps`."""
    for name in CREDENTIALS:
        if job.get(name, None) is not None:
            yield job.problem(
                f"swift.{name}",
                "is a credential, and arguments are written into files",
                "leave it out; `environment.secrets: [HF_TOKEN]` (or MODELSCOPE_API_TOKEN, "
                "SWANLAB_API_KEY) takes it from your environment and writes only the name",
            )


def one_machine(job: Job) -> Iterator[Problem]:
    """The local backend is this machine."""
    if job.backend == "local" and job.spec.resources.nodes > 1:
        yield job.problem(
            "resources.nodes",
            f"the local backend has one node, found {job.spec.resources.nodes}",
            "use --backend slurm or kubernetes",
        )


def required_by_swift(job: Job) -> Iterator[Problem]:
    """Without these ms-swift stops; a warning, since args.json of a checkpoint may provide them."""
    for name in ("model", "dataset"):
        if not job.get(name, None) or not str(job.get(name, None)).strip():
            yield job.problem("swift", f"{name} is not set; ms-swift needs it", None, "warning")


def slurm(job: Job) -> Iterator[Problem]:
    """The `slurm:` section, for jobs that go there."""
    if job.backend != "slurm":
        return iter(())
    from prl_submit.slurm_options import slurm_section  # not for the others' jobs

    return slurm_section(job)


RULES: tuple[Rule, ...] = (
    generation_batch,
    evaluation_batch,
    vllm,
    grpo_arguments,
    lora,
    rewards,
    processors,
    environment,
    credentials,
    one_machine,
    slurm,
    required_by_swift,
)


def check(job: Job) -> list[Problem]:
    """All rules, in their order; one that needs a doubtful value stays silent."""
    problems: list[Problem] = []
    for rule in RULES:
        try:
            problems.extend(rule(job))
        except DoubtfulError:
            continue
    return problems


#: ms-swift 4.6.0's arguments that hold a secret themselves.
CREDENTIALS = ("hub_token", "swanlab_token", "swanlab_secret")
_SECRET_WORDS = ("TOKEN", "KEY", "SECRET", "PASSWORD", "PASSWD", "CREDENTIALS", "APIKEY")


def looks_secret(name: str, value: str) -> bool:
    """A variable's name ends like a credential's, or its value is a URL with a password."""
    address = value.partition("://")[2].partition("/")[0]
    return name.upper().rpartition("_")[2] in _SECRET_WORDS or (":" in address and "@" in address)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
