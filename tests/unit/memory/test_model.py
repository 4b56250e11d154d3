"""Counts from first principles: small models whose matrices can be counted by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from prl_submit.memory.known import known_config, known_models
from prl_submit.memory.model import (
    ModelConfig,
    adapted,
    linears,
    lora_parameters,
    parameters,
    read_config,
)

#: Two layers, hidden 8, MLP 16, 4 heads of 2, 2 key/value heads, 10 words.
SMALL = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 10,
}


DEEP = b'{"quantization_config": ' + b"[" * 100_000


def small(**more: object) -> ModelConfig:
    """The small model with other keys."""
    config = read_config(msgspec.json.encode({**SMALL, **more}))
    assert config is not None
    return config


def test_llama_by_hand() -> None:
    """q and o 8x8, k and v 8x4, three 8x16 matrices, two norms per layer and one at the end."""
    counts = parameters(small())
    assert counts.embeddings == counts.lm_head == counts.head == 80
    assert counts.attention == 2 * (64 + 32 + 32 + 64)
    assert counts.mlp == counts.linear - counts.attention == 2 * 3 * 128
    assert counts.norms == 2 * 2 * 8 + 8
    assert counts.total == 80 + 80 + 384 + 768 + 40


def test_biases_norms_and_ties() -> None:
    """What families differ in."""
    plain = parameters(small())
    tied = parameters(small(tie_word_embeddings=True))
    assert (tied.lm_head, tied.head, plain.total - tied.total) == (0, 80, 80)
    assert parameters(small(model_type="qwen2")).attention == plain.attention + 2 * (8 + 4 + 4)
    biased = parameters(small(attention_bias=True, mlp_bias=True))
    assert biased.attention == plain.attention + 2 * (8 + 4 + 4 + 8)
    assert biased.mlp == plain.mlp + 2 * (16 + 16 + 8)
    assert parameters(small(model_type="mistral", attention_bias=True)).total == plain.total
    normed = parameters(small(model_type="qwen3", head_dim=2))
    assert normed.norms == plain.norms + 2 * 2 * 2
    assert small(model_type="qwen3").head == 128  # the class's default, whatever the hidden size


def test_experts_by_hand() -> None:
    """Every second layer has three experts of width 4 and a router; qwen2's a shared one too."""
    sparse: dict[str, Any] = {
        "num_experts": 3,
        "moe_intermediate_size": 4,
        "decoder_sparse_step": 2,
    }
    config = small(model_type="qwen3_moe", **sparse)
    assert config.sparse_layers == 1
    counts = parameters(config)
    assert counts.experts == 3 * (3 * 8 * 4) + 3 * 8
    assert counts.mlp == 3 * 128
    shared = small(
        model_type="qwen2_moe", shared_expert_intermediate_size=5, qkv_bias=False, **sparse
    )
    assert parameters(shared).mlp == 3 * 128 + 3 * 8 * 5 + 8
    dense = small(model_type="qwen3_moe", mlp_only_layers=[0, 1], **sparse)
    assert parameters(dense).experts == 0
    # transformers 5 writes num_experts under its other name.
    renamed: dict[str, Any] = {
        "num_local_experts": 3,
        "moe_intermediate_size": 4,
        "decoder_sparse_step": 2,
    }
    assert parameters(small(model_type="qwen3_moe", **renamed)).experts == counts.experts


def test_dtype_has_two_names() -> None:
    """transformers 5 writes `dtype`."""
    assert small().stored == "float32"
    assert small(torch_dtype="float16").stored == "float16"
    assert small(torch_dtype="float16", dtype="bfloat16").stored == "bfloat16"


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mamba"},
        {"hidden_size": 0},
        {"hidden_size": "8"},
        {"num_attention_heads": 16},  # heads of width 0
        {"decoder_sparse_step": 0},
        {"vocab_size": None},
        {"num_hidden_layers": 10**12},
        {"hidden_size": 10**12},
    ],
)
def test_unknown_is_none(change: dict[str, object]) -> None:
    """Another architecture or a value that makes no sense."""
    assert read_config(msgspec.json.encode({**SMALL, **change})) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff\xfe", b'{"model_type": "llama"}', DEEP])
def test_damaged_is_none(raw: bytes) -> None:
    """A file that is no config."""
    assert read_config(raw) is None


def test_lora_by_hand() -> None:
    """rank x (inputs + outputs) of each adapted matrix."""
    config = small()
    assert lora_parameters(config, 3, ["q_proj"]) == 3 * (8 + 8) * 2
    assert lora_parameters(config, 1, ["q_proj", "v_proj"]) == ((8 + 8) + (8 + 4)) * 2
    every = sum((item.inputs + item.outputs) * item.count for item in linears(config))
    assert lora_parameters(config, 8, ["all-linear"]) == 8 * every
    assert lora_parameters(config, 1, ["self_attn.q_proj"]) == 32
    assert lora_parameters(config, 8, ["lm_head"]) is None
    assert lora_parameters(config, 8, []) is None


def test_experts_are_not_adapted() -> None:
    """transformers 5 keeps experts in parameters of their own, which all-linear passes over."""
    sparse: dict[str, Any] = {
        "model_type": "qwen3_moe",
        "num_experts": 3,
        "moe_intermediate_size": 4,
    }
    found = adapted(small(**sparse), ["all-linear"])
    assert found is not None
    assert [item.name for item in found] == ["q_proj", "k_proj", "v_proj", "o_proj"]
    assert adapted(small(mlp_only_layers=[0], **sparse), ["all-linear"]) is None


def test_table_counts_as_published() -> None:
    """Every row's sizes make the published number of parameters."""
    for name, published in known_models().items():
        config = known_config(name)
        assert config is not None, name
        assert parameters(config).total == published, name


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", 7615616512),
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct", 494032768),
        ("qwen/Qwen2.5-Math-72B", 72706203648),
        ("LLM-Research/Meta-Llama-3.1-8B-Instruct", 8030261248),
        ("LLM-Research/Meta-Llama-3-8B-Instruct", 8030261248),
        ("meta-llama/Llama-3.2-1B", 1235814400),
        ("meta-llama/Llama-2-7b-chat-hf", 6738415616),
        ("mistralai/Mistral-7B-Instruct-v0.3", 7248023552),
        ("Qwen/Qwen3-4B-Thinking-2507", 4022468096),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", 30532122624),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1777088000),
        ("Qwen2.5-7B", 7615616512),
    ],
)
def test_hub_names(name: str, published: int) -> None:
    """With and without organisation and variant."""
    config = known_config(name)
    assert config is not None
    assert parameters(config).total == published


@pytest.mark.parametrize(
    "name",
    ["Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-VL-7B-Instruct", "gpt2", "", "my/Qwen2.5-7Bx"],
)
def test_other_names_are_unknown(name: str) -> None:
    """Quantised, multimodal and foreign models have other sizes."""
    assert known_config(name) is None
