"""The forecast against real models: transformers, peft, torch and trl, on the meta device."""

from __future__ import annotations

import importlib
import random
import warnings
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from prl_submit.memory.activations import Pass, checkpoints, layer_peak, logits_peak, saved_layer
from prl_submit.memory.fitting import Inputs, settings_of
from prl_submit.memory.forecast import forecast
from prl_submit.memory.known import known_config, known_models
from prl_submit.memory.model import (
    FAMILIES,
    ModelConfig,
    linears,
    lora_parameters,
    parameters,
    read_config,
)

pytestmark = pytest.mark.training

#: How far off the formulas may be against the tensors that torch really allocates.
COUNTED = 0.03

#: The families' sizes in small: what a formula says of 7B it must say of this too.
SMALL = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 4,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 32_000,
}


@pytest.fixture(scope="module")
def bench() -> Any:
    """benchmarks.memory, which needs torch; it replaces dropout and attention for this module alone."""
    torch = pytest.importorskip("torch")
    masks = importlib.import_module("transformers.masking_utils")
    name = "find_packed_sequence_indices"
    before = torch.nn.functional.dropout, getattr(masks, name)
    module = importlib.import_module("benchmarks.memory")
    module.prepare()
    yield module
    torch.nn.functional.dropout = before[0]
    setattr(masks, name, before[1])


def small(model_type: str, **more: Any) -> tuple[ModelConfig, Any]:
    """A config as transformers has it, and as read from what it writes."""
    transformers = importlib.import_module("transformers")
    real = transformers.AutoConfig.for_model(model_type, **{**SMALL, **more})
    config = read_config(real.to_json_string().encode())
    assert config is not None
    return config, real


def test_table_is_exact(bench: Any) -> None:
    """Every row, against the model made from it."""
    rows = {name: (known_config(name), count) for name, count in known_models().items()}
    assert len(rows) > 30
    # Names that stand for the same sizes are built once.
    for config, published in {msgspec.json.encode(row): row for row in rows.values()}.values():
        assert config is not None
        assert bench.count(bench.build(config)) == published == parameters(config).total


def shape(chance: random.Random, family: str) -> dict[str, Any]:
    """Odd sizes that the family allows."""
    pairs = chance.choice([1, 2, 4])
    heads, head = pairs * chance.choice([1, 2, 3]), chance.choice([8, 16, 32])
    found: dict[str, Any] = {
        "num_key_value_heads": pairs,
        "num_attention_heads": heads,
        "hidden_size": heads * head
        if family.startswith("qwen2")
        else 2 * heads * chance.randint(4, 12),
        "intermediate_size": chance.randint(8, 200),
        "num_hidden_layers": chance.randint(1, 5),
        "vocab_size": chance.randint(20, 500),
        "tie_word_embeddings": chance.random() < 0.5,
    }
    if not family.startswith("qwen2"):
        found["head_dim"] = head
    if family in ("llama", "qwen3", "qwen3_moe"):
        found["attention_bias"] = chance.random() < 0.5
    if family == "llama":
        found["mlp_bias"] = chance.random() < 0.5
    if FAMILIES[family].experts:
        found |= {
            "num_experts": chance.randint(2, 6),
            "num_experts_per_tok": 2,
            "moe_intermediate_size": chance.randint(4, 50),
            "decoder_sparse_step": chance.randint(1, 3),
            "mlp_only_layers": chance.choice([[], [0]]),
        }
    if family == "qwen2_moe":
        found |= {"shared_expert_intermediate_size": chance.randint(4, 50)}
        found["qkv_bias"] = chance.random() < 0.5
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_random_models_are_exact(family: str) -> None:
    """Forty of odd sizes: all parameters, and those of a LoRA for some."""
    torch = pytest.importorskip("torch")
    transformers = importlib.import_module("transformers")
    peft = importlib.import_module("peft")
    chance = random.Random(family)
    for number in range(40):
        sizes = shape(chance, family)
        config, real = small(family, **sizes)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(real)
        counted = sum(item.numel() for item in model.parameters())
        assert parameters(config).total == counted, sizes
        if number % 5:
            continue
        rank, targets = chance.randint(1, 16), chance.choice([["all-linear"], ["q_proj", "v_proj"]])
        wanted = lora_parameters(config, rank, targets)
        if wanted is None:
            continue
        names = [item.name for item in linears(config)] if targets == ["all-linear"] else targets
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted = peft.get_peft_model(
                model, peft.LoraConfig(r=rank, target_modules=sorted(set(names)))
            )
        trained = sum(item.numel() for item in adapted.parameters() if item.requires_grad)
        assert wanted == trained, sizes


def test_all_linear_is_ms_swifts() -> None:
    """Its find_all_linears names what `all-linear` stands for here."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("swift")
    transformers = importlib.import_module("transformers")
    find = importlib.import_module("swift.utils.transformers_utils").find_all_linears
    arch = SimpleNamespace(lm_head="lm_head")
    for family in ("llama", "qwen2", "qwen3", "mistral"):
        config, real = small(family)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(real)
        assert set(find(model, arch)) == {item.name for item in linears(config)}


@pytest.mark.parametrize("family", ["qwen2", "llama", "qwen3"])
@pytest.mark.parametrize("attention", ["fused", "masked"])
def test_activations(bench: Any, family: str, attention: str) -> None:
    """Kept tensors and peaks of one micro-batch, within the margin that the forecast states."""
    config, _ = small(family, num_hidden_layers=8)
    run = Pass(sequences=2, length=512, logits=2, attention=attention, frozen=True)
    _, peak = bench.measure(bench.frozen(config, run), run, 1)
    base = checkpoints(config, run)
    assert base + layer_peak(config, run) == pytest.approx(peak, rel=COUNTED)
    plain = Pass(
        sequences=2, length=512, logits=2, attention=attention, frozen=False, checkpointing=False
    )
    kept, _ = bench.measure(bench.build(config, attention), plain, 1)
    assert 8 * saved_layer(config, plain) == pytest.approx(kept, rel=COUNTED)
    much = Pass(sequences=2, length=512, logits=1000, attention=attention, frozen=True)
    _, peak = bench.measure(bench.frozen(config, much), much, 500)
    assert base + logits_peak(config, much) == pytest.approx(peak, rel=COUNTED)


@pytest.mark.parametrize("dropout", [True, False])
def test_adapters(bench: Any, dropout: bool) -> None:
    """A LoRA's copies of its inputs, and their masks."""
    config, _ = small("qwen2", num_hidden_layers=8)
    run = Pass(
        sequences=2,
        length=512,
        logits=2,
        attention="fused",
        frozen=True,
        lora_rank=8,
        lora_targets=bench.LINEARS,
        lora_dropout=dropout,
    )
    _, peak = bench.measure(bench.adapted_model(config, run), run, 1)
    assert checkpoints(config, run) + layer_peak(config, run) == pytest.approx(peak, rel=COUNTED)


@pytest.mark.parametrize("tied", [True, False])
def test_whole_steps(bench: Any, tied: bool) -> None:
    """Two steps of a full training with AdamW: each moment's peak, weights and states included."""
    config, _ = small("qwen2", tie_word_embeddings=tied, num_hidden_layers=8)
    values = {
        "model": "x",
        "rlhf_type": "grpo",
        "beta": 0,
        "tuner_type": "full",
        "torch_dtype": "bfloat16",
        "attn_impl": "flash_attn",
        "optim": "adamw_torch",
        "per_device_train_batch_size": 2,
        "max_length": 128,
        "max_completion_length": 384,
        "offload_model": True,
    }
    settings = settings_of(Inputs(values, 1, config, {}))
    assert settings is not None
    found = forecast(settings, 0)
    assert found is not None
    real = bench.step_peaks(config, settings.run, 384)
    for moment in found.moments:
        total = moment.total - moment.parts["overhead"]
        assert total == pytest.approx(real[moment.name], rel=COUNTED), moment.name


def test_optimizer_states_are_exact(bench: Any) -> None:
    """A real step of torch's AdamW on the CPU, fused as the default is: two states per parameter."""
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(100, 50, dtype=torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.ones(2, 100, dtype=torch.bfloat16)).sum().backward()
    live = bench.Live()
    with live:
        optimizer.step()
        optimizer.step()
    sizes = [
        state.numel() * state.element_size()
        for states in optimizer.state.values()
        for name, state in states.items()
        if name != "step"
    ]
    assert sum(sizes) == 2 * 2 * sum(item.numel() for item in model.parameters())
    assert live.peak < sum(sizes) + 1000  # and no temporary copies


@pytest.mark.filterwarnings("ignore")  # ms-swift's imports meet deprecated names of torch
@pytest.mark.parametrize(("cast", "per_logit"), [(True, 16), (False, 8)])
def test_logits_of_ms_swifts_own_code(bench: Any, cast: bool, per_logit: int) -> None:
    """The peak of GRPO's per-token log-probabilities, in its own method on a real tensor."""
    torch = pytest.importorskip("torch")
    trainer = importlib.import_module("swift.rlhf_trainers.grpo_trainer").GRPOTrainer
    rows, keep, vocabulary = 2, 64, 4096
    weight = torch.zeros(vocabulary, 8, dtype=torch.bfloat16)
    hidden = torch.zeros(rows, keep + 1, 8, dtype=torch.bfloat16, requires_grad=True)

    class Model:
        """Makes logits as lm_head does, and casts them as accelerate does."""

        def __call__(self, **_: Any) -> Any:
            logits = torch.nn.functional.linear(hidden, weight)
            return SimpleNamespace(logits=logits.float() if cast else logits)

    class Trainer:
        """What the method reads of its trainer."""

        model_kwarg_keys = ("logits_to_keep",)
        temperature = 0.9
        template = SimpleNamespace(padding_free=False)

    ids = torch.zeros(rows, keep + 1, dtype=torch.long)
    live = bench.Live()
    with live:
        logps, _ = trainer._get_logps_via_local_forward(Trainer(), Model(), {}, keep, ids)
        logps.sum().backward()
    assert live.peak == pytest.approx(per_logit * rows * keep * vocabulary, rel=COUNTED)
