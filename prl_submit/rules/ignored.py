"""Warnings for arguments that ms-swift accepts but does not read with the job's other arguments.

The tables come from the source of ms-swift 4.6.0: which configuration class in
swift/rlhf_trainers/arguments has the field, and which code reads it. tests/training/test_ignored.py trains
each rlhf type with and without its ignored arguments and compares the logs. Arguments such as temperature
and top_p are not in the tables, because every type writes them into the saved generation_config.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prl_submit.errors import Problem
from prl_submit.rules.job import Job

_GRPO, _ROLLOUT, _PPO, _GKD = ("grpo",), ("grpo", "gkd"), ("ppo",), ("gkd",)
_REWARDED, _REFERRING = ("ppo", "grpo"), ("dpo", "kto", "ppo", "grpo")

#: rlhf types, and the arguments that only these types read.
_READERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        _GRPO,
        "num_generations num_generations_eval reward_funcs reward_weights reward_model_plugin "
        "num_iterations epsilon epsilon_high delta cosine_min_len_value_wrong "
        "cosine_max_len_value_wrong cosine_min_len_value_correct cosine_max_len_value_correct "
        "cosine_max_len repetition_n_grams repetition_max_penalty chord_sft_dataset "
        "chord_sft_per_device_train_batch_size chord_enable_phi_function chord_mu_warmup_steps "
        "chord_mu_decay_steps chord_mu_peak chord_mu_valley sync_ref_model ref_model_sync_steps "
        "ref_model_mixup_alpha max_turns multi_turn_scheduler completion_length_limit_scope "
        "vllm_server_pass_dataset "
        "use_gym_env gym_env dynamic_sample overlong_filter soft_max_length soft_cache_length "
        "scale_rewards log_entropy top_entropy_quantile importance_sampling_level tau_pos tau_neg "
        "advantage_estimator kl_in_reward teacher_kl_coef advantage_reweight rlsd_lambda "
        "rlsd_reweight_clip_range rlsd_lambda_warmup_steps rlsd_lambda_decay_steps "
        "rlsd_negative_only sdar_loss_coef sdar_gate_beta real_tau fipo_decay_rate fipo_clip_range "
        "fipo_clip_high_only fipo_safety_threshold rollout_importance_sampling_mode "
        "rollout_importance_sampling_threshold log_rollout_offpolicy_metrics "
        "off_policy_sequence_mask_delta",
    ),
    (
        _ROLLOUT,
        "use_vllm vllm_mode vllm_gpu_memory_utilization vllm_tensor_parallel_size "
        "vllm_pipeline_parallel_size vllm_data_parallel_size vllm_enable_expert_parallel "
        "vllm_max_num_seqs vllm_max_model_len vllm_disable_custom_all_reduce vllm_enforce_eager "
        "vllm_limit_mm_per_prompt vllm_max_lora_rank vllm_enable_prefix_caching "
        "vllm_use_async_engine vllm_quantization vllm_reasoning_parser vllm_disable_cascade_attn "
        "vllm_mm_processor_cache_gb vllm_speculative_config vllm_engine_kwargs vllm_enable_lora "
        "vllm_server_base_url vllm_server_host vllm_server_port vllm_server_timeout "
        "vllm_server_group_port enable_flattened_weight_sync async_generate sleep_level "
        "move_model_batches offload_optimizer offload_model wandb_log_unique_prompts "
        "generation_batch_size steps_per_generation teacher_tag_key min_p log_completions "
        "max_resample_times teacher_model teacher_adapters teacher_model_type "
        "teacher_model_revision teacher_deepspeed teacher_model_server offload_teacher_model",
    ),
    (
        _PPO,
        "num_ppo_epochs whiten_rewards kl_coef cliprange vf_coef cliprange_value gamma lam "
        "num_mini_batches local_rollout_forward_batch_size num_sample_generations "
        "missing_eos_penalty",
    ),
    (_GKD, "sft_alpha lmbda seq_kd gkd_logits_topk"),
    (("dpo",), "rpo_alpha ld_alpha discopop_tau loss_weights"),
    (("dpo", "cpo", "simpo"), "label_smoothing"),
    (("cpo", "simpo"), "cpo_alpha simpo_gamma"),
    (("kto",), "desirable_weight undesirable_weight"),
    (("rm",), "center_rewards_coefficient"),
    (("dpo", "orpo", "simpo", "kto", "cpo", "grpo", "gkd"), "beta"),
    (("dpo", "simpo", "cpo", "kto", "grpo"), "loss_type"),
    (_REFERRING, "ref_model_type ref_model_revision"),
    (_REWARDED, "reward_model_type reward_template reward_model_revision reward_adapters"),
)
READERS = {name: types for types, names in _READERS for name in names.split()}

#: Argument -> the argument with which another rule refuses it, so that no warning is needed.
_REFUSED = {"loss_weights": "loss_type"}


def by_type(job: Job) -> Iterator[Problem]:
    """Arguments that the chosen rlhf_type never reads. The module's docstring has the source."""
    kind = job.rlhf_type
    for name in job.swift:
        types = READERS.get(name)
        if types is None or kind in types or not job.written(name):
            continue
        if job.swift[name] is False:
            continue  # the user switched the argument off, so ignoring it changes nothing
        if name in _REFUSED and job.get(_REFUSED[name], None) is not None:
            continue
        message = f"does nothing with rlhf_type {kind}; it is only for {' and '.join(types)}"
        yield job.warn(name, message, f"remove {name}")


#: Beginning of an argument's name -> the tuners that read it. LoRA's arguments are in `tuner.lora`.
_TUNERS = (
    ("adalora_", ("adalora",)),
    ("boft_", ("boft",)),
    ("vera_", ("vera",)),
    ("fourier_", ("fourierft",)),
    ("llamapro_", ("llamapro",)),
    ("adapter_act", ("adapter",)),
    ("adapter_length", ("adapter",)),
    ("reft_", ("reft", "bone")),
    ("lora_ga_", ("lora", "longlora")),
    ("freeze_parameters", ("full",)),
    ("trainable_parameters", ("full",)),
)
#: Beginning of an argument's name -> the argument that switches it on.
_SWITCHES = (
    ("galore_", "use_galore"),
    ("lisa_step_interval", "lisa_activated_layers"),
    ("rlsd_", "advantage_reweight"),
    ("sdar_gate_beta", "sdar_loss_coef"),
    ("ref_model_sync_steps", "sync_ref_model"),
    ("ref_model_mixup_alpha", "sync_ref_model"),
    ("chord_sft_per_device", "chord_sft_dataset"),
    ("chord_mu_", "chord_sft_dataset"),
    ("chord_enable_phi_function", "chord_sft_dataset"),
    ("max_turns", "multi_turn_scheduler"),
    ("vllm_gpu_memory_utilization", "use_vllm"),
    ("vllm_tensor_parallel_size", "use_vllm"),
    ("vllm_max_model_len", "use_vllm"),
    ("vllm_max_num_seqs", "use_vllm"),
    ("vllm_enforce_eager", "use_vllm"),
    ("vllm_enable_prefix_caching", "use_vllm"),
    ("vllm_enable_lora", "use_vllm"),
    ("vllm_engine_kwargs", "use_vllm"),
    ("vllm_limit_mm_per_prompt", "use_vllm"),
    ("sleep_level", "use_vllm"),
    ("swanlab_", "swanlab in report_to"),
)
#: Beginning of an argument's name -> the losses that read it.
_LOSSES = (
    ("real_tau", ("real",)),
    ("fipo_", ("fipo",)),
    ("tau_pos", ("sapo",)),
    ("tau_neg", ("sapo",)),
    ("discopop_tau", ("discopop",)),
    ("simpo_gamma", ("simpo", "alphapo")),
)
_BEGINNINGS = tuple(name for name, _ in (*_TUNERS, *_SWITCHES, *_LOSSES))


def by_switch(job: Job) -> Iterator[Problem]:
    """Arguments that are read only with another argument. The module's docstring has the source."""
    kind = job.rlhf_type
    for name in job.swift:
        if not name.startswith(_BEGINNINGS) or kind not in READERS.get(name, (kind,)):
            continue  # not in these tables, or reported by `by_type`
        if not job.written(name) or job.swift[name] is False:
            continue
        why = _why_ignored(job, name)
        if why:
            yield job.warn(name, f"does nothing {why}", f"remove {name}")


def _why_ignored(job: Job, name: str) -> str | None:
    """`with tuner_type full …` or `without use_vllm`; None if the job reads the argument."""
    tuners = _found(_TUNERS, name)
    if tuners and job.tuner_type not in tuners:
        return f"with {job.tuner_argument} {job.tuner_type}; it is only for {' and '.join(tuners)}"
    switch = _found(_SWITCHES, name)
    if switch and not _is_on(job, switch):
        return f"without {switch}"
    losses = job.many("loss_type") or (["simpo"] if job.rlhf_type == "simpo" else [])
    kinds = _found(_LOSSES, name)
    if kinds and not set(kinds) & set(losses):
        return f"without loss_type {' or '.join(kinds)}"
    return None


def _found(table: tuple[tuple[str, Any], ...], name: str) -> Any:
    """The entry of a table whose key is the beginning of the name; None if there is none."""
    return next((value for start, value in table if name.startswith(start)), None)


def _is_on(job: Job, switch: str) -> bool:
    """True if the argument that switches others on is set."""
    if switch == "swanlab in report_to":
        return bool({"swanlab", "all"} & set(job.many("report_to")))
    return bool(job.get(switch, None))


RULES = (by_type, by_switch)
