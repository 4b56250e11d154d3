"""Ignored arguments change nothing: each type logs the same numbers with and without them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prl_submit.rules.ignored import READERS
from tests.training.configurations import TYPES, argv, short

pytestmark = pytest.mark.training

#: Values other than the default, for arguments that are neither a number nor a boolean.
WORDS: dict[str, Any] = {
    "reward_funcs": ["format"],
    "reward_weights": ["0.5", "0.5"],
    "reward_model_plugin": ["genrm"],
    "reward_model_type": ["qwen2", "qwen2"],
    "reward_template": ["chatml"],
    "reward_model_revision": ["x"],
    "reward_adapters": ["x"],
    "chord_sft_dataset": ["no_such.jsonl"],
    "completion_length_limit_scope": "total",
    "gym_env": "x",
    "scale_rewards": "batch",
    "importance_sampling_level": "sequence",
    "advantage_estimator": "rloo",
    "advantage_reweight": "rlsd",
    "rollout_importance_sampling_mode": "token_mask",
    "use_vllm": "true",
    "vllm_mode": "colocate",
    "vllm_limit_mm_per_prompt": '{"image": 2}',
    "vllm_speculative_config": '{"method": "ngram"}',
    "vllm_engine_kwargs": '{"load_format": "dummy"}',
    "vllm_quantization": "fp8",
    "vllm_reasoning_parser": "x",
    "vllm_server_base_url": ["http://127.0.0.1:1"],
    "vllm_server_host": ["127.0.0.1"],
    "vllm_server_port": ["1"],
    "vllm_server_group_port": ["1"],
    "teacher_tag_key": "x",
    "multi_turn_scheduler": "x",
    "teacher_model": "no/such",
    "teacher_adapters": ["x"],
    "teacher_model_type": "qwen2",
    "teacher_model_revision": "x",
    "teacher_deepspeed": "zero3",
    "teacher_model_server": "http://127.0.0.1:1",
    "loss_type": ["nonsense"],
    "loss_weights": ["0.5", "0.5"],
    "ref_model_type": "qwen2",
    "ref_model_revision": "x",
}
WHOLE = set(
    "num_generations num_generations_eval num_iterations cosine_max_len repetition_n_grams "
    "chord_sft_per_device_train_batch_size chord_mu_warmup_steps chord_mu_decay_steps "
    "ref_model_sync_steps max_turns soft_max_length soft_cache_length rlsd_lambda_warmup_steps "
    "rlsd_lambda_decay_steps vllm_tensor_parallel_size vllm_pipeline_parallel_size "
    "vllm_data_parallel_size vllm_max_num_seqs vllm_max_model_len vllm_max_lora_rank sleep_level "
    "move_model_batches generation_batch_size steps_per_generation max_resample_times "
    "num_ppo_epochs num_mini_batches local_rollout_forward_batch_size num_sample_generations "
    "gkd_logits_topk".split()
)
SWITCHES = set(
    "chord_enable_phi_function sync_ref_model vllm_server_pass_dataset use_gym_env dynamic_sample "
    "overlong_filter log_entropy kl_in_reward rlsd_negative_only fipo_clip_high_only "
    "log_rollout_offpolicy_metrics vllm_enable_expert_parallel vllm_disable_custom_all_reduce "
    "vllm_enforce_eager vllm_enable_prefix_caching vllm_use_async_engine "
    "vllm_disable_cascade_attn vllm_enable_lora enable_flattened_weight_sync async_generate "
    "offload_optimizer offload_model wandb_log_unique_prompts log_completions "
    "offload_teacher_model whiten_rewards seq_kd".split()
)


def strange(name: str) -> Any:
    """A value that would change the training if something read it."""
    if name in WORDS:
        return WORDS[name]
    if name in WHOLE:
        return "3"
    return (
        "false"
        if name.startswith(("fipo_clip_high", "vllm_disable", "enable_"))
        else ("true" if name in SWITCHES else "0.37")
    )


def ignored_by(kind: str) -> dict[str, Any]:
    """All arguments that nothing reads in a training of this type."""
    names = {name for name, types in READERS.items() if kind not in types}
    if "loss_type" in names:
        names.discard("loss_weights")  # only dpo accepts the two together
    return {name: strange(name) for name in sorted(names)}


def numbers(folder: Path) -> list[dict[str, Any]]:
    """The logged numbers, without those that depend on time and memory."""
    lines = list(map(json.loads, (folder / "logging.jsonl").read_text().splitlines()))
    lines = [step for line in lines for step in line.get("log_history", [])]
    return [
        {
            key: value
            for key, value in line.items()
            if key != "eps" and not any(word in key for word in ("time", "speed", "memory"))
        }
        for line in lines
        if "loss" in line or "grad_norm" in line or "objective/kl" in line
    ]


def test_ignored_arguments_change_nothing(
    folder: Path, ask: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
) -> None:
    """The logs are equal bit for bit. All arguments are set at once, because each must change nothing."""
    questions = []
    kinds = [kind for kind in TYPES if kind != "simpo"]  # simpo is cpo with another loss
    for kind in kinds:
        for name, more in (("plain", {}), ("strange", ignored_by(kind))):
            words = argv(short(kind) | more)
            own = ["--output_dir", f"ignored/{kind}/{name}", "--add_version", "false"]
            questions.append({"argv": words + own, "world": 1, "run": True})
    errors = [answer["error"] for answer in ask(questions)]
    assert errors == [None] * len(questions)
    for kind in kinds:
        plain, changed = (
            numbers(folder / "ignored" / kind / name) for name in ("plain", "strange")
        )
        assert plain, kind
        assert plain == changed, kind
