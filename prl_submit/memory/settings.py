"""From ms-swift's arguments to the values that decide memory, with the defaults of ms-swift 4.6.0. Pure.

Sources: swift/arguments (rlhf_args.py, sft_args.py, tuner_args.py, base_args), swift/trainers/
arguments.py and swift/config (the deepspeed and fsdp presets).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from msgspec import Struct

from prl_submit.memory.activations import Pass
from prl_submit.memory.model import ModelConfig
from prl_submit.system.reading import decode_json

#: Length of a prompt if max_length does not limit it (ms-swift's default is the model's longest).
ASSUMED_PROMPT = 512
#: Length of a whole example of dpo and others if max_length does not limit it.
ASSUMED_LENGTH = 2048
#: The rlhf types with two sequences in a row: the chosen and the rejected answer.
_PAIRS = ("dpo", "orpo", "cpo", "simpo", "rm")
#: rlhf_args.py __post_init__: types that compare with a frozen copy of a fully trained model.
_REFERENCED = ("grpo", "dpo", "kto", "ppo")
#: The rlhf types that generate completions during the training.
GENERATING = ("grpo", "gkd", "ppo")
_HALF = ("bfloat16", "float16")


class Sharding(Struct, frozen=True):
    """How model and optimizer are divided among the ranks. `engine`: none (one process), ddp, deepspeed or fsdp."""

    engine: str
    stage: int = 0
    offload_optimizer: bool = False
    offload_weights: bool = False


class OtherModel(Struct, frozen=True):
    """Another model than the policy. `role`: reference, reward, teacher or value. Only value is trained."""

    role: str
    config: ModelConfig
    offloaded: bool = False


class Vllm(Struct, frozen=True):
    """A vLLM in the trainer's own processes. `share`: its share of the GPU's memory."""

    share: float
    parallel: int
    sleep_level: int
    longest: int


class Settings(Struct, frozen=True, kw_only=True):
    """All values that decide memory."""

    config: ModelConfig
    rlhf_type: str
    world: int
    sharding: Sharding
    full: bool
    weight: int
    trained: int
    quantised: Union[int, None]
    lora_rank: int
    lora_targets: list[str]
    optimizer: str
    accumulating: bool
    run: Pass
    per_generation: int
    vllm: Union[Vllm, None]
    others: list[OtherModel]
    offload_model: bool
    offload_optimizer: bool
    move_batches: int
    liger: bool
    entropy: bool
    notes: list[str]


class Arguments:
    """The values of arguments, or the given defaults. A value of the wrong type counts as not set."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """A value that is a text."""
        value = self._values.get(name)
        return value if isinstance(value, str) else default

    def number(self, name: str, default: int) -> int:
        """A value that is a whole number of at least 1."""
        value = self._values.get(name)
        return value if isinstance(value, int) and value >= 1 else default

    def share(self, name: str, default: float) -> float:
        """A value that is a number."""
        value = self._values.get(name)
        return float(value) if isinstance(value, (int, float)) else default

    def flag(self, name: str, default: bool) -> bool:
        """A value that is a boolean."""
        value = self._values.get(name)
        return value if isinstance(value, bool) else default

    def listed(self, name: str, default: list[str]) -> list[str]:
        """A value that is a list of texts. A single text is a list of one."""
        value = self._values.get(name)
        if isinstance(value, str):
            return [value]
        return [str(item) for item in value] if isinstance(value, list) else default


def read_sharding(values: Mapping[str, Any], world: int, raw: bytes | None) -> Sharding | None:
    """The sharding that `deepspeed` or `fsdp` asks for; None if the file it names is not understood.

    `raw`: the content of that file; None if neither names a file.
    """
    given = values.get("deepspeed")
    if given:
        return _deepspeed(given, raw)
    if given := values.get("fsdp"):
        return Sharding("fsdp", 3) if given == "fsdp2" else _fsdp(raw)
    return Sharding("ddp" if world > 1 else "none")


#: swift/config/*.json, as sft_args.py _init_deepspeed names them.
_PRESETS = {
    "zero0": Sharding("deepspeed", 0),
    "zero1": Sharding("deepspeed", 1),
    "zero2": Sharding("deepspeed", 2),
    "zero3": Sharding("deepspeed", 3),
    "zero2_offload": Sharding("deepspeed", 2, offload_optimizer=True),
    "zero3_offload": Sharding("deepspeed", 3, offload_optimizer=True, offload_weights=True),
}


def _deepspeed(given: Any, raw: bytes | None) -> Sharding | None:
    if isinstance(given, str) and given in _PRESETS:
        return _PRESETS[given]
    document = given if isinstance(given, dict) else _json(raw or str(given).encode())
    zero = document.get("zero_optimization") if document else None
    if not isinstance(zero, dict) or zero.get("stage") not in (0, 1, 2, 3):
        return None
    offloads = [
        isinstance(part := zero.get(name), dict) and part.get("device") in ("cpu", "nvme")
        for name in ("offload_optimizer", "offload_param")
    ]
    return Sharding("deepspeed", zero["stage"], *offloads)


def _fsdp(raw: bytes | None) -> Sharding | None:
    document = _json(raw or b"")
    if document is None:
        return None
    config = document.get("fsdp_config")
    whole = isinstance(config, dict) and config.get("reshard_after_forward") is False
    return Sharding("fsdp", 2 if whole else 3, "offload" in str(document.get("fsdp")))


def _json(raw: bytes) -> dict[str, Any] | None:
    try:
        document = decode_json(raw)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def make_settings(
    values: Mapping[str, Any],
    world: int,
    config: ModelConfig,
    others: list[OtherModel],
    sharding: Sharding,
) -> Settings:
    """All settings. `others`: the models that `other_roles` names, with their sizes."""
    given = Arguments(values)
    kind = given.text("rlhf_type", "grpo")
    precision = _precision(given, config, sharding)
    notes: list[str] = []
    run = _pass(given, precision, sharding, notes)
    full = not run.frozen
    bits = given.text("quant_bits")
    steps = given.number("gradient_accumulation_steps", 1)
    return Settings(
        config=config,
        rlhf_type=kind,
        world=world,
        sharding=sharding,
        full=full,
        weight=precision.weight,
        trained=precision.weight if full else precision.adapters,
        quantised=int(bits) if bits in ("4", "8") else None,
        lora_rank=run.lora_rank,
        lora_targets=run.lora_targets,
        optimizer=given.text("optimizer") or given.text("optim", "adamw_torch_fused"),
        accumulating=steps > 1,
        run=run,
        per_generation=given.number("steps_per_generation", steps),
        vllm=_vllm(given, kind, config),
        others=others,
        offload_model=given.flag("offload_model", False),
        offload_optimizer=given.flag("offload_optimizer", False),
        move_batches=given.number("move_model_batches", 1),
        liger=given.flag("use_liger_kernel", False),
        entropy=given.flag("log_entropy", False) or given.share("top_entropy_quantile", 1.0) < 1,
        notes=notes,
    )


class _Precision(Struct, frozen=True):
    """Bytes of one number: of the model's weights, of a LoRA's weights, and of an activation.

    `autocast`: torch casts the inputs of each operation, and the weights stay as they are.
    """

    weight: int
    adapters: int
    element: int
    autocast: bool


def _precision(given: Arguments, config: ModelConfig, sharding: Sharding) -> _Precision:
    dtype = given.text("torch_dtype", config.stored)
    half, mixed = dtype in _HALF, _mixed(given, dtype)
    deepspeed = sharding.engine == "deepspeed"
    return _Precision(
        # DeepSpeed casts the whole model to half precision.
        weight=2 if half or (deepspeed and mixed) else 4,
        adapters=2 if deepspeed or given.text("lora_dtype") in _HALF else 4,
        element=2 if mixed or half else 4,
        autocast=mixed and not deepspeed,
    )


def _pass(given: Arguments, precision: _Precision, sharding: Sharding, notes: list[str]) -> Pass:
    """One forward and backward pass. Each assumption is added to `notes`, in words."""
    kind = given.text("rlhf_type", "grpo")
    full = given.text("tuner_type", "lora") == "full"
    weight, autocast = precision.weight, precision.autocast
    sequences, length, logits = _lengths(given, kind, notes)
    return Pass(
        sequences=sequences,
        length=length,
        logits=logits,
        element=precision.element,
        residual=weight,
        logit=4 if autocast or weight == 4 else 2,
        # Measured (benchmarks/memory.py losses): without temperature and in bf16 the loss needs two.
        copies=2 if kind not in GENERATING and not autocast and weight == 2 else 4,
        attention=_attention(given),
        frozen=not full,
        lora_rank=0 if full else given.number("lora_rank", 8),
        lora_targets=[] if full else given.listed("target_modules", ["all-linear"]),
        lora_dropout=given.share("lora_dropout", 0.05) > 0,
        lora_cast=sharding.engine != "deepspeed" and precision.adapters == 4,
        checkpointing=given.flag("gradient_checkpointing", True) or sharding.engine == "fsdp",
    )


def _mixed(given: Arguments, dtype: str) -> bool:
    """model_args.py _init_mixed_precision: bf16 for bfloat16, fp16 for float16 and for float32."""
    brain = dtype == "bfloat16"
    return given.flag("bf16", brain) or given.flag("fp16", not brain)


def _attention(given: Arguments) -> str:
    """The attention. transformers' default is sdpa, which gets a mask if the batch is padded."""
    name = given.text("attn_impl", "sdpa")
    packed = given.flag("padding_free", False) or given.flag("packing", False)
    if name == "eager":
        return "eager"
    return "fused" if packed or name.startswith(("flash", "kernels")) else "masked"


def _lengths(given: Arguments, kind: str, notes: list[str]) -> tuple[int, int, int]:
    """The sequences of a micro-batch, their length, and the number of tokens for which logits are made.

    For GRPO max_length limits the prompt, and logits are made only for the completion, unless the
    batch is packed into one row (rlhf_trainers/utils.py collate_to_grpo_micro_batch).
    """
    rows = given.number("per_device_train_batch_size", 1)
    parts = given.number("sequence_parallel_size", 1)
    sequences = rows * (2 if kind in _PAIRS else 1)
    bound = given.number("max_length", 0)
    if kind not in GENERATING:
        length = -(-(bound or ASSUMED_LENGTH) // parts)
        if not bound:
            notes.append(f"examples of {ASSUMED_LENGTH} tokens are assumed: max_length is not set")
        return sequences, length, 0 if kind == "rm" else sequences * length
    prompt = bound or ASSUMED_PROMPT
    if not bound:
        notes.append(f"prompts of {prompt} tokens are assumed: max_length is not set")
    completion = 512
    for name in ("max_completion_length", "max_new_tokens", "response_length"):
        completion = given.number(name, completion)
    length = -(-(prompt + completion) // parts)
    packed = given.flag("padding_free", False)
    whole = packed or kind == "gkd" or parts > 1
    return sequences, length, sequences * (length if whole else completion)


def _vllm(given: Arguments, kind: str, config: ModelConfig) -> Vllm | None:
    if kind not in ("grpo", "gkd") or not given.flag("use_vllm", False):
        return None
    if given.text("vllm_mode", "colocate") != "colocate":
        return None
    level = given.share("sleep_level", 0)
    return Vllm(
        share=given.share("vllm_gpu_memory_utilization", 0.9),
        parallel=given.number("vllm_tensor_parallel_size", 1),
        sleep_level=int(level),
        longest=given.number("vllm_max_model_len", config.max_position_embeddings),
    )


def other_roles(values: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """The other models: role, name (empty: the same model as the policy), and whether it is offloaded."""
    given = Arguments(values)
    kind = given.text("rlhf_type", "grpo")
    full = given.text("tuner_type", "lora") == "full"
    found: list[tuple[str, str, bool]] = []
    # rlhf_args.py __post_init__; a LoRA's reference is the model without its adapters.
    silent = kind == "grpo" and given.share("beta", 0.04) == 0
    if full and kind in _REFERENCED and not silent:
        found.append(("reference", given.text("ref_model"), False))
    if kind in ("grpo", "ppo"):
        rewards = given.listed("reward_model", [])
        found += [("reward", name, False) for name in rewards]
        if kind == "ppo":  # pipelines/train/rlhf.py: the value model starts as the reward model
            found += [("value", name, False) for name in rewards[:1]]
    teacher = given.text("teacher_model")
    own = teacher == given.text("model") and not full and not given.listed("teacher_adapters", [])
    if kind in ("grpo", "gkd") and teacher and not own:
        found.append(("teacher", teacher, given.flag("offload_teacher_model", False)))
    return found
