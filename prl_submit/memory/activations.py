"""Bytes that a training pass holds besides weights and optimizer: formulas over a model's sizes.

Each was read off the tensors that transformers 5.19.0 and torch 2.13.0 keep, counted on the meta
device at full size (`python -m benchmarks.memory`); docs/memory-method.md derives them and states how far
off they are. H hidden, I intermediate, Q and K the widths of queries and keys, all per token.
"""

from __future__ import annotations

from msgspec import Struct

from prl_submit.memory.model import ATTENTION, Linear, ModelConfig, adapted

_MLP = ("gate_proj", "up_proj", "down_proj", "shared_expert_gate")


class Pass(Struct, frozen=True, kw_only=True):
    """One forward and backward of a micro-batch on one rank.

    `element`: bytes of an activation (2 in bf16 and fp16, 4 in fp32); `residual`: of a
    hidden state between layers; `logit`: of a logit that leaves the model (4 under autocast, whose
    outputs accelerate casts to fp32). `attention`: fused
    (flash), masked (sdpa with a padding mask) or eager.
    """

    sequences: int
    length: int
    logits: int
    element: int = 2
    residual: int = 2
    logit: int = 4
    #: Tensors of the logits' size that the loss's backward holds at once.
    copies: int = 4
    attention: str = "masked"
    frozen: bool = False
    lora_rank: int = 0
    lora_targets: list[str] = []
    lora_dropout: bool = True
    #: Adapters in fp32 under autocast: peft casts their inputs up, autocast casts them down again.
    lora_cast: bool = False
    checkpointing: bool = True

    @property
    def tokens(self) -> int:
        """Tokens of the micro-batch."""
        return self.sequences * self.length


def checkpoints(config: ModelConfig, run: Pass) -> int:
    """One hidden state per layer: what gradient checkpointing keeps (torch.utils.checkpoint)."""
    return config.num_hidden_layers * run.tokens * config.hidden_size * run.residual


def saved_layer(config: ModelConfig, run: Pass) -> int:
    """What autograd keeps of one decoder layer without checkpointing."""
    return run.tokens * (_norms(config, run) + _attention(config, run) + _mlp(config, run))


def layer_peak(config: ModelConfig, run: Pass) -> int:
    """The most that one layer holds while its backward runs, its saved tensors included.

    First the MLP's backward, then the norm before it, each with all that lies before it still
    saved; with eager attention the softmax's backward is larger than either.
    """
    hidden = config.hidden_size
    before = _norms(config, run) + _attention(config, run) + 2 * run.element * hidden
    # RMSNorm's backward makes five fp32 tensors of its input's size besides the saved one.
    norm = 20 * hidden
    if config.family.qk_norm:
        norm = max(norm, 20 * config.query - 4 * run.element * hidden)
    largest = max(_mlp_backward(config, run), norm)
    if run.attention == "eager":
        largest = max(largest, 6 * config.num_attention_heads * run.length)
    return run.tokens * (before + largest)


def logits_peak(config: ModelConfig, run: Pass) -> int:
    """The most that logits and the loss on them hold, in its backward.

    trl/trainer/utils.py selective_log_softmax, ms-swift grpo_trainer.py _get_logps_via_local_forward:
    the logits' own gradient, the one of the division by the temperature, and their copies.
    """
    head = run.tokens * 3 * run.element * config.hidden_size  # the last norm and its input
    return run.copies * run.logit * run.logits * config.vocab_size + head


def key_value_cache(config: ModelConfig, sequences: int, length: int, element: int) -> int:
    """Keys and values of all layers."""
    per_token = 2 * config.num_hidden_layers * config.key_value * element
    return per_token * sequences * length


def _norms(config: ModelConfig, run: Pass) -> int:
    """Two RMSNorms: input in fp32; trained or adapted ones also scaled input and output."""
    hidden = config.hidden_size
    fp32 = 0 if run.residual == 4 else 4
    kept = 0 if run.frozen else 2 * run.element
    total = 2 * hidden * (fp32 + kept)
    if config.family.qk_norm:
        total += (config.query + config.key_value) * (4 + (0 if run.frozen else run.element))
    return total + 8


def _attention(config: ModelConfig, run: Pass) -> int:
    """Queries, keys, values and output; masked sdpa repeats keys and values to every head."""
    query, pairs, element = config.query, config.key_value, run.element
    heads = config.num_attention_heads
    width = pairs if run.attention == "fused" else query
    total = 2 * element * (query + width) + 4 * heads
    if run.attention == "masked":
        total += element * run.length  # the mask as a bias, one row per token
    elif run.attention == "eager":
        total += heads * run.length * (4 + element)
    return total + _adapters(config, run, ATTENTION)


def _mlp(config: ModelConfig, run: Pass) -> int:
    """gate, up, their activation; trained ones also the product, down's input."""
    element, total = run.element, 0
    trained = 0 if run.frozen else 1
    layers = config.num_hidden_layers
    dense = layers - config.sparse_layers
    if dense:
        total += (3 + trained) * element * config.intermediate_size * dense
    if config.sparse_layers:
        wide, deep = _expert_widths(config)
        total += config.sparse_layers * element * ((3 + trained) * deep + (1 + trained) * wide)
        shared = config.shared_expert_intermediate_size
        total += config.sparse_layers * (3 + trained) * element * shared
    return -(-total // layers) + _adapters(config, run, _MLP)


def _mlp_backward(config: ModelConfig, run: Pass) -> int:
    element = run.element
    sizes = [6 * config.intermediate_size * (config.num_hidden_layers > config.sparse_layers)]
    if config.sparse_layers:
        wide, deep = _expert_widths(config)
        sizes.append(4 * wide + 3 * deep + 6 * config.shared_expert_intermediate_size)
    backward = max(sizes) * element
    names = {item.name for item in _adapted(config, run)}
    if "down_proj" in names:  # the end of the recomputed forward: down's adapter meets all the rest
        down = _copies(run) + (8 if run.lora_dropout else 4) * run.lora_cast
        backward = max(backward, (4 * element + down) * config.intermediate_size)
    return backward + _adapters(config, run, ("gate_proj", "up_proj"))


def _expert_widths(config: ModelConfig) -> tuple[int, int]:
    """Hidden and intermediate widths of a token, once for each of its experts (grouped_mm)."""
    chosen = config.num_experts_per_tok
    return chosen * config.hidden_size, chosen * config.moe_intermediate_size


def _adapted(config: ModelConfig, run: Pass) -> list[Linear]:
    return (adapted(config, run.lora_targets) or []) if run.lora_rank else []


def _copies(run: Pass) -> int:
    """Bytes kept per element of an adapted linear's input: after dropout with its mask, or as cast."""
    return run.element + (1 if run.lora_dropout else 0)


def _adapters(config: ModelConfig, run: Pass, names: tuple[str, ...]) -> int:
    """What LoRA keeps for these linears, per token and layer (peft lora/layer.py Linear.forward).

    Each adapter has an input of its own, unless nothing is done to it: then linears that read the
    same hidden state share one, and o_proj's is the attention's output, kept anyway.
    """
    seen: set[int] = set()
    total = 0
    for item in _adapted(config, run):
        if item.name not in names:
            continue
        kept = _copies(run) * item.inputs
        if not run.lora_dropout and not run.lora_cast:
            kept = 0 if item.name == "o_proj" or item.inputs in seen else kept
            seen.add(item.inputs)
        total += item.count * (kept + run.element * run.lora_rank)
    return total // config.num_hidden_layers
