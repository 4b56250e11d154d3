"""The rules for rlhf types, tuners and libraries: errors, warnings, and jobs that are accepted."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from prl_submit.errors import Problem
from prl_submit.planning.plan import Planned
from prl_submit.rules import all_rules, check
from prl_submit.rules.job import Job
from tests.support.plans import planned


def job_of(kind: str, swift: str, more: str = "") -> Planned:
    """A job of an rlhf type with changed arguments. `swift` is the inside of `{...}`."""
    own = "reward_funcs: [format], num_generations: 2, per_device_train_batch_size: 2"
    inside = f"rlhf_type: {kind}, model: m, dataset: d, tuner_type: full"
    owns = {"grpo": own, "kto": "gradient_accumulation_steps: 2"}
    base = f"swift: {{{inside}, {owns.get(kind, '')}}}"
    spec = f"name: x\nextends: base.yaml\n{more}\nswift: {{{swift}}}"
    return planned(spec, files={"base.yaml": base})


def problems(kind: str, swift: str, more: str = "") -> list[Problem]:
    """All problems of a job. It also checks that no module of rules was wrongly left out."""
    job = job_of(kind, swift, more)
    assert [p for rule in all_rules() for p in rule(job.job)] == check(job.job)
    return job.problems


def told(found: list[Problem]) -> list[str]:
    """The problems as `severity key: message`, without `swift.` before the key."""
    return [f"{p.severity} {(p.key or '').removeprefix('swift.')}: {p.message}" for p in found]


TYPES = ("dpo", "orpo", "simpo", "kto", "cpo", "rm", "ppo", "grpo", "gkd")


@pytest.mark.parametrize("kind", TYPES)
def test_each_type_has_a_job_without_problems(kind: str) -> None:
    swift = {"ppo": "reward_model: [r]", "gkd": "teacher_model: t"}.get(kind, "")
    assert problems(kind, swift) == []


SERVER = "use_vllm: true, vllm_mode: server"
LIGER = "use_liger_kernel: true"
RLSD = "advantage_reweight: rlsd"
SDAR = "sdar_loss_coef: 0.1"
VAL = "val_dataset: v"
URLS = "[{url: a, tags: [x]}, {url: b, tags: [%s]}]"


@pytest.mark.parametrize(
    ("kind", "swift", "said"),
    [
        # vLLM
        ("grpo", "use_vllm: true, vllm_mode: null", "error vllm_mode: is required if"),
        ("dpo", "vllm_mode: colocate", "warning vllm_mode: does nothing with rlhf_type dpo"),
        ("grpo", f"{SERVER}, vllm_server_host: [a, b]", "error vllm_server_host: has 2 for 1"),
        ("grpo", f"{SERVER}, vllm_server_host: [a, b], vllm_server_port: [1, 2]", ""),
        (
            "grpo",
            f"{SERVER}, vllm_server_base_url: ['http://u'], vllm_server_group_port: [1, 2]",
            "error vllm_server_group_port: has 2 for 1 servers",
        ),
        (
            "grpo",
            "vllm_server_host: [h]",
            "error vllm_server_host: is set while use_vllm is false: ms-swift connects "
            "all the same, and stops after 240 s without a server",
        ),
        (
            "grpo",
            "use_vllm: true, vllm_mode: colocate, vllm_server_host: [h], vllm_server_timeout: 9",
            "error vllm_server_host: is set while vllm_mode is colocate: "
            "ms-swift connects all the same, and stops after 9 s without a server",
        ),
        ("grpo", "vllm_mode: server, vllm_server_host: [h]", "error vllm_mode: is set, but use_"),
        (
            "gkd",
            "teacher_model: t, vllm_server_base_url: ['http://u']",
            "error vllm_server_base_url: is set while use_vllm is false",
        ),
        (
            "grpo",
            "use_vllm: true, vllm_mode: server, vllm_server_base_url: ['h:80']",
            "error vllm_server_base_url: h:80 begins with neither http:// nor https://",
        ),
        (
            "grpo",
            "use_vllm: true, vllm_mode: server, vllm_server_host: ['http://h']",
            "error vllm_server_host: http://h is not the name of a host",
        ),
        ("grpo", "use_vllm: true, vllm_mode: server, vllm_server_host: ['::1']", ""),
        ("grpo", "async_generate: true", "error async_generate: needs vllm_mode server, found use"),
        (
            "gkd",
            f"teacher_model: t, {SERVER}, vllm_server_host: [h], async_generate: true",
            "error async_generate: is not supported for gkd",
        ),
        (
            "grpo",
            f"{SERVER}, vllm_server_host: [h], async_generate: true, "
            "multi_turn_scheduler: gym_scheduler",
            "error async_generate: is not supported together with multi_turn_scheduler",
        ),
        ("grpo", "vllm_reasoning_parser: x", "error vllm_reasoning_parser: is not supported"),
        # GRPO
        ("grpo", "truncation_strategy: delete", ""),
        ("orpo", "truncation_strategy: split", "error truncation_strategy: split is only for pre-"),
        ("gkd", "teacher_model: t, truncation_strategy: split", ""),
        ("grpo", "cached_val_dataset: c, num_generations_eval: 1", "error cached_val_dataset: is not"),
        ("grpo", "reward_funcs: [soft_overlong]", "error reward_funcs: soft_overlong needs soft_c"),
        ("grpo", "reward_funcs: [soft_overlong], soft_cache_length: 9", ""),
        (
            "grpo",
            "reward_funcs: [soft_overlong], soft_cache_length: 9, max_new_tokens: 9",
            "error soft_cache_length: 9 is not less than max_completion_length 9",
        ),
        (
            "grpo",
            "reward_funcs: [soft_overlong], soft_cache_length: 9, soft_max_length: 8",
            "error soft_cache_length: 9 is not less than soft_max_length 8",
        ),
        ("grpo", f"{LIGER}, delta: 2", "error delta: 2 cannot be combined with use_liger_kernel"),
        ("grpo", f"{LIGER}, sequence_parallel_size: 0, top_entropy_quantile: 2", ""),
        (
            "grpo",
            f"{LIGER}, importance_sampling_level: sequence_token",
            "error importance_sampling_level: sequence_token cannot be",
        ),
        ("grpo", f"{RLSD}, beta: 0", ""),
        ("grpo", f"{RLSD}, rlsd_lambda: 2", "error rlsd_lambda: must be between 0 and 1, found 2"),
        ("grpo", f"{RLSD}, rlsd_reweight_clip_range: -1", "error rlsd_reweight_clip_range: cannot"),
        ("grpo", f"{RLSD}, reward_funcs: null, use_gym_env: true", "error advantage_reweight: rlsd n"),
        ("grpo", f"{RLSD}, {LIGER}", "error advantage_reweight: rlsd cannot be combined with use_liger"),
        ("grpo", f"{RLSD}, loss_type: fipo", "error advantage_reweight: rlsd cannot be combined with loss"),
        (
            "grpo",
            f"{RLSD}, off_policy_sequence_mask_delta: 1",
            "error off_policy_sequence_mask_delta: cannot be combined with advantage_reweight",
        ),
        (
            "grpo",
            f"{RLSD}, teacher_model_server: http://t",
            "error advantage_reweight: rlsd cannot be combined with teacher_model_server",
        ),
        ("grpo", SDAR, ""),
        ("grpo", f"{SDAR}, sdar_gate_beta: 0", "error sdar_gate_beta: must be above 0, found 0"),
        ("grpo", f"{SDAR}, {RLSD}, beta: 0", "error sdar_loss_coef: cannot be combined with advantage"),
        ("grpo", "multi_turn_scheduler: mine", "error multi_turn_scheduler: mine is not known"),
        ("grpo", "multi_turn_scheduler: mine, external_plugins: [p.py]", ""),
        # losses
        ("kto", "loss_type: [kto, apo_zero_unpaired]", "error loss_type: has 2 values; only dpo"),
        ("dpo", "loss_type: [sigmoid, sft], loss_weights: [1, 2]", ""),
        ("dpo", "loss_weights: [1, 2]", "error loss_weights: has 2 for 1 losses (sigmoid, the def"),
        ("kto", "loss_type: [kto], loss_weights: [1]", "error loss_weights: is only for dpo"),
        ("kto", "loss_weights: [1]", "warning loss_weights: does nothing with rlhf_type kto"),
        ("cpo", "loss_type: [xyz]", "error loss_type: xyz is not a loss of cpo"),
        ("rm", "loss_type: [xyz]", "warning loss_type: does nothing with rlhf_type rm"),
        # teachers
        ("gkd", "teacher_model: t, teacher_model_server: u, gkd_logits_topk: 2",
         "error teacher_model_server: and teacher_model are both set"),
        ("gkd", "teacher_model_server: http://u, gkd_logits_topk: 2", ""),
        ("gkd", "teacher_model_server: '[]', gkd_logits_topk: 2", "error teacher_model_server: must be a"),
        ("gkd", "teacher_model_server: '[{', gkd_logits_topk: 2", ""),  # ms-swift repairs it
        ("gkd", f"teacher_model_server: '{'[{url: a}]'}', gkd_logits_topk: 2", ""),
        ("gkd", "gkd_logits_topk: 0", "error gkd_logits_topk: must be above 0, found 0"),
        ("gkd", "teacher_model_server: u", "error gkd_logits_topk: is required with teacher_model_"),
        ("gkd", LIGER, "error use_liger_kernel: cannot be combined with self-distillation"),
        ("gkd", f"teacher_model: t, {LIGER}, gkd_logits_topk: 2", "error gkd_logits_topk: cannot be combined"),
        ("gkd", f"teacher_model: t, {LIGER}, sft_alpha: 1", "error sft_alpha: cannot be combined with"),
        ("gkd", f"teacher_model: t, {LIGER}", ""),
        ("gkd", "beta: 2", "error beta: must be between 0 and 1 for gkd, found 2"),
        ("gkd", "seq_kd: true", "error seq_kd: is gone"),
        ("grpo", f"teacher_model: t, {LIGER}", "error use_liger_kernel: cannot be combined with GRPO with"),
        ("grpo", "teacher_model: t, loss_type: real", "error loss_type: real cannot be combined with a tea"),
        (
            "grpo",
            "teacher_model: t, off_policy_sequence_mask_delta: 1",
            "error off_policy_sequence_mask_delta: cannot be combined with a teacher",
        ),
        (
            "grpo",
            "teacher_model: t, reward_funcs: null, dynamic_sample: true",
            "error dynamic_sample: needs reward_funcs",
        ),
        (
            "grpo",
            "teacher_model: t, reward_funcs: null, scale_rewards: gdpo",
            "error scale_rewards: gdpo needs reward_funcs",
        ),
        # the model
        ("dpo", "rope_scaling: cubic", "error rope_scaling: cubic is not known"),
        ("dpo", "rope_scaling: linear", "error rope_scaling: needs `factor` or `max_model_len`"),
        ("dpo", "rope_scaling: linear, max_model_len: 9", ""),
        ("dpo", "rope_scaling: {type: yarn}", "error rope_scaling: needs `factor` or `max_model_len`"),
        ("dpo", "rope_scaling: '{\"type\": \"yarn\", \"factor\": 2}'", ""),
        ("dpo", "rope_scaling: '{x'", ""),
        ("dpo", "rope_scaling: '{}'", ""),
        ("dpo", "task_type: seq_cls", "error task_type: seq_cls needs num_labels"),
        ("dpo", "task_type: embedding", "error task_type: embedding is not for dpo"),
        ("rm", "task_type: seq_cls", ""),
        ("ppo", "task_type: embedding, reward_model: [r]", ""),
        ("dpo", "quant_method: bnb", "error quant_method: bnb needs quant_bits"),
        ("dpo", "quant_method: eetq, quant_bits: 4", "error quant_bits: eetq cannot use 4 bits"),
        ("dpo", "quant_method: fp8", ""),
        ("dpo", "quant_bits: 4", "warning quant_bits: does nothing without quant_method"),
        # the other models
        ("dpo", "ref_model: r", ""),
        ("grpo", "ref_model: r, beta: 0", "warning ref_model: does nothing with beta 0"),
        ("cpo", "ref_model: r", "error ref_model: is refused with rlhf_type cpo"),
        ("dpo", "ref_model: r, tuner_type: lora", "error ref_model: is refused with tuner_type lora"),
        ("rm", "ref_adapters: [a]", "error ref_adapters: is for dpo, kto and grpo, found rlhf_type rm"),
        ("dpo", "ref_adapters: [a, b]", "error ref_adapters: takes one adapter, found 2"),
        ("ppo", "reward_model: [a, b]", "error reward_model: ppo takes one, found 2"),
        ("ppo", "", "error rlhf_type: ppo needs a reward_model"),
        ("grpo", "reward_model: [r], reward_model_plugin: [genrm]", ""),
        ("grpo", "reward_model: [r], reward_template: [a, b]", "error reward_template: has 2 for 1"),
        ("grpo", "reward_model: [r], reward_model_plugin: [genrm, default]",
         "error reward_model_plugin: has 2 for 1 reward_model"),
        ("grpo", "reward_model: [r], reward_model_plugin: [x]", "error reward_model_plugin: x is not"),
        ("dpo", "tuner_type: lora, adapters: [a, b]", "error adapters: a training can continue from one adapter"),
        # rewards
        ("grpo", "reward_weights: [1, 2], use_gym_env: true", ""),
        ("grpo", "reward_weights: [1, 2], gym_env: g", ""),
        ("grpo", f"{SERVER}, vllm_server_host: [h], reward_weights: [1, 2]", ""),
        ("grpo", "reward_funcs: null", "warning rlhf_type: grpo has no reward"),
        ("grpo", f"reward_funcs: null, {SERVER}, vllm_server_host: [h]", ""),
        # tuners
        ("dpo", "tuner_type: lorra", "error tuner_type: lorra is not known"),
        ("dpo", "tuner_type: lora, lora_rank: 0", "error lora_rank: must be at least 1, found 0"),
        ("dpo", "tuner_type: lora, lora_dropout: 2", "error lora_dropout: must be a share between"),
        ("dpo", "tuner_type: lora, init_weights: x", "error init_weights: x is not known"),
        ("dpo", "tuner_type: lora, init_weights: pissa_niter_4", ""),
        ("dpo", "tuner_type: lora, lisa_activated_layers: 1", "error lisa_activated_layers: is only for"),
        ("dpo", "packing: true", "error packing: needs a flash attention, found attn_impl none set"),
        ("dpo", "packing: true, attn_impl: flash_attn", ""),
        ("rm", "packing: true, attn_impl: flash_attn", "error packing: is only for grpo, dpo, kto and"),
        # precision, steps, names
        ("dpo", "torch_dtype: bfloat16, fp16: true", "error fp16: fp16 and bf16 exclude each other"),
        ("dpo", "fp16: true, bf16: true", "error bf16: fp16 and bf16 exclude each other, found fp16"),
        ("dpo", "torch_dtype: float32, bf16: false", ""),
        ("dpo", "bf16: true", ""),
        ("dpo", "fp16_full_eval: true, bf16_full_eval: true", "error fp16_full_eval: and bf16_full"),
        ("dpo", "warmup_steps: -1", "error warmup_steps: cannot be negative"),
        ("dpo", "warmup_ratio: 0.1, warmup_steps: 2", "error warmup_ratio: 0.1 and warmup_steps 2"),
        ("dpo", "warmup_ratio: 1", "error warmup_ratio: must be a share of the steps"),
        ("dpo", "dataloader_prefetch_factor: 2", "error dataloader_prefetch_factor: needs"),
        ("dpo", "dataloader_prefetch_factor: 2, dataloader_num_workers: 1", ""),
        ("dpo", "logging_steps: 0", "error logging_steps: cannot be 0"),
        ("dpo", "logging_steps: 0, logging_strategy: epoch", ""),
        ("dpo", "save_steps: 2.5", "error save_steps: must be a whole number if it is above 1, found 2.5"),
        ("dpo", "save_steps: 2.5, save_strategy: 'no'", ""),
        ("dpo", "lr_scheduler_type: xyz", "error lr_scheduler_type: xyz is not known"),
        ("dpo", "report_to: [all]", ""),
        ("dpo", "report_to: [none, wandb]", "error report_to: none is not known beside others"),
        ("dpo", "report_to: [swanlab], swanlab_notification_method: pager",
         "error swanlab_notification_method: pager is not known"),
        ("dpo", "report_to: [swanlab], swanlab_notification_method: email",
         "error swanlab_notification_method: email needs swanlab_sender_email"),
        ("dpo", "report_to: [swanlab], swanlab_notification_method: slack", ""),
        ("dpo", "callbacks: [x]", "error callbacks: x is not known"),
        ("dpo", "optimizer: muon, external_plugins: [p.py]", ""),
        ("dpo", "torch_empty_cache_steps: 0", "error torch_empty_cache_steps: must be at least 1"),
        ("dpo", "num_train_epochs: 0", "warning num_train_epochs: 0 trains nothing"),
        ("dpo", "num_train_epochs: 0, max_steps: 3", ""),
        ("dpo", "seed: -1", "error seed: must be from 0 to 4294967295, found -1"),
        ("dpo", "adam_beta1: 1", "error adam_beta1: must be from 0 to less than 1, found 1"),
        ("dpo", "adam_beta1: 1, optim: adamw_torch_fused", "error adam_beta1: must be from 0 to less"),
        ("dpo", "adam_beta1: 1, optim: sgd", ""),
        ("dpo", "adam_beta2: 2, optim: rmsprop", ""),
        ("dpo", "adam_epsilon: -1, optim: adafactor", ""),
        ("dpo", "adam_epsilon: -1, optimizer: muon", ""),
        ("dpo", "learning_rate: -1, optim: adafactor", ""),
        ("dpo", "learning_rate: -1, optim: sgd", "error learning_rate: must be at least 0, found -1"),
        ("dpo", "max_length: 0", "error max_length: must be at least 1, found 0"),
        ("dpo", "response_length: -1", "error max_completion_length: must be at least 1, found -1"),
        ("grpo", "temperature: 0", "error temperature: must be above 0"),
        ("grpo", "repetition_penalty: 0", "error repetition_penalty: must be above 0, found 0"),
        # batches
        ("dpo", "per_device_train_batch_size: 0", "error per_device_train_batch_size: must be at"),
        ("kto", "gradient_accumulation_steps: null", "error gradient_accumulation_steps: is not set"),
        ("dpo", "gradient_accumulation_steps: null", ""),
        ("dpo", "use_vllm: false", ""),
        ("kto", "gradient_accumulation_steps: 1", "error per_device_train_batch_size: the whole ba"),
        ("kto", "gradient_accumulation_steps: 1, loss_type: apo_zero_unpaired", ""),
        ("gkd", "generation_batch_size: 3, per_device_train_batch_size: 2",
         "error generation_batch_size: 3 is not a multiple of"),
        ("ppo", "reward_model: [r], num_mini_batches: 3", "error num_mini_batches: 3 does not div"),
        ("ppo", "reward_model: [r], whiten_rewards: true, gradient_accumulation_steps: 2",
         "error whiten_rewards: needs 8 rows in each mini batch, found 2"),
        ("ppo", "reward_model: [r], whiten_rewards: true", ""),
        ("ppo", "reward_model: [r], gradient_accumulation_steps: 0", "error gradient_accumulation_"),
        # evaluation
        ("dpo", "eval_strategy: always", ""),  # there is nothing to evaluate on
        ("dpo", f"{VAL}, eval_strategy: always", "error eval_strategy: always is not known"),
        ("dpo", f"{VAL}, save_strategy: best", "error eval_strategy: is not set, so ms-swift takes save_strat"),
        ("dpo", f"{VAL}, eval_steps: 2.5", "error eval_steps: must be a whole number if it is above 1, found 2.5"),
        ("dpo", f"{VAL}, per_device_eval_batch_size: 0", "error per_device_eval_batch_size: must be"),
        ("dpo", "load_best_model_at_end: true", "error load_best_model_at_end: needs an evaluation at"),
        ("dpo", f"{VAL}, load_best_model_at_end: true, eval_steps: 3, save_steps: 4",
         "error load_best_model_at_end: needs save_steps to be a multiple of eval_steps"),
        ("dpo", f"{VAL}, load_best_model_at_end: true, eval_steps: 0.1, save_steps: 0.3", ""),
        ("dpo", f"{VAL}, load_best_model_at_end: true, eval_steps: 0.3, save_steps: 0.4",
         "error load_best_model_at_end: needs save_steps to be a multiple"),
        ("dpo", f"{VAL}, load_best_model_at_end: true, eval_steps: 0.1, save_steps: 3",
         "error load_best_model_at_end: needs save_steps to be a multiple"),
        ("dpo", f"{VAL}, load_best_model_at_end: true, eval_steps: 0, save_steps: 5", ""),
        ("dpo", f"{VAL}, load_best_model_at_end: true, save_strategy: best, eval_strategy: epoch", ""),
        ("dpo", f"{VAL}, load_best_model_at_end: true, eval_strategy: always",
         "error eval_strategy: always is not known"),
        ("dpo", "lr_scheduler_type: greedy", "error lr_scheduler_type: greedy needs an evaluation"),
        ("dpo", f"{VAL}, lr_scheduler_type: greedy", ""),
        ("dpo", "eval_dataset: [x]", "error eval_dataset: names EvalScope's data"),
        ("dpo", f"{VAL}, eval_dataset: [x]", ""),
        # data
        ("dpo", "streaming: true", "error streaming: needs max_steps"),
        ("dpo", "streaming: true, max_steps: 3, split_dataset_ratio: 0.1", ""),
        ("kto", "streaming: true, max_steps: 3", "error streaming: is not possible with kto"),
        ("dpo", "streaming: true, max_steps: 3, cached_dataset: c", "error streaming: cannot be combined w"),
        ("dpo", "lazy_tokenize: true", ""),
        ("dpo", "lazy_tokenize: true, streaming: true, max_steps: 1", "error lazy_tokenize: cannot be c"),
        ("dpo", "split_dataset_ratio: -1", "error split_dataset_ratio: must be a share between 0 and 1"),
        ("dpo", f"{VAL}, split_dataset_ratio: 0.1", "warning split_dataset_ratio: does nothing bes"),
        # distribution
        ("dpo", "fsdp: fsdp2, deepspeed: zero2", "error fsdp: cannot be combined with deepspeed"),
        ("dpo", "fsdp: fsdp2, save_only_model: true", "error save_only_model: cannot be combined with fsd"),
        ("dpo", "deepspeed_autotp_size: 2", "warning deepspeed_autotp_size: does nothing without"),
        ("dpo", "deepspeed: zero2, zero_hpz_partition_size: 2", ""),
        ("rm", "sequence_parallel_size: 2", "error sequence_parallel_size: 2 is for grpo and dpo"),
        # JSON values
        ("dpo", "mrl_dims: {64: 1.0}", ""),
        ("dpo", "mrl_dims: {a: 1.0}", "error mrl_dims: must map dimensions to weights"),
        ("dpo", "mrl_dims: '{\"64\": [1]}'", "error mrl_dims: must map dimensions to weights"),
        ("dpo", "accelerator_config: {split_batches: false, x: 1}", "error accelerator_config: has no"),
        # ignored
        ("dpo", "num_iterations: 2", "warning num_iterations: does nothing with rlhf_type dpo; it"),
        ("dpo", "vera_rank: 2", "warning vera_rank: does nothing with tuner_type full; it is only"),
        ("dpo", "galore_rank: 2", "warning galore_rank: does nothing without use_galore"),
        ("dpo", "galore_rank: 2, use_galore: true", ""),
        ("grpo", "real_tau: 2", "warning real_tau: does nothing without loss_type real"),
        ("grpo", "real_tau: 2, loss_type: real", ""),
        ("cpo", "simpo_gamma: 2", "warning simpo_gamma: does nothing without loss_type simpo or"),
        ("simpo", "simpo_gamma: 2", ""),
        ("dpo", "swanlab_project: x", "warning swanlab_project: does nothing without swanlab in"),
        ("dpo", "swanlab_project: x, report_to: [swanlab]", ""),
        ("grpo", "vllm_max_model_len: 9", "warning vllm_max_model_len: does nothing without use_v"),
    ],
)  # fmt: skip
def test_one_problem(kind: str, swift: str, said: str) -> None:
    """The change causes this problem and no other; an empty text means no problem."""
    found = told(problems(kind, swift))
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


def test_a_misspelt_value_has_a_hint() -> None:
    swift = "lr_scheduler_type: cosin, report_to: [wandbb], loss_type: [sigmoi], tuner_type: lorra"
    hints = [p.hint for p in problems("dpo", swift)]
    wanted = ("cosine?", "wandb?", "sigmoid?", "lora?")
    assert all(any(word in (hint or "") for hint in hints) for word in wanted)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[{url: a}]", ""),
        ("[{url: a, tags: x}]", "[0]: tags must be a list"),
        ("[{tags: [x]}]", "[0] needs a url"),
        ("[a]", "[0] needs a url"),
        ("[{url: a}, {url: b, tags: [x]}]", "[0]: each of several teachers needs tags"),
        (
            "[{url: a, tags: [x]}, {url: b, tags: [x]}]",
            "both teacher [0] and teacher [1] have the tag 'x'",
        ),
        ("[{url: a, tags: [x]}, {url: b, tags: [y]}]", ""),
        ("[]", "must be a list of servers that is not empty"),
    ],
)
def test_several_teachers(value: str, said: str) -> None:
    """A list of teacher servers must have the form that ms-swift reads."""
    text = value.replace("url", '"url"').replace("tags", '"tags"')
    for name in ("a", "b", "x", "y"):
        text = text.replace(f" {name}", f' "{name}"').replace(f"[{name}", f'["{name}"')
    found = problems("gkd", f"teacher_model_server: '{text}', gkd_logits_topk: 2")
    assert [p.message for p in found] == ([said] if said else [])


@pytest.mark.parametrize(
    ("devices", "swift", "more", "said"),
    [
        ("'0,1'", "", "", ""),
        ("'0,1,2'", "", "", "error local.cuda_visible_devices: has 3 GPUs for 2 processes"),
        ("'0,1,2,3'", "", "", "warning local.cuda_visible_devices: has 4 GPUs for 2 processes, so"),
        ("'0,1,2,3'", "deepspeed: zero2", "", "error local.cuda_visible_devices: has 4 GPUs"),
        ("'0,1,2,3'", "use_vllm: true", "", "error local.cuda_visible_devices: has 4 GPUs"),
        ("'0,1,2,3'", "", "environment: {env: {SWIFT_SINGLE_DEVICE_MODE: '1'}}", ""),
        ("'0,1,2,3'", "", "backend: kubernetes\nkubernetes: {image: i}", None),
    ],
)
def test_devices(devices: str, swift: str, more: str, said: str | None) -> None:
    """cuda_visible_devices must fit the number of processes."""
    head = f"resources: {{nproc_per_node: 2}}\nlocal: {{cuda_visible_devices: {devices}}}\n{more}"
    found = [text for text in told(problems("grpo", swift, head)) if "local." in text]
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


@pytest.mark.parametrize(
    ("version", "kind", "swift", "said"),
    [
        ("3.10.0", "grpo", "use_vllm: true, vllm_mode: null", ""),  # colocate was the default
        ("3.12.6", "grpo", "use_vllm: true, vllm_mode: null", "error vllm_mode: is required"),
        ("3.6.0", "grpo", "num_generations: 8", ""),  # 16 rows a step by accumulation
        ("3.7.0", "grpo", "num_generations: 8", "error num_generations: 8 does not divide"),
        ("3.3.1", "grpo", "num_generations: 4, gradient_accumulation_steps: 2",
         "error num_generations: 4 does not divide the generation batch 2"),
        ("3.10.3", "grpo", "generation_batch_size: 2, steps_per_generation: 1",
         "error generation_batch_size: and steps_per_generation are both set"),
        ("3.11.0", "grpo", "generation_batch_size: 2, steps_per_generation: 1", ""),
        ("4.0.4", "gkd", "", "error rlhf_type: gkd needs a teacher"),
        ("4.1.0", "gkd", "", ""),
        ("4.0.0", "gkd", "teacher_model: t, generation_batch_size: 3, per_device_train_batch_size: 2",
         ""),
        ("4.3.2", "grpo", "reward_funcs: null", "error rlhf_type: grpo has no reward"),
        ("4.4.0", "grpo", "reward_funcs: null", "warning rlhf_type: grpo has no reward"),
        ("4.3.2", "grpo", "teacher_model: t, loss_type: real", ""),
        ("4.3.2", "grpo", "num_generations: 1, teacher_model: t", "error num_generations: must be g"),
        ("4.4.2", "dpo", "warmup_ratio: 0.1, warmup_steps: 2", ""),
        ("4.4.2", "dpo", "warmup_ratio: 1", ""),
        ("4.4.2", "dpo", "warmup_ratio: 1.5", "error warmup_ratio: must be a share"),
        ("3.11.3", "dpo", "fsdp: full_shard, deepspeed: zero2", ""),
        ("3.6.4", "dpo", "packing: true", "error packing: needs a flash attention"),
        ("3.3.1", "dpo", "packing: true", ""),
        ("3.7.0", "rm", "packing: true, attn_impl: flash_attn", ""),
        ("3.4.1.post1", "dpo", "rope_scaling: cubic, max_length: 9", ""),
        ("3.4.1.post1", "dpo", "rope_scaling: cubic", "error rope_scaling: needs max_length"),
        ("3.8.3", "dpo", "rope_scaling: yarn", "error rope_scaling: needs `factor` or `max_model_len`"),
        ("3.11.2", "dpo", "rope_scaling: yarn", ""),
        ("3.12.6", "dpo", "callbacks: [x]", ""),
        ("3.9.0", "gkd", "teacher_model: t, use_vllm: true, vllm_mode: server, "
         "vllm_server_host: [h], async_generate: true", ""),
        ("3.4.1", "grpo", f"{LIGER}, delta: 2", ""),
        ("3.6.0", "dpo", "sequence_parallel_size: 2", "error sequence_parallel_size: 2 does not divide the world 1"),
        ("3.5.0", "grpo", "vllm_reasoning_parser: x", ""),
        ("3.8.3", "grpo", "vllm_mode: colocate, vllm_server_host: [h]", "error vllm_server_host: is set while"),
        ("3.8.3", "grpo", "use_vllm: true, vllm_server_host: [h], vllm_mode: server", ""),
        ("3.6.0", "rm", "ref_adapters: [a]", ""),
        ("3.7.3", "grpo", "multi_turn_scheduler: math_tip_trick_multi_turn", ""),
        # a later one may have more names
        ("4.7.0", "grpo", "multi_turn_scheduler: x, loss_type: x, optimizer: x", ""),
        ("4.7.0", "grpo", "reward_model: [r], reward_model_plugin: [x]", ""),
        ("4.7.0", "dpo", "tuner_type: x", ""),
        ("4.6.3", "dpo", "tuner_type: x", "error tuner_type: x is not known"),
    ],
)  # fmt: skip
def test_rules_hold_from_their_version_on(version: str, kind: str, swift: str, said: str) -> None:
    """The same job with another ms-swift. The tables of ignored arguments are those of the newest release."""
    job = job_of(kind, f"eval_strategy: 'no', {swift}").job
    job = msgspec.structs.replace(job, swift_version=version)
    found = told(check(job))
    assert len(found) == bool(said), found
    assert not said or found[0].startswith(said)


def with_swift(job: Job, values: dict[str, Any]) -> Job:
    """The same job with other values under `swift:`."""
    return msgspec.structs.replace(job, spec=msgspec.structs.replace(job.spec, swift=values))


def test_before_4_the_tuner_had_another_name() -> None:
    job = planned("name: x\nswift: {model: m, dataset: d, ref_model: r}").job
    full = with_swift(job, job.swift | {"train_type": "full"})
    assert [p.key for p in check(job)] == ["swift.ref_model"]
    assert check(full) == []


@pytest.mark.parametrize(
    ("version", "argument"),
    [("3.3.0", "train_type"), ("3.12.6", "train_type"), ("4.0.0", "tuner_type")],
)
def test_messages_use_the_tuners_name_in_the_version_that_runs(version: str, argument: str) -> None:
    """If a hint named another version's argument, ms-swift would refuse it."""
    inside = "model: m, dataset: d, rlhf_type: dpo, eval_strategy: 'no'"
    for tuner, other, words in [
        ("lora", "ref_model: r", f"or set {argument}: full; "),
        ("full", "lora_rank: 8", f"or set {argument}: lora"),
        ("full", "vera_rank: 2", f"does nothing with {argument} full"),
        ("lora", "lisa_activated_layers: 1", f"or set {argument}: full"),
        ("lorra", "seed: 1", "lorra is not known"),
    ]:
        job = planned(f"name: x\nswift: {{{inside}, {other}}}").job
        swift = job.swift | {argument: tuner}
        (problem,) = check(with_swift(msgspec.structs.replace(job, swift_version=version), swift))
        assert words in f"{problem.message}; {problem.hint}"


ADAPTER = "tuner_type: lora, per_device_eval_batch_size: 2"
TWO = "resources: {nproc_per_node: 2}"


@pytest.mark.parametrize(
    ("version", "swift", "more", "is_told"),
    [
        ("3.3.0", ADAPTER, TWO, True),
        ("3.3.0.dev0", ADAPTER, TWO, True),
        ("3.5.3", f"{ADAPTER}, gradient_checkpointing_kwargs: {{use_reentrant: true}}", TWO, True),
        ("3.5.3", f"{ADAPTER}, gradient_checkpointing_kwargs: {{}}", TWO, True),
        ("3.6.0", ADAPTER, TWO, False),
        ("4.6.0", ADAPTER, TWO, False),
        ("3.3.0", ADAPTER, "", False),
        ("3.3.0", ADAPTER, "resources: {nproc_per_node: x}", False),  # wrong by itself
        ("3.3.0", "tuner_type: full", TWO, False),
        ("3.3.0", f"{ADAPTER}, deepspeed: zero2", TWO, False),
        ("3.3.0", f"{ADAPTER}, gradient_checkpointing: false", TWO, False),
        ("3.3.0", f"{ADAPTER}, ddp_find_unused_parameters: false", TWO, False),
        ("3.3.0", f"{ADAPTER}, gradient_checkpointing_kwargs: {{use_reentrant: false}}", TWO, False),
        ("3.3.0", f"""{ADAPTER}, gradient_checkpointing_kwargs: '{{"use_reentrant": false}}'""",
         TWO, False),
    ],
)  # fmt: skip
def test_adapters_on_several_processes_before_3_6(
    version: str, swift: str, more: str, is_told: bool
) -> None:
    """DDP cannot be combined with reentrant gradient checkpointing, which was the default before 3.6."""
    job = job_of("grpo", f"eval_strategy: 'no', {swift}", more).job
    found = told(check(msgspec.structs.replace(job, swift_version=version)))
    kwargs = [text for text in found if text.startswith("warning gradient_checkpointing_kwargs: ")]
    assert bool(kwargs) == is_told, found
    assert not is_told or "lora on 2 processes fails at its first step" in kwargs[0]


def test_ms_swift_before_3_6_evaluates_on_a_hundredth() -> None:
    swift = "rlhf_type: grpo, reward_funcs: [format], model: m, dataset: d, num_generations: 4"
    spec = f"name: x\nswift: {{{swift}, per_device_train_batch_size: 4}}"
    job = msgspec.structs.replace(planned(spec).job, swift_version="3.5.3")
    assert ["evaluation batch" in p.message for p in check(job)] == [True]


def test_our_own_defaults_cause_no_warning() -> None:
    """prl-submit sets vllm_mode and the share of memory itself when use_vllm is true."""
    assert problems("grpo", "use_vllm: true") == []
    found = told(problems("dpo", "use_vllm: true"))
    assert found == [
        "warning use_vllm: does nothing with rlhf_type dpo; it is only for grpo and gkd",
    ]
