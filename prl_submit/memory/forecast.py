"""From settings to the GPU memory of one rank: the bytes of each part at each moment of a step. Pure.

No moment needs all parts: the logits exist while the loss is computed, all gradients only at the end of the
backward pass, vLLM's cache only while vLLM generates. So the parts are added for each moment, and the
largest sum is the forecast. docs/memory-method.md has the formulas and their sources.
"""

from __future__ import annotations

from msgspec import Struct

from prl_submit.memory.activations import (
    checkpoints,
    key_value_cache,
    layer_peak,
    logits_peak,
    saved_layer,
)
from prl_submit.memory.model import ModelConfig, lora_parameters, parameters
from prl_submit.memory.settings import GENERATING, Settings

GIB = 2**30
MIB = 2**20

#: CUDA's context, cuBLAS workspaces and loaded kernels of one process (docs/memory-method.md, "Constants").
CONTEXT = 1 * GIB
#: NCCL's communicators, if there is more than one process.
NCCL = GIB // 2
#: A sleeping vLLM keeps its CUDA graphs and what is not in its allocator's pools.
ASLEEP = 3 * GIB // 2
#: ZeRO-1/2 of ms-swift's presets: reduce_bucket_size and allgather_bucket_size, elements.
BUCKET = 200_000_000
#: ZeRO-3 of ms-swift's presets: stage3_max_live_parameters and sub_group_size, elements.
LIVE = 1_000_000_000
#: The margin for error, as a share of what the trainer allocates. It was chosen, not measured: no GPU has
#: confirmed it, and GPU memory that others published differs by more (docs/memory-method.md, "How far off").
ALLOWANCE = 0.12

#: Optimizer -> bytes of state per parameter, in units of the parameter's own size, and absolute.
_STATES: dict[str, tuple[float, float]] = {
    "adafactor": (0, 0.02),
    "sgd": (0, 0),
    "adagrad": (1, 0),
    "rmsprop": (1, 0),
    "muon": (1, 0),
    "lion_32bit": (0, 4),
    "paged_lion_32bit": (0, 4),
    "lion_8bit": (0, 1.02),
    "paged_lion_8bit": (0, 1.02),
    "rmsprop_bnb_8bit": (0, 1.02),
    "paged_adamw_32bit": (0, 8),
    "adamw_bnb_8bit": (0, 2.03),
    "adamw_8bit": (0, 2.03),
    "paged_adamw_8bit": (0, 2.03),
    "adamw_torch_8bit": (0, 2.03),
    "adamw_torch_4bit": (0, 1.06),
}

#: For each part: its name in tables and messages, in the order of the table.
PARTS = {
    "weights": "weights",
    "gradients": "gradients",
    "buffers": "gradient buffers",
    "master": "fp32 master weights",
    "optimizer": "optimizer states",
    "reference": "reference model",
    "reward": "reward models",
    "teacher": "teacher model",
    "value": "value model",
    "activations": "activations",
    "logits": "logits and loss",
    "temporary": "temporary copies",
    "cache": "key-value cache",
    "vllm": "vLLM",
    "overhead": "CUDA and NCCL",
}


class Moment(Struct, frozen=True):
    """A moment of a step, and the bytes of each part at that moment."""

    name: str
    parts: dict[str, int]

    @property
    def total(self) -> int:
        """The bytes of all parts together."""
        return sum(self.parts.values())

    @property
    def margin(self) -> int:
        """The margin for error in bytes. vLLM's share needs none, because vLLM never takes more than its share."""
        overhead = self.parts.get("overhead", 0)
        sure = self.parts.get("vllm", 0) + overhead
        return int((self.total - sure) * ALLOWANCE) + overhead // 2


class Forecast(Struct, frozen=True):
    """The GPU memory of one rank. `parameters`, `trained`: how many parameters the policy has, and how many it trains."""

    moments: list[Moment]
    parameters: int
    trained: int
    notes: list[str]

    @property
    def peak(self) -> Moment:
        """The moment that needs most memory."""
        return max(self.moments, key=lambda moment: moment.total)


class _Trained(Struct, frozen=True):
    """The bytes that training one set of parameters takes on a rank."""

    gradients: int
    held: int
    buffers: int
    master: int
    optimizer: int
    step: int


def trained_parameters(settings: Settings) -> int | None:
    """How many of the policy's parameters are trained; None if the LoRA's targets are not known."""
    if settings.full:
        return parameters(settings.config).total
    return lora_parameters(settings.config, settings.lora_rank, settings.lora_targets)


def forecast(settings: Settings, gpu_bytes: int) -> Forecast | None:
    """The forecast; None if the trained parameters cannot be counted.

    `gpu_bytes`: the GPU's memory, of which vLLM takes a share.
    """
    trained = trained_parameters(settings)
    if trained is None:
        return None
    total = parameters(settings.config).total
    values = [o.config for o in settings.others if o.role == "value"]
    # PPO trains its value model like the policy.
    count = trained + (sum(parameters(c).total for c in values) if settings.full else 0)
    steady, training = _steady(settings, trained), _training(settings, count)
    awake = _awake(settings, steady, training)
    moments = [
        *_generation(settings, steady, training, gpu_bytes),
        Moment("loss", {**awake, **_loss(settings, training)}),
        Moment("backward", {**awake, **_backward(settings, training, count)}),
        Moment(
            "optimizer step", {**awake, "gradients": training.gradients, "temporary": training.step}
        ),
    ]
    vllm = _vllm_bytes(settings, gpu_bytes)
    if vllm:
        asleep = ASLEEP if settings.vllm and settings.vllm.sleep_level else vllm
        moments = [
            m if "vllm" in m.parts else Moment(m.name, {**m.parts, "vllm": asleep}) for m in moments
        ]
    return Forecast([_ordered(m) for m in moments], total, trained, settings.notes)


def vllm_needs(settings: Settings) -> int:
    """The bytes that vLLM's share must have at least: for the weights, and the cache of one longest sequence."""
    if settings.vllm is None:
        return 0
    weights = 2 * parameters(settings.config).total
    cache = key_value_cache(settings.config, 1, settings.vllm.longest, 2)
    return (weights + cache) // settings.vllm.parallel + GIB  # vLLM's activations, about


def _ordered(moment: Moment) -> Moment:
    return Moment(
        moment.name, {name: moment.parts[name] for name in PARTS if moment.parts.get(name)}
    )


def model_bytes(settings: Settings, config: ModelConfig) -> int:
    """The bytes of a model's weights when loaded. bitsandbytes quantises only the linears of the layers."""
    counts = parameters(config)
    if settings.quantised is None:
        return counts.total * settings.weight
    # 4 bit with double quantisation: 0.127 bits per weight for the scales (QLoRA, section 3).
    per_weight = 1.0 if settings.quantised == 8 else 0.5 + 0.127 / 8
    return int(counts.linear * per_weight) + (counts.total - counts.linear) * settings.weight


def _share(settings: Settings, size: int) -> int:
    """A rank's share of a model's weights. ZeRO-3 and FSDP divide them (frozen ones: trl prepare_deepspeed)."""
    sharding = settings.sharding
    if sharding.offload_weights:
        return 0
    return -(-size // settings.world) if sharding.stage == 3 else size


def _steady(settings: Settings, trained: int) -> dict[str, int]:
    """The weights of all models on a rank."""
    own = model_bytes(settings, settings.config)
    adapters = 0 if settings.full else trained * settings.trained
    fp32 = settings.sharding.engine == "fsdp" and settings.run.element == 2
    if fp32 and settings.full:  # accelerate fsdp2_prepare_model casts trained weights to fp32
        own = 2 * own if settings.weight == 2 else own
    found = {"weights": _share(settings, own + adapters)}
    for other in settings.others:
        size = _share(settings, model_bytes(settings, other.config))
        size = 0 if other.offloaded else size
        found[other.role] = found.get(other.role, 0) + size
    overhead = CONTEXT + (NCCL if settings.world > 1 else 0)
    return {**found, "overhead": overhead}


def _training(settings: Settings, count: int) -> _Trained:
    """The bytes of training, by engine: gradients and their buffers, master weights, optimizer and its step."""
    sharding, world = settings.sharding, settings.world
    relative, absolute = _STATES.get(settings.optimizer, (2, 0))
    if sharding.engine == "deepspeed":
        return _deepspeed(settings, count, int(-(-count // world)), 4 * relative + absolute)
    size = 4 if sharding.engine == "fsdp" and settings.run.element == 2 else settings.trained
    part = -(-count // world) if sharding.engine == "fsdp" else count
    state = int(part * (relative * size + absolute))
    gradients = part * size
    # adamw_torch steps over all parameters at once (torch/optim/adamw.py _multi_tensor_adamw).
    step = gradients if settings.optimizer == "adamw_torch" else 0
    buffers = gradients if sharding.engine == "ddp" else 0  # its buckets hold a second copy
    if sharding.offload_optimizer:
        return _Trained(gradients, 0, buffers, 0, 0, 0)
    held = gradients if settings.accumulating else 0
    return _Trained(gradients, held, buffers, 0, state, step)


def _deepspeed(settings: Settings, count: int, part: int, per_state: float) -> _Trained:
    """The bytes of training with ZeRO (deepspeed/runtime). Each rank has its part of the fp32 weights and states."""
    sharding, size = settings.sharding, settings.weight
    stage = sharding.stage
    master, state = 4 * part, int(per_state * part)
    bucket = min(BUCKET, count) * size
    step = 4 * part  # the partition's gradients in fp32
    if stage == 0:  # bf16_optimizer.py: an fp32 buffer of all gradients beside the bf16 ones
        buffers = 4 * count
        return _Trained(size * count, 0, buffers, master, state, 0)
    if stage == 1:
        gradients, held, buffers = size * count, 0, bucket
    elif stage == 2:
        gradients, held, buffers = size * part, 0, 2 * bucket
    else:  # stage3.py grad_partitions_flat_buffer is there from the start
        gradients = held = size * part
        buffers = 2 * min(settings.config.hidden_size**2, count) * size
        step = 4 * min(part, LIVE)
    if settings.accumulating:
        held = gradients
    if sharding.offload_optimizer:  # averaged gradients, master weights and states are in RAM
        kept = gradients if stage == 1 else 0
        return _Trained(kept, 0, buffers, 0, 0, 0)
    return _Trained(gradients, held, buffers, master, state, step)


def _awake(settings: Settings, steady: dict[str, int], training: _Trained) -> dict[str, int]:
    """The parts that exist at every moment of the training itself."""
    return {
        **steady,
        "buffers": training.buffers,
        "master": training.master,
        "optimizer": training.optimizer,
    }


def _gathered(settings: Settings) -> int:
    """The whole layers that ZeRO-3 and FSDP gather for a computation."""
    sharding = settings.sharding
    if sharding.stage != 3:
        return 0
    counts = parameters(settings.config)
    if sharding.engine == "deepspeed":
        return 2 * min(counts.total, LIVE)
    layers = counts.total - counts.embeddings - counts.lm_head
    return 2 * (2 * layers // settings.config.num_hidden_layers + counts.head)


def _loss(settings: Settings, training: _Trained) -> dict[str, int]:
    """The backward pass of the loss: all that the forward pass kept, and the logits with their gradients."""
    run, config = settings.run, settings.config
    logits = logits_peak(config, run) if run.logits else 0
    if settings.liger:  # liger_kernel's fused losses take the completions one by one
        rows = -(-run.logits // run.sequences)
        logits = 3 * 4 * rows * config.vocab_size + 4 * parameters(config).head
    elif settings.entropy:  # trl entropy_from_logits: measured, 2.5 bytes more per fp32 logit
        logits += 5 * run.logit * run.logits * config.vocab_size // 8
    if settings.rlhf_type == "gkd":  # the teacher's logits, and both distributions in fp32
        logits += (run.logit + 8) * run.logits * config.vocab_size
    copies = 2 * parameters(config).total if settings.weight == 4 and run.element == 2 else 0
    return {
        "gradients": training.held,
        "activations": _kept(settings),
        "logits": logits,
        "temporary": _gathered(settings) + copies,
    }


def _kept(settings: Settings) -> int:
    """The bytes that the forward pass keeps for the backward pass."""
    run, config = settings.run, settings.config
    if run.checkpointing:
        return checkpoints(config, run)
    return config.num_hidden_layers * saved_layer(config, run)


def _backward(settings: Settings, training: _Trained, count: int) -> dict[str, int]:
    """The moment of the backward pass that needs most, of three.

    At the last layer everything is still kept, and there are few gradients. At the first layer little is
    kept, and all gradients but those of the embeddings exist. At the end all gradients exist.
    """
    run, config = settings.run, settings.config
    layers, counts = config.num_hidden_layers, parameters(config)
    layer, kept = layer_peak(config, run), _kept(settings)
    inside = (counts.total - counts.embeddings - counts.lm_head) // layers
    head = counts.head if settings.full else 0
    late = inside + (0 if config.tie_word_embeddings else counts.embeddings)
    late = late if settings.full else 0

    def held(made: int) -> int:
        return max(training.held, training.gradients * made // max(count, 1))

    if run.checkpointing:
        first, last = kept + layer, kept // layers + layer
    else:
        first, last = kept - kept // layers + max(layer, kept // layers), layer
    # A tied matrix has two gradients and their sum, until they become one (measured).
    tied = 2 * settings.weight * head if config.tie_word_embeddings else 0
    moments = [(held(head), first), (held(count - late), last), (training.gradients, tied)]
    gradients, activations = max(moments, key=sum)
    return {
        "gradients": gradients,
        "activations": activations,
        "temporary": _gathered(settings),
    }


def _vllm_bytes(settings: Settings, gpu_bytes: int) -> int:
    return int(settings.vllm.share * gpu_bytes) if settings.vllm else 0


def _generation(
    settings: Settings, steady: dict[str, int], training: _Trained, gpu_bytes: int
) -> list[Moment]:
    """The moments of generation: weights are passed to vLLM, then vLLM generates. Without vLLM the trainer does."""
    if settings.rlhf_type not in GENERATING:
        return []
    idle = _awake(settings, steady, training)
    config, run = settings.config, settings.run
    if settings.vllm is None:
        if settings.rlhf_type == "grpo" and settings.offload_model:
            return []
        sequences = run.sequences * settings.per_generation
        cache = key_value_cache(config, sequences, run.length, settings.weight)
        return [Moment("generation", {**idle, "cache": cache, "temporary": _gathered(settings)})]
    share = _vllm_bytes(settings, gpu_bytes)
    weights = 2 * parameters(config).total // settings.vllm.parallel
    # rollout_mixin.py _move_full_model_to_vllm gathers all of ZeRO-3's parameters at once, unless
    # move_model_batches divides them. A vLLM that slept has only its weights at that moment.
    gathered = 0
    if settings.sharding.stage == 3 and settings.sharding.engine == "deepspeed":
        counts = parameters(config)
        layers = counts.total - counts.embeddings - counts.lm_head
        whole = counts.total if settings.move_batches == 1 else 0
        gathered = 2 * (whole or max(-(-layers // settings.move_batches), counts.total - layers))
    held = min(share, weights + ASLEEP) if settings.vllm.sleep_level else share
    handing = Moment("weights to vLLM", {**idle, "temporary": gathered, "vllm": held})
    away: set[str] = {"weights", "reference"} if settings.offload_model else set()
    away |= {"master", "optimizer"} if settings.offload_optimizer else set()
    left = {name: size for name, size in idle.items() if name not in away}
    return [handing, Moment("generation", {**left, "vllm": share})]
