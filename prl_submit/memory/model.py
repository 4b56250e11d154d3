"""From a model's config.json to its exact parameter counts. Pure.

Counted from the modules that transformers 5.19.0 builds (`models/<model_type>/modeling_*.py`);
tests/training/test_memory.py compares the counts with real models on the meta device.
"""

from __future__ import annotations

from typing import Any, Union

from msgspec import Struct

from prl_submit.system.reading import decode_json

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


class Family(Struct, frozen=True):
    """The peculiarities of a model_type, and the defaults of its config class."""

    key_value_heads: Union[int, None]
    #: The config's key that decides the biases of q, k and v; null: they are always there.
    qkv_bias: Union[str, None] = "never"
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    experts: bool = False
    head_dim: Union[int, None] = None


FAMILIES = {
    "llama": Family(None, "attention_bias", o_bias=True, mlp_bias=True),
    "mistral": Family(8),
    "qwen2": Family(32, None),
    "qwen2_moe": Family(16, "qkv_bias", experts=True),
    "qwen3": Family(32, "attention_bias", o_bias=True, qk_norm=True, head_dim=128),
    "qwen3_moe": Family(4, "attention_bias", o_bias=True, qk_norm=True, experts=True),
}


class ModelConfig(Struct, frozen=True, kw_only=True):
    """The keys of a config.json that decide sizes, under transformers' own names and defaults."""

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    num_key_value_heads: Union[int, None] = None
    head_dim: Union[int, None] = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    qkv_bias: bool = True
    mlp_bias: bool = False
    max_position_embeddings: int = 32768
    torch_dtype: Union[str, None] = None
    dtype: Union[str, None] = None
    quantization_config: Union[dict[str, Any], None] = None
    num_experts: int = 0
    num_local_experts: int = 0
    num_experts_per_tok: int = 8
    moe_intermediate_size: int = 0
    shared_expert_intermediate_size: int = 0
    decoder_sparse_step: int = 1
    mlp_only_layers: Union[list[int], None] = None

    @property
    def family(self) -> Family:
        """The peculiarities of the model_type."""
        return FAMILIES[self.model_type]

    @property
    def head(self) -> int:
        """The width of one head."""
        own = self.head_dim or self.family.head_dim
        return own or self.hidden_size // self.num_attention_heads

    @property
    def query(self) -> int:
        """The width of all query heads together."""
        return self.num_attention_heads * self.head

    @property
    def key_value(self) -> int:
        """The width of all key heads together. That of the value heads is the same."""
        heads = self.num_key_value_heads or self.family.key_value_heads
        return (heads or self.num_attention_heads) * self.head

    @property
    def stored(self) -> str:
        """The weights' dtype on disk: transformers 5 writes `dtype`, older ones `torch_dtype`."""
        return self.dtype or self.torch_dtype or "float32"

    @property
    def experts(self) -> int:
        """Experts per sparse layer; transformers 5 writes Qwen3's as num_local_experts."""
        return self.num_experts or self.num_local_experts

    @property
    def sparse_layers(self) -> int:
        """Layers with experts (modeling_qwen3_moe.py Qwen3MoeDecoderLayer)."""
        if not self.family.experts or self.experts <= 0:
            return 0
        dense = set(self.mlp_only_layers or ())
        step = self.decoder_sparse_step
        return sum(n not in dense and (n + 1) % step == 0 for n in range(self.num_hidden_layers))


class Parameters(Struct, frozen=True):
    """Parameter counts by part. `lm_head` is 0 if it is tied to the embeddings."""

    embeddings: int
    attention: int
    mlp: int
    experts: int
    norms: int
    lm_head: int

    @property
    def total(self) -> int:
        """All parameters, as `sum(p.numel() for p in model.parameters())` counts them."""
        outer = self.embeddings + self.lm_head + self.norms
        return outer + self.attention + self.mlp + self.experts

    @property
    def linear(self) -> int:
        """The weights inside the layers, which bitsandbytes quantises. It does not quantise lm_head."""
        return self.attention + self.mlp

    @property
    def head(self) -> int:
        """The parameters of the matrix that makes the logits: lm_head, or the embeddings if it is tied to them."""
        return self.lm_head or self.embeddings


class Linear(Struct, frozen=True):
    """One kind of `nn.Linear` of the layers: its name, inputs, outputs, how many, and bias."""

    name: str
    inputs: int
    outputs: int
    count: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        """The parameters of all linears of this kind."""
        return (self.inputs + self.bias) * self.outputs * self.count


#: No model has a number above this. Such a file is not a config, and counting would take for ever.
MOST, MOST_LAYERS = 100_000_000, 10_000


def read_config(raw: bytes) -> ModelConfig | None:
    """The config in a file's bytes; None if the architecture or a value is not understood."""
    try:
        config = decode_json(raw, ModelConfig)
    except ValueError:  # msgspec's own errors, and text that is not UTF-8
        return None
    if config.model_type not in FAMILIES:
        return None
    sizes = [config.hidden_size, config.intermediate_size, config.num_hidden_layers]
    sizes += [config.num_attention_heads, config.vocab_size, config.decoder_sparse_step]
    is_sane = min(sizes) > 0 and max(sizes) <= MOST and config.num_hidden_layers <= MOST_LAYERS
    return config if is_sane and config.head > 0 else None


def linears(config: ModelConfig) -> list[Linear]:
    """Every kind of `nn.Linear` in the decoder layers; experts are other modules in transformers 5."""
    family = config.family
    qkv = family.qkv_bias is None or bool(getattr(config, family.qkv_bias, False))
    out = family.o_bias and config.attention_bias
    layers, hidden, query, pairs = (
        config.num_hidden_layers,
        config.hidden_size,
        config.query,
        config.key_value,
    )
    found = [
        Linear("q_proj", hidden, query, layers, qkv),
        Linear("k_proj", hidden, pairs, layers, qkv),
        Linear("v_proj", hidden, pairs, layers, qkv),
        Linear("o_proj", query, hidden, layers, out),
    ]
    sparse = config.sparse_layers
    found += _mlp(config, config.intermediate_size, layers - sparse)
    if sparse and config.model_type == "qwen2_moe":
        found += _mlp(config, config.shared_expert_intermediate_size, sparse)
        found.append(Linear("shared_expert_gate", hidden, 1, sparse))
    return found


def _mlp(config: ModelConfig, size: int, count: int) -> list[Linear]:
    if not count:
        return []
    bias, hidden = config.family.mlp_bias and config.mlp_bias, config.hidden_size
    return [
        Linear("gate_proj", hidden, size, count, bias),
        Linear("up_proj", hidden, size, count, bias),
        Linear("down_proj", size, hidden, count, bias),
    ]


def parameters(config: ModelConfig) -> Parameters:
    """The exact parameter counts by part."""
    found = linears(config)
    attention = sum(item.parameters for item in found[:4])
    layers, hidden = config.num_hidden_layers, config.hidden_size
    # Each sparse layer: a router, and gate, up and down of each expert (Qwen3MoeExperts, …TopKRouter).
    expert = 3 * hidden * config.moe_intermediate_size
    norms = (2 * layers + 1) * hidden
    embeddings = config.vocab_size * hidden
    return Parameters(
        embeddings=embeddings,
        attention=attention,
        mlp=sum(item.parameters for item in found[4:]),
        experts=config.sparse_layers * config.experts * (expert + hidden),
        norms=norms + (2 * config.head * layers if config.family.qk_norm else 0),
        lm_head=0 if config.tie_word_embeddings else embeddings,
    )


def adapted(config: ModelConfig, targets: list[str]) -> list[Linear] | None:
    """The linears that a LoRA adapts; None if that is not known.

    `targets` as ms-swift takes them; `all-linear`: all but lm_head (swift/utils/transformers_utils.py
    find_all_linears).
    """
    found = linears(config)
    names = {target.rpartition(".")[2] for target in targets}
    if "all-linear" in names:
        names = {item.name for item in found}
    if not names or not names <= {item.name for item in found}:
        return None
    if config.model_type == "qwen3_moe" and not names <= set(ATTENTION):
        return None  # peft 0.20 takes these names for the experts' own parameters
    return [item for item in found if item.name in names]


def lora_parameters(config: ModelConfig, rank: int, targets: list[str]) -> int | None:
    """Trainable parameters of a LoRA: rank x (inputs + outputs) of each adapted linear."""
    found = adapted(config, targets)
    if found is None:
        return None
    return sum(rank * (item.inputs + item.outputs) * item.count for item in found)
