"""Rules across fields: plain functions from a job to problems.

Each rule names its source. They run on a spec that is already typed; a rule that needs a value that
was wrong by itself stays silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import gcd, lcm
from typing import Any

from msgspec import Struct

from prl_submit.errors import Problem
from prl_submit.spec import JobSpec
from prl_submit.tree import Node, Origin, lookup, problem_at


class DoubtfulError(Exception):
    """A rule needs a value that is wrong already; its verdict would only confuse."""


class Job(Struct, frozen=True):
    """What rules look at: the typed spec, the typed `swift:` values, and the tree for the lines."""

    spec: JobSpec
    swift: dict[str, Any]
    tree: Node
    backend: str
    #: Dotted keys whose value is wrong by itself, or probably stands under a misspelt name.
    doubtful: frozenset[str] = frozenset()

    @property
    def world(self) -> int:
        """Number of processes. Raises DoubtfulError."""
        for key in ("resources", "resources.nodes", "resources.nproc_per_node"):
            self._require(key)
        return self.spec.resources.nodes * self.spec.resources.nproc_per_node

    def get(self, name: str, default: Any) -> Any:
        """A swift value, or ms-swift's default for it. Raises DoubtfulError."""
        self._require("swift")
        self._require(f"swift.{name}")
        return self.swift.get(name, default)

    def _require(self, key: str) -> None:
        if key in self.doubtful:
            raise DoubtfulError(key)

    def problem(self, key: str, message: str, hint: str | None, severity: str = "error") -> Problem:
        """A problem at `key`, or at the nearest key around it that was written."""
        path = key
        while path and lookup(self.tree, path) is None:
            path = path.rpartition(".")[0]
        node = lookup(self.tree, path) if path else self.tree
        origin = node.origin if node else Origin("default")
        if origin.layer == "default":
            origin = self.tree.origin
        return problem_at(origin, key, message, hint, severity)


Rule = Callable[[Job], Iterator[Problem]]

ONE_TOO_MANY = "leave one of generation_batch_size and steps_per_generation out"


def generation_batch(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 args_mixin: generation batch divisible by num_generations, and the sizes agree."""
    if job.get("rlhf_type", None) != "grpo":
        return
    group = job.get("num_generations", 8)
    taught = job.get("teacher_model", None) or job.get("teacher_model_server", None)
    if group == 1 and taught:
        return  # distillation compares with the teacher, not within a group
    if group <= 1:
        yield job.problem(
            "swift.num_generations",
            f"must be greater than 1 for GRPO, found {group}",
            "GRPO compares the completions of one prompt with each other; use 2 or more",
        )
        return
    device = job.get("per_device_train_batch_size", 1)
    for name in (
        "per_device_train_batch_size",
        "steps_per_generation",
        "gradient_accumulation_steps",
    ):
        value = job.get(name, None)
        if value is not None and value < 1:
            yield job.problem(
                f"swift.{name}", f"must be at least 1, found {value}", "use 1 or more"
            )
            return
    batch = device * job.world
    sizes = _batch_sizes(job, batch)
    if isinstance(sizes, Problem):
        yield sizes
    elif sizes[0] % group:
        yield _indivisible(job, device, group, *sizes)


def _batch_sizes(job: Job, batch: int) -> tuple[int, int, str] | Problem:
    """Generation batch, steps per generation, and the name the steps come from."""
    total = job.get("generation_batch_size", None)
    steps = job.get("steps_per_generation", None)
    formula = f"per_device_train_batch_size x {_world_words(job)} = {batch}"
    if total is None:
        name = "steps_per_generation" if steps is not None else "gradient_accumulation_steps"
        steps = steps if steps is not None else job.get("gradient_accumulation_steps", 1)
        return batch * steps, steps, name
    if steps is not None and total != batch * steps:
        return job.problem(
            "swift.generation_batch_size",
            f"{total} is not {formula} x steps_per_generation {steps} = {batch * steps}",
            ONE_TOO_MANY,
        )
    if total < 1 or total % batch:
        works = _around_multiples(total, lcm(batch, job.get("num_generations", 8)))
        return job.problem(
            "swift.generation_batch_size",
            f"{total} is not a multiple of {formula}",
            f"these work: {_list(works)}",
        )
    name = "generation_batch_size" if steps is None else "steps_per_generation"
    return total, total // batch, name


def _indivisible(
    job: Job, device: int, group: int, total: int, steps: int, steps_name: str
) -> Problem:
    batch = device * job.world
    formula = (
        f"per_device_train_batch_size {device} x nproc_per_node "
        f"{job.spec.resources.nproc_per_node} x nodes {job.spec.resources.nodes} x "
        f"steps_per_generation {steps}"
    )
    if steps_name != "steps_per_generation":
        formula += f" (from {steps_name})"
    groups = [n for n in _divisors(total) if n > 1]
    works = [f"num_generations {_list(_nearest(groups, group))}"] if groups else []
    if job.get("generation_batch_size", None) is None:
        sizes = _around_sizes(device, job.world * steps, group)
        works.append(f"per_device_train_batch_size {_list(sizes)}")
    elif steps_name == "generation_batch_size":  # it fixes the product, whatever its factors
        works.append(f"{steps_name} {_list(_around_multiples(total, lcm(batch, group)))}")
    hint = f"these work: {', or '.join(works)}" if works else ONE_TOO_MANY
    return job.problem(
        "swift.num_generations",
        f"{group} does not divide the generation batch {total} = {formula}",
        hint,
    )


def evaluation_batch(job: Job) -> Iterator[Problem]:
    """ms-swift 4.6.0 args_mixin, the eval twin; only where there is something to evaluate on."""
    if job.get("rlhf_type", None) != "grpo" or not _evaluates(job):
        return
    name = "num_generations_eval" if job.get("num_generations_eval", None) else "num_generations"
    group = job.get(name, 8)
    device = job.get("per_device_eval_batch_size", 1)
    if group <= 1 or device < 1:
        return
    total = device * job.world
    if total % group:
        sizes = _around_sizes(device, job.world, group)
        groups = _nearest(_divisors(total), group)
        yield job.problem(
            f"swift.{name}",
            f"{group} does not divide the evaluation batch {total} = per_device_eval_batch_size "
            f"{device} x {_world_words(job)}",
            f"these work: per_device_eval_batch_size {_list(sizes)}, or num_generations_eval "
            f"{_list(groups)}, or eval_strategy no",
        )


def _evaluates(job: Job) -> bool:
    strategy = job.get("eval_strategy", job.get("save_strategy", "steps"))
    has_data = job.get("val_dataset", None) or job.get("split_dataset_ratio", 0) > 0
    return strategy != "no" and bool(has_data or job.get("eval_dataset", None))


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
            f"{size} does not divide the world {job.world} = {_world_words(job)}",
            f"these work: {_list(_divisors(job.world))}",
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


def _world_words(job: Job) -> str:
    resources = job.spec.resources
    return f"nproc_per_node {resources.nproc_per_node} x nodes {resources.nodes}"


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _divisors(number: int) -> list[int]:
    """All divisors, ascending; trial division to the square root, so that huge batches stay cheap."""
    small = [n for n in range(1, min(int(number**0.5), 10_000) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def _nearest(numbers: list[int], wanted: int, count: int = 6) -> list[int]:
    return sorted(sorted(numbers, key=lambda n: (abs(n - wanted), n))[:count])


def _around_sizes(size: int, others: int, group: int) -> list[int]:
    """The per-device sizes next to `size` for which size x others is a multiple of `group`."""
    step = group // gcd(others, group)
    below = size // step * step
    return [n for n in (below, below + step) if n > 0]


def _around_multiples(total: int, batch: int) -> list[int]:
    below = total // batch * batch
    return [n for n in (below, below + batch) if n > 0]


def _list(numbers: list[int]) -> str:
    words = [str(n) for n in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
