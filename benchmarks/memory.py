"""How far the memory forecast differs from real torch, transformers, peft, trl and ms-swift.

    python -m benchmarks.memory             all of it: about 5 min on 2 cores, 2 GB
    python -m benchmarks.memory passes      one part: counts, passes, adapters, losses, steps

No GPU is needed. The models run on torch's meta device: shapes, types and lifetimes of all tensors are
real and of full size, but they hold no numbers. A dispatch mode adds up the tensors' storages while they
live. It does not see what a GPU needs besides: CUDA's context, workspaces inside kernels, rounding and
fragmentation of the allocator, NCCL, vLLM.

counts    parameters of every model in the table
passes    forward and backward of one micro-batch: what is kept, and the peak, per attention
adapters  the same with LoRA
losses    logits and loss of GRPO (trl's selective_log_softmax), with entropy, and of DPO
steps     whole training steps with AdamW: the peak of each moment against the forecast
"""

from __future__ import annotations

import importlib
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from prl_submit.memory.activations import (
    Pass,
    checkpoints,
    layer_peak,
    logits_peak,
    saved_layer,
)
from prl_submit.memory.fitting import Inputs, settings_of
from prl_submit.memory.forecast import Forecast, forecast
from prl_submit.memory.known import known_config, known_models
from prl_submit.memory.model import ModelConfig, parameters

MODELS = (
    "qwen2.5-0.5b",
    "qwen2.5-7b",
    "qwen3-0.6b",
    "qwen3-8b",
    "llama-3.2-1b",
    "llama-3.1-8b",
    "mistral-7b-v0.3",
    "qwen3-30b-a3b",
)
BATCHES = ((4, 1024), (1, 4096))
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Live(TorchDispatchMode):  # type: ignore[misc]  # torch has no types here
    """Counts the bytes of all living storages: now, and at most since `forget`."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: dict[int, int] = {}

    def add(self, tensor: Any) -> None:
        """Count a tensor's storage, unless it was counted already."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._known:
            self._known[key] = storage.nbytes()
            self.live += self._known[key]
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.live -= self._known.pop(key, 0)

    def forget(self) -> None:
        """Begin a new peak with what lives now."""
        self.peak = self.live

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count the tensors that it returns."""
        out = func(*args, **(kwargs or {}))
        for item in tree_leaves(out):
            if isinstance(item, torch.Tensor):
                self.add(item)
        return out


def _repeat(states: Any, groups: int) -> Any:
    return importlib.import_module("transformers.integrations.sdpa_attention").repeat_kv(
        states, groups
    )


def _fused(module: Any, q: Any, k: Any, v: Any, mask: Any, scaling: Any = None, **_: Any) -> Any:
    """Flash attention's own operator, which saves queries, keys, values and output."""
    attend = torch.ops.aten._scaled_dot_product_flash_attention
    out = attend(q, k, v, 0.0, True, scale=scaling)[0]
    return out.transpose(1, 2).contiguous(), None


def _masked(module: Any, q: Any, k: Any, v: Any, mask: Any, scaling: Any = None, **_: Any) -> Any:
    """The operator that sdpa uses on CUDA with a mask: keys and values repeated, the mask as a bias."""
    groups = q.shape[1] // k.shape[1]
    k, v = _repeat(k, groups), _repeat(v, groups)
    bias = torch.zeros(mask.shape, dtype=q.dtype, device=q.device)
    bias = bias.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    attend = torch.ops.aten._scaled_dot_product_efficient_attention
    out = attend(q, k, v, bias, True, scale=scaling)[0]
    return out.transpose(1, 2).contiguous(), None


def prepare() -> None:
    """Make torch use attention and dropout as on CUDA, and not look into masks, which hold no numbers."""
    transformers.AttentionInterface.register("prl_fused", _fused)
    transformers.AttentionInterface.register("prl_masked", _masked)
    masks = importlib.import_module("transformers.masking_utils")
    setattr(masks, "find_packed_sequence_indices", lambda positions: None)  # noqa: B010

    def dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        return torch.native_dropout(x, p, training)[0] if training and p else x

    torch.nn.functional.dropout = (
        dropout  # on CUDA it keeps a mask of booleans, on the CPU one of floats
    )


def real_config(config: ModelConfig) -> Any:
    """The config as an object of transformers."""
    plain = msgspec.to_builtins(config)
    skipped = ("torch_dtype", "dtype", "qkv_bias", "quantization_config")
    given = {key: value for key, value in plain.items() if value and key not in skipped}
    return transformers.AutoConfig.for_model(**given)


def build(config: ModelConfig, attention: str = "fused", dtype: Any = torch.bfloat16) -> Any:
    """A model on the meta device, ready to train."""
    names = {"fused": "prl_fused", "masked": "prl_masked", "eager": "eager"}
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            real_config(config), dtype=dtype, attn_implementation=names[attention]
        )
    return model.train()


def count(model: Any) -> int:
    """The number of parameters."""
    return sum(item.numel() for item in model.parameters())


def forward(model: Any, run: Pass, keep: int) -> Any:
    """Run the model; the logits of the last `keep` + 1 tokens of each sequence."""
    ids = torch.zeros(run.sequences, run.length, dtype=torch.long, device="meta")
    mask = None
    if run.attention == "masked":
        shape = (run.sequences, 1, run.length, run.length)
        mask = torch.zeros(shape, dtype=torch.bool, device="meta")
    return model(
        input_ids=ids, use_cache=False, logits_to_keep=keep + 1, attention_mask=mask
    ).logits


def grpo_loss(logits: Any, keep: int, cast: bool) -> Any:
    """The loss as in grpo_trainer.py, _get_logps_via_local_forward.

    `cast`: the logits become float32, as accelerate's convert_outputs_to_fp32 does.
    """
    select = importlib.import_module("trl.trainer.utils").selective_log_softmax
    logits = logits.float() if cast else logits
    logits = logits[:, -(keep + 1) : -1, :]
    logits.div_(0.9)
    ids = torch.zeros(logits.shape[:2], dtype=torch.long, device=logits.device)
    return select(logits, ids).sum()


def measure(model: Any, run: Pass, keep: int, *, cast: bool = True) -> tuple[int, int]:
    """Bytes that live after the forward, and at most during the loss and the backward."""
    live = Live()
    for item in model.parameters():
        live.add(item)
    before = live.live
    with live:
        logits = forward(model, run, keep)
        kept = live.live - before
        loss = grpo_loss(logits, keep, cast)
        del logits
        live.forget()
        loss.backward()
    return kept, live.peak - before


def frozen(config: ModelConfig, run: Pass) -> Any:
    """A model without trained weights, because their gradients would hide what else the backward needs."""
    model = build(config, run.attention)
    model.requires_grad_(False)
    model.enable_input_require_grads()
    if run.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def adapted_model(config: ModelConfig, run: Pass) -> Any:
    """A model with a LoRA in bf16, as DeepSpeed trains it."""
    peft = importlib.import_module("peft")
    dropout = 0.05 if run.lora_dropout else 0.0
    wanted = peft.LoraConfig(r=run.lora_rank, target_modules=run.lora_targets, lora_dropout=dropout)
    with torch.device("meta"):
        model = peft.get_peft_model(build(config, run.attention), wanted)
    model.to(torch.bfloat16).enable_input_require_grads()
    if run.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def off(forecast_bytes: float, real: float) -> str:
    """How far the forecast is above the real value, such as `+1.3%`."""
    return f"{forecast_bytes / real - 1:+.1%}"


def counts() -> Iterator[list[str]]:
    """A row for each model: its published, counted and real number of parameters."""
    for name, published in known_models().items():
        config = known_config(name)
        assert config is not None
        real = count(build(config))
        yield [name, f"{published:,}", str(parameters(config).total - real), str(published - real)]


def passes() -> Iterator[list[str]]:
    """A row for each model and batch: bytes kept without checkpointing, frozen and trained; peaks with it."""
    for name in MODELS:
        config = known_config(name)
        assert config is not None
        for attention in ("fused", "masked", "eager"):
            for sequences, length in BATCHES:
                if attention == "eager" and length > 2000:
                    continue
                run = Pass(
                    sequences=sequences,
                    length=length,
                    logits=sequences,
                    attention=attention,
                    frozen=True,
                )
                yield [name, attention, f"{sequences} x {length}", *_pass(config, run)]


def _pass(config: ModelConfig, run: Pass) -> list[str]:
    layers = config.num_hidden_layers
    plain = msgspec.structs.replace(run, checkpointing=False)
    kept, _ = measure(frozen(config, plain), plain, 1)
    trained = msgspec.structs.replace(plain, frozen=False)
    kept_trained, _ = measure(build(config, run.attention), trained, 1)
    _, peak = measure(frozen(config, run), run, 1)
    half = run.length // 2
    much = msgspec.structs.replace(run, logits=run.sequences * half)
    _, high = measure(frozen(config, much), much, half)
    base = checkpoints(config, run)
    largest = max(logits_peak(config, much), layer_peak(config, much))
    return [
        off(layers * saved_layer(config, plain), kept),
        off(layers * saved_layer(config, trained), kept_trained),
        off(base + layer_peak(config, run), peak),
        off(base + largest, high),
    ]


def adapters() -> Iterator[list[str]]:
    """A row for each LoRA: bytes kept without checkpointing, and the peak with it."""
    for name in ("qwen2.5-0.5b", "qwen2.5-7b", "llama-3.1-8b"):
        config = known_config(name)
        assert config is not None
        for targets in (LINEARS, ["q_proj", "v_proj"]):
            for dropout in (True, False):
                run = Pass(
                    sequences=2,
                    length=1024,
                    logits=2,
                    attention="fused",
                    frozen=True,
                    lora_rank=8,
                    lora_targets=targets,
                    lora_dropout=dropout,
                )
                plain = msgspec.structs.replace(run, checkpointing=False)
                kept, _ = measure(adapted_model(config, plain), plain, 1)
                _, peak = measure(adapted_model(config, run), run, 1)
                wanted = checkpoints(config, run) + layer_peak(config, run)
                yield [
                    name,
                    "all" if targets is LINEARS else "q, v",
                    "0.05" if dropout else "0",
                    off(config.num_hidden_layers * saved_layer(config, plain), kept),
                    off(wanted, peak),
                ]


def losses() -> Iterator[list[str]]:
    """A row for each loss: its peak in bytes per logit. The forecast takes 16 after autocast, else 8."""
    utils = importlib.import_module("trl.trainer.utils")
    rows, keep, vocabulary = 4, 256, 32_000

    def grpo(cast: bool) -> Callable[[Any], Any]:
        return lambda logits: grpo_loss(logits, keep, cast)

    def entropy(logits: Any) -> Any:
        logits = logits.float()[:, -(keep + 1) : -1, :]
        logits.div_(0.9)
        ids = torch.zeros(logits.shape[:2], dtype=torch.long, device="meta")
        values = utils.entropy_from_logits(logits)
        return utils.selective_log_softmax(logits, ids).sum() + 0 * values.detach().sum()

    def preference(cast: bool) -> Callable[[Any], Any]:
        def loss(logits: Any) -> Any:
            logits = logits.float() if cast else logits
            ids = torch.zeros(logits.shape[:2], dtype=torch.long, device="meta")
            means = logits.mean(-1)  # rlhf_mixin.py get_per_token_logps
            return utils.selective_log_softmax(logits, ids).sum() + 0 * means.detach().sum()

        return loss

    for name, loss in (
        ("grpo, autocast", grpo(True)),
        ("grpo, deepspeed", grpo(False)),
        ("grpo with entropy, autocast", entropy),
        ("dpo, autocast", preference(True)),
        ("dpo, deepspeed", preference(False)),
    ):
        live = Live()
        hidden = torch.zeros(rows, keep + 1, 8, dtype=torch.bfloat16, device="meta")
        weight = torch.zeros(vocabulary, 8, dtype=torch.bfloat16, device="meta")
        with live:
            logits = torch.nn.functional.linear(hidden.requires_grad_(), weight)
            value = loss(logits)
            del logits
            value.backward()
        yield [name, f"{live.peak / (rows * keep * vocabulary):.1f}"]


def steps() -> Iterator[list[str]]:
    """A row for each model and batch: the peaks of the second step of a full training with AdamW."""
    for name in ("qwen2.5-0.5b", "qwen2.5-7b", "llama-3.2-1b", "llama-3.1-8b", "qwen3-8b"):
        for rows, prompt, completion in ((4, 256, 768), (1, 1024, 1024)):
            config = known_config(name)
            assert config is not None
            values = {
                "model": name,
                "rlhf_type": "grpo",
                "beta": 0,
                "tuner_type": "full",
                "torch_dtype": "bfloat16",
                "attn_impl": "flash_attn",
                "optim": "adamw_torch",  # the fused kernel, the default, does not run on the meta device
                "per_device_train_batch_size": rows,
                "max_length": prompt,
                "max_completion_length": completion,
                "offload_model": True,  # leaves out the generation, which is not measured here
            }
            settings = settings_of(Inputs(values, 1, config, {}))
            assert settings is not None
            wanted = forecast(settings, 0)
            assert wanted is not None
            yield [name, f"{rows} x {prompt}+{completion}", *_step(config, settings.run, wanted)]


def _step(config: ModelConfig, run: Pass, wanted: Forecast) -> list[str]:
    real = step_peaks(config, run, run.logits // run.sequences)
    return [
        f"{real[m.name] / 2**30:.2f} ({off(m.total - m.parts.get('overhead', 0), real[m.name])})"
        for m in wanted.moments
        if m.name in real
    ]


def step_peaks(config: ModelConfig, run: Pass, keep: int, device: str = "meta") -> dict[str, int]:
    """The peak of each moment of the second step, in bytes, with weights and optimizer."""
    model = build(config, run.attention)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    live = Live()
    for item in model.parameters():
        live.add(item)
    found = {}
    loss_peak: list[int] = []

    def head_is_done(_: Any) -> None:
        """Note the peak of the loss: it ends with the gradient of lm_head."""
        loss_peak.append(live.peak)
        live.forget()

    # A head that shares the embeddings' weights gets its gradient at the very end. So the hook is at the
    # norm before it.
    model.model.norm.weight.register_post_accumulate_grad_hook(head_is_done)
    with live:
        for _ in range(2):
            live.forget()
            loss = grpo_loss(forward(model, run, keep), keep, True)
            loss_peak.clear()
            loss.backward()
            found = {"loss": loss_peak[0], "backward": live.peak}
            live.forget()
            optimizer.step()
            found["optimizer step"] = live.peak
            optimizer.zero_grad()
            del loss
    return found


PARTS: dict[str, tuple[list[str], Callable[[], Iterator[list[str]]]]] = {
    "counts": (["model", "published", "counted - real", "published - real"], counts),
    "passes": (
        ["model", "attention", "batch", "kept, frozen", "kept, trained", "peak", "logits"],
        passes,
    ),
    "adapters": (["model", "targets", "dropout", "kept", "peak"], adapters),
    "losses": (["loss", "bytes per logit"], losses),
    "steps": (["model", "batch", "loss, GiB", "backward, GiB", "optimizer step, GiB"], steps),
}


def main() -> None:
    """Print the tables in Markdown."""
    prepare()
    for name in sys.argv[1:] or PARTS:
        header, rows = PARTS[name]
        print(f"\n{name}\n\n| {' | '.join(header)} |\n|{' --- |' * len(header)}")
        for row in rows():
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
