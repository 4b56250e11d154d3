"""Arguments that ms-swift no longer has: their present names, or what to write instead.

The tables were made by reading the sources of ms-swift 2.6 to 4.6.0 and of transformers. Tests compare
every name with the bundled history.
"""

from __future__ import annotations

from collections.abc import Collection

#: Old name -> present name of the same argument with the same values.
RENAMED = {
    "sft_type": "tuner_type",
    "train_type": "tuner_type",
    "model_id_or_path": "model",
    "template_type": "template",
    "dtype": "torch_dtype",
    "custom_train_dataset_path": "dataset",
    "custom_val_dataset_path": "val_dataset",
    "batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "lora_target_modules": "target_modules",
    "lora_dropout_p": "lora_dropout",
    "evaluation_strategy": "eval_strategy",
    "use_liger": "use_liger_kernel",
    "gpu_memory_utilization": "vllm_gpu_memory_utilization",
    "tensor_parallel_size": "vllm_tensor_parallel_size",
    "data_parallel_size": "vllm_data_parallel_size",
    "max_num_seqs": "vllm_max_num_seqs",
    "enforce_eager": "vllm_enforce_eager",
    "limit_mm_per_prompt": "vllm_limit_mm_per_prompt",
    "eval_datasets": "eval_dataset",
    "eval_datasets_args": "eval_dataset_args",
    "no_cuda": "use_cpu",
    "push_to_hub_model_id": "hub_model_id",
    "push_to_hub_token": "hub_token",
    "train_sampler_random": "train_dataloader_shuffle",
}


def name_in(name: str, table: Collection[str]) -> str | None:
    """The name in `table` of an argument that another release calls `name`; None if `table` lacks it."""
    if name in table:
        return name
    today = RENAMED.get(name, name)
    if today in table:
        return today
    return next((old for old, new in RENAMED.items() if new == today and old in table), None)


#: Old name -> what to write instead, where another name alone does not do.
REPLACED = {
    "num_infer_workers": "vllm_mode (server or colocate), vllm_tensor_parallel_size",
    "vllm_device": "vllm_mode",
    "use_lmdeploy": "use_vllm",
    "lmdeploy_device": "use_vllm and vllm_mode",
    "lmdeploy_session_len": "use_vllm and vllm_max_model_len",
    "lmdeploy_cache_max_entry_count": "use_vllm and vllm_gpu_memory_utilization",
    "multi_turn_func": "multi_turn_scheduler",
    "gc_collect_after_offload": "nothing: offload_model and offload_optimizer do it",
    "lora_modules": "adapters",
    "ckpt_dir": "adapters, or model for a full checkpoint",
    "tools_prompt": "agent_template",
    "adafactor": "optim: adafactor",
    "torchdynamo": "torch_compile_backend",
    "metric": "eval_metric",
    "model_layer_cls_name": "fsdp",
    "fsdp_num": "fsdp",
    "fsdp_min_num_params": "fsdp_config",
    "fsdp_transformer_layer_cls_to_wrap": "fsdp_config",
    "fp16_backend": "fp16",
    "half_precision_backend": "fp16",
    "fp16_opt_level": "fp16",
    "dispatch_batches": "accelerator_config",
    "split_batches": "accelerator_config",
    "swanlab_lark_webhook_url": "swanlab_webhook_url",
    "swanlab_lark_secret": "swanlab_secret",
    "overwrite_output_dir": "nothing: each run has a directory of its own",
}
