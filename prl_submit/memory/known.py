"""Common models by name: the sizes of their config.json, for models that are not on this machine.

The totals beside them are the published ones; the tests compare them with real models made from
these numbers. Instruct, Math, Coder and dated variants have their base model's sizes.
"""

from __future__ import annotations

from prl_submit.memory.model import ModelConfig

#: name: (model_type, hidden, intermediate, layers, heads, key/value heads, vocabulary, tied,
#:        head_dim or 0, longest position, parameters)
_DENSE: dict[str, tuple[str, int, int, int, int, int, int, bool, int, int, int]] = {
    "qwen2.5-0.5b": ("qwen2", 896, 4864, 24, 14, 2, 151936, True, 0, 32768, 494032768),
    "qwen2.5-1.5b": ("qwen2", 1536, 8960, 28, 12, 2, 151936, True, 0, 32768, 1543714304),
    "qwen2.5-3b": ("qwen2", 2048, 11008, 36, 16, 2, 151936, True, 0, 32768, 3085938688),
    "qwen2.5-7b": ("qwen2", 3584, 18944, 28, 28, 4, 152064, False, 0, 32768, 7615616512),
    "qwen2.5-14b": ("qwen2", 5120, 13824, 48, 40, 8, 152064, False, 0, 32768, 14770033664),
    "qwen2.5-32b": ("qwen2", 5120, 27648, 64, 40, 8, 152064, False, 0, 32768, 32763876352),
    "qwen2.5-72b": ("qwen2", 8192, 29568, 80, 64, 8, 152064, False, 0, 32768, 72706203648),
    "qwen3-0.6b": ("qwen3", 1024, 3072, 28, 16, 8, 151936, True, 128, 40960, 596049920),
    "qwen3-1.7b": ("qwen3", 2048, 6144, 28, 16, 8, 151936, True, 128, 40960, 1720574976),
    "qwen3-4b": ("qwen3", 2560, 9728, 36, 32, 8, 151936, True, 128, 40960, 4022468096),
    "qwen3-8b": ("qwen3", 4096, 12288, 36, 32, 8, 151936, False, 128, 40960, 8190735360),
    "qwen3-14b": ("qwen3", 5120, 17408, 40, 40, 8, 151936, False, 128, 40960, 14768307200),
    "qwen3-32b": ("qwen3", 5120, 25600, 64, 64, 8, 151936, False, 128, 40960, 32762123264),
    "llama-2-7b": ("llama", 4096, 11008, 32, 32, 32, 32000, False, 0, 4096, 6738415616),
    "llama-3-8b": ("llama", 4096, 14336, 32, 32, 8, 128256, False, 0, 8192, 8030261248),
    "llama-3-70b": ("llama", 8192, 28672, 80, 64, 8, 128256, False, 0, 8192, 70553706496),
    "llama-3.1-8b": ("llama", 4096, 14336, 32, 32, 8, 128256, False, 0, 131072, 8030261248),
    "llama-3.1-70b": ("llama", 8192, 28672, 80, 64, 8, 128256, False, 0, 131072, 70553706496),
    "llama-3.2-1b": ("llama", 2048, 8192, 16, 32, 8, 128256, True, 64, 131072, 1235814400),
    "llama-3.2-3b": ("llama", 3072, 8192, 28, 24, 8, 128256, True, 128, 131072, 3212749824),
    "mistral-7b-v0.1": ("mistral", 4096, 14336, 32, 32, 8, 32000, False, 0, 32768, 7241732096),
    "mistral-7b-v0.3": ("mistral", 4096, 14336, 32, 32, 8, 32768, False, 0, 32768, 7248023552),
    "mistral-nemo-2407": (
        *("mistral", 5120, 14336, 40, 32, 8, 131072, False, 128, 131072),
        12247782400,
    ),
    # Not the sizes of the model they were trained from: these have an lm_head of their own.
    "deepseek-r1-distill-qwen-1.5b": (
        *("qwen2", 1536, 8960, 28, 12, 2, 151936, False, 0, 131072),
        1777088000,
    ),
}

#: name: (hidden, expert's intermediate, layers, heads, vocabulary, experts, dense intermediate,
#:        parameters); all have 8 experts per token, 4 key/value heads and heads of 128.
_EXPERTS: dict[str, tuple[int, int, int, int, int, int, int, int]] = {
    "qwen3-30b-a3b": (2048, 768, 48, 32, 151936, 128, 6144, 30532122624),
    "qwen3-235b-a22b": (4096, 1536, 94, 64, 151936, 128, 12288, 235093634560),
}

#: Other names for the same sizes.
_SAME = {
    "qwen2-0.5b": "qwen2.5-0.5b",
    "qwen2-1.5b": "qwen2.5-1.5b",
    "qwen2-7b": "qwen2.5-7b",
    "qwen2-72b": "qwen2.5-72b",
    "qwq-32b": "qwen2.5-32b",
    "llama-3.3-70b": "llama-3.1-70b",
    "mistral-7b-v0.2": "mistral-7b-v0.1",
    "deepseek-r1-distill-qwen-7b": "qwen2.5-7b",
    "deepseek-r1-distill-qwen-14b": "qwen2.5-14b",
    "deepseek-r1-distill-qwen-32b": "qwen2.5-32b",
    "deepseek-r1-distill-llama-8b": "llama-3.1-8b",
    "deepseek-r1-distill-llama-70b": "llama-3.1-70b",
}

#: Words of a name that change nothing about sizes; any other word (AWQ, GPTQ, VL, …) might.
_VARIANTS = frozenset(
    ("instruct", "chat", "base", "math", "coder", "hf", "meta", "thinking", "2507", "preview")
)


def known_config(model: str) -> ModelConfig | None:
    """The sizes of a hub id, with or without its organisation; None for any other."""
    words = model.rpartition("/")[2].lower().replace("llama3", "llama-3").split("-")
    name = "-".join(word for word in words if word not in _VARIANTS)
    name = _SAME.get(name, name)
    if name in _DENSE:
        return _dense(name)
    return _with_experts(name) if name in _EXPERTS else None


def known_models() -> dict[str, int]:
    """Every name of the table with its published number of parameters."""
    own = {name: row[-1] for table in (_DENSE, _EXPERTS) for name, row in table.items()}
    return {**own, **{name: own[same] for name, same in _SAME.items()}}


def _dense(name: str) -> ModelConfig:
    family, hidden, size, layers, heads, pairs, vocabulary, tied, head, positions, _ = _DENSE[name]
    return ModelConfig(
        model_type=family,
        hidden_size=hidden,
        intermediate_size=size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=pairs,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        head_dim=head or None,
        max_position_embeddings=positions,
        dtype="bfloat16",
    )


def _with_experts(name: str) -> ModelConfig:
    hidden, expert, layers, heads, vocabulary, experts, dense, _ = _EXPERTS[name]
    return ModelConfig(
        model_type="qwen3_moe",
        hidden_size=hidden,
        intermediate_size=dense,
        moe_intermediate_size=expert,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=4,
        head_dim=128,
        vocab_size=vocabulary,
        num_experts=experts,
        num_experts_per_tok=8,
        max_position_embeddings=40960,
        dtype="bfloat16",
    )
