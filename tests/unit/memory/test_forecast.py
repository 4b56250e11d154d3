"""The forecast's parts by hand, and what must hold for every job."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prl_submit.memory.fitting import Inputs, judge, proposals, settings_of
from prl_submit.memory.forecast import CONTEXT, GIB, MIB, NCCL, Forecast, forecast
from prl_submit.memory.gpus import gpu_sizes
from prl_submit.memory.known import known_config
from prl_submit.memory.model import ModelConfig, parameters
from prl_submit.memory.settings import read_sharding
from prl_submit.memory.words import document, hint, keys_of, message, rows, summary

H100 = 81559
FULL: dict[str, Any] = {"tuner_type": "full", "deepspeed": "zero2"}
BASE: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "rlhf_type": "grpo",
    "torch_dtype": "bfloat16",
    "per_device_train_batch_size": 4,
    "num_generations": 2,
    "max_completion_length": 768,
    "use_vllm": True,
    "vllm_mode": "colocate",
    "vllm_gpu_memory_utilization": 0.4,
}


def config(name: str = "qwen2.5-7b") -> ModelConfig:
    """A model of the table."""
    found = known_config(name)
    assert found is not None
    return found


def inputs(world: int = 4, raw: bytes | None = None, **more: Any) -> Inputs:
    """The 7B job with other arguments; null leaves one out."""
    values = {key: value for key, value in {**BASE, **more}.items() if value is not None}
    return Inputs(values, world, config(), {"qwen2.5-0.5b": config("qwen2.5-0.5b")}, raw)


def predict(world: int = 4, gpu: int = H100, raw: bytes | None = None, **more: Any) -> Forecast:
    """Its forecast."""
    verdict = judge(inputs(world, raw, **more), gpu)
    assert verdict is not None
    return verdict.forecast


def parts(found: Forecast, name: str) -> dict[str, int]:
    """The parts of one moment."""
    return next(moment.parts for moment in found.moments if moment.name == name)


P = 7_615_616_512


def test_full_training_on_one_gpu() -> None:
    """bf16 weights and gradients of 2 bytes, AdamW's two states in the weights' dtype, a reference."""
    found = predict(1, tuner_type="full", use_vllm=False, vllm_mode=None)
    step = parts(found, "optimizer step")
    assert step == {
        "weights": 2 * P,
        "gradients": 2 * P,
        "optimizer": 4 * P,
        "reference": 2 * P,
        "overhead": CONTEXT,
    }
    assert found.parameters == found.trained == P


def test_ddp_keeps_gradients_twice() -> None:
    """Its buckets are a second copy; NCCL comes in."""
    step = parts(predict(4, tuner_type="full", beta=0), "optimizer step")
    assert step["buffers"] == step["gradients"] == 2 * P
    assert step["overhead"] == CONTEXT + NCCL
    assert "reference" not in step


@pytest.mark.parametrize(
    ("name", "weights", "gradients", "master", "optimizer"),
    [
        ("zero0", 2 * P, 2 * P, P, 2 * P),
        ("zero1", 2 * P, 2 * P, P, 2 * P),
        ("zero2", 2 * P, P // 2, P, 2 * P),
        ("zero3", P // 2, P // 2, P, 2 * P),
        ("zero2_offload", 2 * P, 0, 0, 0),
        ("zero3_offload", 0, 0, 0, 0),
    ],
)
def test_zero_stages(name: str, weights: int, gradients: int, master: int, optimizer: int) -> None:
    """ZeRO, section 5: each stage shares one part more among four ranks."""
    step = parts(predict(4, tuner_type="full", deepspeed=name), "optimizer step")
    assert step.get("weights", 0) == weights
    assert step.get("gradients", 0) == gradients
    assert step.get("master", 0) == master
    assert step.get("optimizer", 0) == optimizer
    assert step.get("reference", 0) == (weights if name != "zero0" else 2 * P)


def test_lora() -> None:
    """fp32 adapters without DeepSpeed, no reference model: the base without adapters is one."""
    found = predict(1, use_vllm=False, vllm_mode=None)
    step = parts(found, "optimizer step")
    trained = 20_185_088  # peft's own count, tests/training/test_memory.py
    assert found.trained == trained
    assert step["weights"] == 2 * P + 4 * trained
    assert step["optimizer"] == 8 * trained
    assert "reference" not in step


def test_logits_by_hand() -> None:
    """Four fp32 tensors of batch x completion x vocabulary under autocast, four bf16 ones without."""
    logits = 4 * 768 * 152_064
    amp = parts(predict(), "loss")["logits"]
    deepspeed = parts(predict(deepspeed="zero2"), "loss")["logits"]
    assert 16 * logits < amp < 16.5 * logits
    assert 8 * logits < deepspeed < 8.5 * logits
    assert parts(predict(use_liger_kernel=True), "loss")["logits"] < amp / 2
    assert parts(predict(log_entropy=True), "loss")["logits"] > amp


def test_activations_by_hand() -> None:
    """One bf16 hidden state per layer and token."""
    kept = parts(predict(max_length=256), "loss")["activations"]
    assert kept == 28 * 4 * (256 + 768) * 3584 * 2
    everything = parts(predict(max_length=256, gradient_checkpointing=False), "loss")
    assert everything["activations"] > 10 * kept


def test_vllm_share_and_sleep() -> None:
    """A share of the GPU while it writes; asleep during the training."""
    awake = predict()
    assert all(moment.parts["vllm"] == int(0.4 * H100 * MIB) for moment in awake.moments)
    asleep = predict(sleep_level=1)
    assert parts(asleep, "generation")["vllm"] == int(0.4 * H100 * MIB)
    assert parts(asleep, "loss")["vllm"] == 3 * GIB // 2
    assert parts(asleep, "weights to vLLM")["vllm"] < parts(asleep, "generation")["vllm"]
    assert "vllm" not in parts(predict(vllm_mode="server"), "loss")


def test_weights_are_gathered_for_vllm() -> None:
    """ZeRO-3 gathers everything at once, unless move_model_batches cuts it."""
    whole = parts(predict(deepspeed="zero3"), "weights to vLLM")["temporary"]
    cut = parts(predict(deepspeed="zero3", move_model_batches=16), "weights to vLLM")["temporary"]
    assert whole == 2 * P
    assert cut == 4 * 152_064 * 3584  # embeddings and lm_head are the largest batch


def test_offload_while_generating() -> None:
    """Models and optimizer go to RAM for the time of the completions."""
    plain = parts(predict(**FULL), "generation")
    away = parts(predict(**FULL, offload_model=True, offload_optimizer=True), "generation")
    assert set(plain) - set(away) == {"weights", "reference", "master", "optimizer"}


def test_quantised_base() -> None:
    """bitsandbytes: the layers' linears, and nothing else."""
    counts = parameters(config())
    four = parts(predict(1, quant_bits="4"), "loss")["weights"]
    eight = parts(predict(1, quant_bits="8"), "loss")["weights"]
    rest = 2 * (counts.total - counts.linear) + 4 * 20_185_088
    assert eight == counts.linear + rest
    assert four == pytest.approx(0.516 * counts.linear + rest, rel=0.001)


@pytest.mark.parametrize(
    ("optimizer", "per_parameter"),
    [("sgd", 0), ("adamw_8bit", 2.03), ("lion_32bit", 4), ("rmsprop", 2), ("adamw_torch", 4)],
)
def test_optimizers(optimizer: str, per_parameter: float) -> None:
    """States of a bf16 parameter in bytes; adamw_torch makes one more copy in its step."""
    step = parts(predict(1, tuner_type="full", optim=optimizer), "optimizer step")
    assert step.get("optimizer", 0) == int(per_parameter * P)
    assert step.get("temporary", 0) == (2 * P if optimizer == "adamw_torch" else 0)


def test_precisions() -> None:
    """fp32 weights stay fp32 under autocast and become half under DeepSpeed."""
    assert parts(predict(1, tuner_type="full", torch_dtype="float32"), "loss")["weights"] == 4 * P
    shared = predict(4, tuner_type="full", torch_dtype="float32", deepspeed="zero2")
    assert parts(shared, "loss")["weights"] == 2 * P
    pure = predict(1, tuner_type="full", bf16=False, use_vllm=False, vllm_mode=None)
    assert parts(pure, "loss")["logits"] < parts(predict(1, tuner_type="full"), "loss")["logits"]


def test_fsdp() -> None:
    """FSDP2 casts what is trained to fp32 and shares everything."""
    step = parts(predict(4, tuner_type="full", fsdp="fsdp2"), "optimizer step")
    assert (step["weights"], step["gradients"], step["optimizer"]) == (P, P, 2 * P)
    assert step["reference"] == P // 2


@pytest.mark.parametrize(
    ("kind", "reference"),
    [("dpo", True), ("kto", True), ("orpo", False), ("cpo", False), ("simpo", False)],
)
def test_preferences(kind: str, reference: bool) -> None:
    """No generation; a reference model where the loss has one; pairs are two sequences."""
    found = predict(rlhf_type=kind, tuner_type="full", use_vllm=None, vllm_mode=None)
    assert ("reference" in parts(found, "loss")) is reference
    assert [moment.name for moment in found.moments] == ["loss", "backward", "optimizer step"]
    assert found.notes == ["examples of 2048 tokens are assumed: max_length is not set"]
    rows_ = 4 if kind == "kto" else 8
    assert parts(found, "loss")["activations"] == 28 * rows_ * 2048 * 3584 * 2


def test_reward_model_training_has_no_logits() -> None:
    """Its head has one output."""
    assert "logits" not in parts(predict(rlhf_type="rm", use_vllm=None, vllm_mode=None), "loss")


def test_ppo_has_four_models() -> None:
    """Policy, reference, reward and a trained value model."""
    small = parameters(config("qwen2.5-0.5b")).total
    more: dict[str, Any] = {
        "rlhf_type": "ppo",
        "reward_model": "qwen2.5-0.5b",
        "use_vllm": None,
        "vllm_mode": None,
    }
    step = parts(predict(1, tuner_type="full", **more), "optimizer step")
    assert (step["reward"], step["value"], step["reference"]) == (2 * small, 2 * small, 2 * P)
    assert step["optimizer"] == 4 * (P + small)


def test_teachers() -> None:
    """A model of its own, in RAM where asked; the policy's own base for a LoRA."""
    more: dict[str, Any] = {"rlhf_type": "gkd", "use_vllm": None, "vllm_mode": None}
    small = parameters(config("qwen2.5-0.5b")).total
    assert parts(predict(teacher_model="qwen2.5-0.5b", **more), "loss")["teacher"] == 2 * small
    away = predict(teacher_model="qwen2.5-0.5b", offload_teacher_model=True, **more)
    assert "teacher" not in parts(away, "loss")
    assert "teacher" not in parts(predict(teacher_model=BASE["model"], **more), "loss")


def test_unknown_models_are_named() -> None:
    """They are not counted, and the table says so."""
    found = predict(reward_model=["who/knows"])
    assert "the reward model who/knows is not counted: its sizes are not known" in found.notes


def test_unknown_targets_have_no_forecast() -> None:
    """Nor has a deepspeed file that is not understood."""
    assert judge(inputs(target_modules=["c_attn"]), H100) is None
    assert judge(inputs(deepspeed="mine.json", raw=b"?"), H100) is None


@pytest.mark.parametrize(
    ("document_", "stage", "optimizer", "weights"),
    [
        (b'{"zero_optimization": {"stage": 2}}', 2, False, False),
        (
            b'{"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"},'
            b' "offload_optimizer": {"device": "nvme"}}}',
            3,
            True,
            True,
        ),
    ],
)
def test_deepspeed_files(document_: bytes, stage: int, optimizer: bool, weights: bool) -> None:
    """A file of one's own, or the same inline."""
    from msgspec.json import decode

    for given_, raw in (
        ("a.json", document_),
        (decode(document_), None),
        (document_.decode(), None),
    ):
        found = read_sharding({"deepspeed": given_}, 4, raw)
        assert found is not None
        assert (found.stage, found.offload_optimizer, found.offload_weights) == (
            stage,
            optimizer,
            weights,
        )


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"zero_optimization": {"stage": 7}}', b"{"])
def test_other_files_are_not_understood(raw: bytes) -> None:
    """Of either kind."""
    assert read_sharding({"deepspeed": "a.json"}, 4, raw) is None


def test_fsdp_files() -> None:
    """Weights that stay whole, and offload."""
    whole = read_sharding(
        {"fsdp": "a.json"},
        4,
        b'{"fsdp": "offload", "fsdp_config": {"reshard_after_forward": false}}',
    )
    assert whole is not None
    assert (whole.engine, whole.stage, whole.offload_optimizer) == ("fsdp", 2, True)
    assert read_sharding({"fsdp": "a.json"}, 4, b"[") is None


def test_generation_without_vllm() -> None:
    """The trainer's own generate keeps keys and values of the whole generation batch."""
    found = predict(use_vllm=None, vllm_mode=None, max_length=256, steps_per_generation=3)
    cache = parts(found, "generation")["cache"]
    assert cache == 2 * 28 * 512 * 2 * (4 * 3) * (256 + 768)


def test_wrong_types_count_as_not_given() -> None:
    """`explain` also runs on a spec with errors."""
    odd = predict(
        max_length="long", sleep_level=None, lora_rank=0, lora_dropout="x", reward_model=3
    )
    assert odd.notes == ["prompts of 512 tokens are assumed: max_length is not set"]


def test_attention_by_hand() -> None:
    """Masked sdpa repeats keys and values to all heads; eager keeps its scores; packed keeps neither."""
    here: dict[str, Any] = {"max_length": 256, "gradient_checkpointing": False}
    tokens, layers = 4 * 1024, 28
    kept = {
        name: parts(predict(**here, attn_impl=name), "loss")["activations"]
        for name in ("flash_attn", "sdpa", "eager")
    }
    query, pairs = 3584, 512
    repeated = layers * tokens * (2 * 2 * (query - pairs) + 2 * 1024)
    assert kept["sdpa"] - kept["flash_attn"] == repeated
    scores = layers * tokens * (28 * 1024 * (4 + 2) - 2 * 1024)
    assert kept["eager"] - kept["sdpa"] == scores
    packed = parts(predict(**here, padding_free=True), "loss")
    assert packed["activations"] == kept["flash_attn"]
    assert packed["logits"] > parts(predict(**here), "loss")["logits"]  # the prompts' too


def test_lora_without_dropout_shares_its_inputs() -> None:
    """q, k and v read one hidden state; under autocast each has a cast of its own."""
    here: dict[str, Any] = {"gradient_checkpointing": False, "deepspeed": "zero2"}
    shared = parts(predict(**here, lora_dropout=0.0), "loss")["activations"]
    masked = parts(predict(**here), "loss")["activations"]
    cast = parts(predict(**{**here, "deepspeed": None}, lora_dropout=0.0), "loss")["activations"]
    assert shared < cast
    assert shared < masked
    tokens = 4 * (512 + 768)
    inputs_ = 2 * 3584 + 18944  # qkv's, gate's and up's, down's; o's is the attention's output
    bare = 28 * tokens * (2 * inputs_ + 7 * 2 * 8)
    fixed = parts(predict(**here, lora_dropout=0.0, target_modules=["q_proj"]), "loss")
    only = 28 * tokens * (2 * 3584 + 2 * 8)
    assert shared - bare == fixed["activations"] - only


def test_experts_by_hand() -> None:
    """30B-A3B: eight experts' hidden and intermediate states per token, as grouped_mm has them."""
    sparse = Inputs({**BASE, "tuner_type": "full", "beta": 0}, 8, config("qwen3-30b-a3b"), {})
    verdict = judge(sparse, 143771, {"gradient_checkpointing": False})
    adapted = judge(sparse, 143771, {"tuner_type": "lora", "target_modules": ["q_proj"]})
    assert verdict is not None
    assert adapted is not None
    tokens = 4 * (512 + 768)
    kept = parts(verdict.forecast, "loss")["activations"]
    assert kept > 48 * tokens * 2 * 8 * (4 * 768 + 2 * 2048)
    first, last = parts(adapted.forecast, "loss"), parts(adapted.forecast, "backward")
    assert first["activations"] == 48 * tokens * 2048 * 2
    assert last["activations"] > tokens * 2 * (4 * 8 * 2048 + 3 * 8 * 768)


SIZES = st.integers(1, 8)
STAGES = st.sampled_from([None, "zero0", "zero1", "zero2", "zero3", "zero2_offload"])
TUNERS = st.sampled_from(["full", "lora"])


@given(batch=SIZES, length=st.integers(1, 4096), stage=STAGES, tuner=TUNERS, deep=st.booleans())
def test_longer_and_more_need_more(
    batch: int, length: int, stage: str | None, tuner: str, deep: bool
) -> None:
    """Monotone in the batch and in both lengths."""
    more: dict[str, Any] = {"deepspeed": stage, "tuner_type": tuner, "gradient_checkpointing": deep}
    here: dict[str, Any] = {"per_device_train_batch_size": batch, "max_length": length}
    base = predict(**more, **here).peak.total
    assert predict(**more, **{**here, "per_device_train_batch_size": batch + 1}).peak.total >= base
    assert predict(**more, **{**here, "max_length": length + 64}).peak.total >= base
    assert predict(**more, **here, max_completion_length=800).peak.total >= base


@given(batch=SIZES, length=st.integers(1, 4096), world=st.sampled_from([2, 4, 8, 64]))
def test_stages_never_need_more(batch: int, length: int, world: int) -> None:
    """Of what lies on a rank between steps: each ZeRO stage at most as much as the one before."""
    here: dict[str, Any] = {
        "per_device_train_batch_size": batch,
        "max_length": length,
        "tuner_type": "full",
    }
    sizes = []
    for stage in ("zero1", "zero2", "zero3"):
        step = parts(predict(world, deepspeed=stage, **here), "optimizer step")
        kept = ("weights", "gradients", "master", "optimizer", "reference")
        sizes.append(sum(step.get(name, 0) for name in kept))
    assert sizes == sorted(sizes, reverse=True)


@given(stage=STAGES, tuner=TUNERS, world=st.sampled_from([2, 4, 8]))
def test_more_ranks_never_need_more(stage: str | None, tuner: str, world: int) -> None:
    """Parts are shared or they are not."""
    more: dict[str, Any] = {"deepspeed": stage, "tuner_type": tuner}
    assert predict(2 * world, **more).peak.total <= predict(world, **more).peak.total


JOBS = st.fixed_dictionaries(
    {
        "deepspeed": STAGES,
        "tuner_type": TUNERS,
        "per_device_train_batch_size": SIZES,
        "max_length": st.sampled_from([None, 512, 4096]),
        "sleep_level": st.sampled_from([None, 0, 1]),
        "vllm_gpu_memory_utilization": st.sampled_from([0.1, 0.3, 0.5, 0.9]),
        "use_vllm": st.booleans(),
        "gradient_checkpointing": st.sampled_from([None, False]),
        "steps_per_generation": st.sampled_from([None, 2]),
    }
)


@given(job=JOBS, world=st.sampled_from([1, 4]), gpu=st.sampled_from([23028, 40960, H100, 143771]))
def test_every_proposal_fits(job: dict[str, Any], world: int, gpu: int) -> None:
    """With its margin, and vLLM starts; a smaller batch leaves the generation batch as it was."""
    found = inputs(world, **job)
    for change in proposals(found, gpu):
        verdict = judge(found, gpu, change)
        assert verdict is not None
        assert verdict.surely, change
        assert verdict.fits
        assert change.items() - found.values.items(), "it changes something"
        if "per_device_train_batch_size" in change:
            steps = change.get("gradient_accumulation_steps", 1)
            assert (
                change["per_device_train_batch_size"] * steps == job["per_device_train_batch_size"]
            )


def test_proposals_of_the_example_job() -> None:
    """A full training of 7B on four H100."""
    found = proposals(inputs(tuner_type="full"), H100)
    assert {"deepspeed": "zero3", "move_model_batches": 16} in found
    assert hint(found).startswith("these fit: deepspeed zero3 with move_model_batches 16; or ")
    assert hint([]) == "no setting makes it fit: take more or larger GPUs, or a smaller model"
    assert proposals(inputs(1, tuner_type="full", use_vllm=None, vllm_mode=None), 15360) != []


def test_vllm_must_hold_its_weights_and_a_sequence() -> None:
    """A tenth of an H100 is less than the weights of 7B."""
    verdict = judge(inputs(vllm_gpu_memory_utilization=0.1), H100)
    assert verdict is not None
    assert not verdict.starts
    assert not verdict.fits
    assert "vLLM's share of each h100's 79.6 GiB is 8.0 GiB; it needs about" in message(
        verdict, "each h100's"
    )
    assert "vLLM cannot start in its share" in summary(verdict, "each h100's")[1]


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        (40960, "It will not fit."),
        (57000, "It may not fit."),
        (58500, "It barely fits."),
        (H100, "It fits."),
    ],
)
def test_verdicts(gpu: int, words: str) -> None:
    """Surely, perhaps, barely: by the margin."""
    verdict = judge(inputs(vllm_gpu_memory_utilization=31.9 * 1024 / gpu), gpu)
    assert verdict is not None
    assert summary(verdict, "the GPU's")[1].endswith(f". {words}")


def test_words() -> None:
    """The message has numbers, the table every part of every moment."""
    verdict = judge(inputs(tuner_type="full"), H100)
    assert verdict is not None
    text = message(verdict, "each h100's")
    assert text.startswith(
        "will not fit: needs about 118.6 GiB, allowing 11.0 for error, of each h100's"
    )
    assert "(vLLM 31.9, optimizer states 28.4, weights 14.2, " in text
    assert keys_of(verdict.forecast.peak)[0] == "vllm_gpu_memory_utilization"
    header, lines = rows(verdict)
    assert header[0] == "GIB PER RANK"
    assert all(len(line) == len(header) == len(verdict.moments) + 1 for line in lines)
    assert lines[0] == ["weights", *["14.2"] * 5]
    assert lines[-2][0] == "all together"
    plain = document(verdict, "each h100's")
    for moment in plain["moments"]:
        assert moment["total"] == sum(moment["parts"].values())
    assert plain["verdict"] == "will not fit"


def test_settings_follow_a_change_of_deepspeed() -> None:
    """A proposal's preset does not read the file that the spec names."""
    raw = b'{"zero_optimization": {"stage": 3}}'
    settings = settings_of(inputs(deepspeed="a.json", raw=raw), {"deepspeed": "zero1"})
    assert settings is not None
    assert settings.sharding.stage == 1
    assert forecast(settings, H100 * MIB) is not None


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("h100", (81559,)),
        ("H100_SXM", (81559,)),
        ("NVIDIA H100 80GB HBM3", (81559,)),
        ("NVIDIA H100 NVL", (95830,)),
        ("a100", (40960, 81920)),
        ("a100-80gb", (81920,)),
        ("NVIDIA A100-PCIE-40GB", (40960,)),
        ("a100_30gb", (40960, 81920)),
        ("Tesla-V100-SXM2-16GB", (16384,)),
        ("l4", (23034,)),
        ("l40s", (46068,)),
        ("NVIDIA GeForce RTX 4090", (24564,)),
        ("a1000", ()),
        ("mi300x", ()),
        ("", ()),
    ],
)
def test_gpus(name: str, sizes: tuple[int, ...]) -> None:
    """Slurm's types and nvidia-smi's names."""
    assert gpu_sizes(name) == sizes
