"""Other tools' words for our commands, arguments and keys: `lr` for learning_rate, `gpus` for nproc_per_node.

`suggest` finds names with a similar spelling; the tables here find names with the same meaning.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping


def _by_word(groups: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Turn `name -> other tools' words for it` into `word -> the names that the word may mean`."""
    found: dict[str, tuple[str, ...]] = {}
    for name, words in groups.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), name)
    return found


#: Other tools' words for our commands.
COMMANDS = _by_word(
    {
        "submit": "run launch train start sbatch apply create",
        "check": "validate lint verify",
        "render": "print show template",
        "list": "ls runs jobs history",
        "status": "ps squeue queue state describe watch top",
        "logs": "log tail output follow",
        "cancel": "kill stop delete abort scancel end",
        "resume": "restart continue requeue retry",
        "init": "new scaffold example quickstart generate",
        "import": "convert translate migrate",
        "collect": "download fetch pull",
        "report": "plot chart graph html dashboard tensorboard visualize",
        "rerun": "repeat again clone duplicate resubmit",
        "tag": "label mark",
        "note": "comment annotate describe",
        "du": "df size disk space usage",
        "prune": "clean cleanup gc rm remove purge delete",
    }
)

#: Words of papers, TRL, verl, OpenRLHF and other trainers for ms-swift's arguments.
ARGUMENTS = _by_word(
    {
        "learning_rate": "lr step_size actor_lr policy_lr peak_lr max_lr",
        "beta": "kl kl_coef kl_coeff kl_beta kl_penalty kl_weight kl_loss_coef init_kl_coef "
        "kl_coefficient kl_loss_weight",
        "epsilon": "clip clip_eps clip_epsilon clip_range cliprange clip_ratio eps_clip ppo_clip",
        "epsilon_high": "clip_high eps_high clip_ratio_high eps_clip_high",
        "num_generations": "group_size num_samples n_samples num_return_sequences rollouts "
        "num_rollouts samples_per_prompt n_samples_per_prompt rollout_n rollout num_completions "
        "completions_per_prompt generations n",
        "per_device_train_batch_size": "batch_size bs batchsize train_batch_size micro_batch_size "
        "mini_batch_size local_batch_size per_gpu_batch_size per_device_batch_size mbs",
        "per_device_eval_batch_size": "eval_batch_size val_batch_size test_batch_size eval_bs",
        "generation_batch_size": "rollout_batch_size global_batch_size gbs",
        "gradient_accumulation_steps": "grad_accum grad_accum_steps accumulation_steps "
        "gradient_accumulation accumulate_grad_batches grad_acc ga accum_steps",
        "gradient_checkpointing": "activation_checkpointing grad_checkpoint recompute checkpointing",
        "num_train_epochs": "epochs num_epochs n_epochs epoch total_epochs max_epochs train_epochs",
        "max_steps": "steps num_steps total_steps train_steps num_train_steps max_train_steps "
        "iterations iters max_iters training_steps",
        "max_completion_length": "max_len max_new_tokens max_response_length response_length "
        "completion_length max_gen_len max_output_length max_generate_length generate_max_len "
        "max_tokens",
        "max_length": "context_length max_context_length max_len max_seq_len max_seq_length seq_len seq_length sequence_length "
        "cutoff_len model_max_length max_prompt_length prompt_length prompt_max_len max_input_length",
        "warmup_ratio": "warmup warm_up",
        "warmup_steps": "warmup warm_up num_warmup_steps lr_warmup_steps lr_warmup",
        "lr_scheduler_type": "scheduler lr_scheduler lr_schedule schedule lr_decay",
        "weight_decay": "wd decay l2",
        "max_grad_norm": "grad_clip clip_grad gradient_clipping clip_grad_norm grad_norm "
        "gradient_clip_val",
        "optim": "optimizer optimiser opt",
        "temperature": "temp sampling_temperature",
        "model": "model_path model_name model_name_or_path pretrained base_model checkpoint_path "
        "ckpt ckpt_path policy_model pretrain model_dir",
        "ref_model": "reference reference_model ref_path ref_model_path",
        "reward_model": "rm rm_model reward_model_path",
        "adapters": "adapter lora_path adapter_path adapter_name_or_path peft_path",
        "dataset": "data train_file train_data train_dataset train_path data_path data_files "
        "dataset_path dataset_name train_files prompt_data",
        "val_dataset": "eval_dataset_path val_file val_data eval_data validation_file val_files "
        "test_file eval_file validation_data val_path",
        "split_dataset_ratio": "val_ratio val_size eval_ratio test_size validation_split",
        "reward_funcs": "reward rewards reward_function reward_functions reward_fn reward_fns "
        "reward_func",
        "reward_weights": "reward_weight reward_coefs",
        "external_plugins": "plugin plugins reward_file reward_path reward_script custom_reward",
        "torch_dtype": "precision mixed_precision dtype",
        "lora_rank": "rank r lora_r lora_dim",
        "lora_alpha": "alpha",
        "lora_dropout": "dropout",
        "target_modules": "lora_target lora_target_modules lora_modules_to_train",
        "save_steps": "save_interval save_freq save_every checkpoint_interval save_every_n_steps "
        "ckpt_interval",
        "save_total_limit": "keep_last max_checkpoints max_ckpt_to_keep keep_checkpoints",
        "eval_steps": "eval_interval eval_freq eval_every test_freq val_interval",
        "logging_steps": "log_interval log_every log_freq log_steps log_every_n_steps logging_interval",
        "report_to": "wandb tensorboard swanlab logger tracker log_to tracking",
        "resume_from_checkpoint": "resume restore resume_path resume_from load_checkpoint",
        "vllm_gpu_memory_utilization": "gpu_memory gpu_utilization vllm_memory "
        "vllm_gpu_memory_util gpu_mem_util gpu_memory_util",
        "vllm_tensor_parallel_size": "tp tp_size vllm_tp tensor_parallel "
        "tensor_model_parallel_size",
        "vllm_max_model_len": "max_model_len",
        "deepspeed": "zero zero_stage deepspeed_config ds_config ds",
        "attn_impl": "attention attn attn_implementation flash_attn flash_attention",
        "dataloader_num_workers": "num_workers workers",
        "system": "system_prompt sys_prompt",
        "seed": "random_seed manual_seed",
        "tuner_type": "peft lora finetuning_type use_peft use_lora",
        "train_type": "peft lora finetuning_type use_peft use_lora",
        "loss_type": "algorithm algo loss adv_estimator advantage_estimator",
    }
)

#: Words of Slurm, Kubernetes and other launchers for keys of the job spec outside `swift:`.
KEYS = _by_word(
    {
        "resources.nproc_per_node": "gpus gpu num_gpus n_gpus ngpus gpu_count gpus_per_node "
        "num_gpus_per_node n_gpus_per_node nproc num_processes processes procs gpus_per_replica "
        "world_size tasks_per_node ntasks_per_node ntasks devices",
        "resources.nodes": "num_nodes nnodes n_nodes node_count replicas workers instances machines",
        "resources.gpu_type": "gpu_model gpu_name gputype accelerator_type gpu_kind gres",
        "resources.cpus_per_proc": "cpus cpu num_cpus cpus_per_task cpus_per_gpu cpu_count cores "
        "cpus_per_proces",
        "resources.memory": "mem ram memory_per_node host_memory mem_per_node",
        "resources.shm": "shm_size shared_memory dshm shmem",
        "resources.time_limit": "time walltime timeout max_time limit duration time_min runtime",
        "restarts.max": "attempts retries max_retries max_restarts backoff_limit requeue restart",
        "restarts.grace": "grace_period termination_grace_period signal",
        "environment.conda": "conda_env conda_environment",
        "environment.venv": "python virtualenv virtual_env python_env",
        "environment.modules": "module",
        "environment.setup": "pre_commands before setup_commands prologue init_script commands",
        "environment.env": "env_vars environment_variables variables envs exports vars",
        "environment.secrets": "secret tokens",
        "environment.container": "docker singularity apptainer image docker_image container_image",
        "swift": "args arguments training trainer train params parameters config hyperparameters "
        "script_args",
        "slurm.partition": "queue",
        "slurm.account": "account project",
        "kubernetes.queue": "queue local_queue",
        "kubernetes.image": "image docker_image container_image",
        "kubernetes.namespace": "ns",
        "local.cuda_visible_devices": "gpu_ids device_ids visible_devices cuda_devices",
        "output": "save_path output_dir out_dir output_root save_dir logdir log_dir run_dir runs_dir",
        "workdir": "cwd working_dir working_directory work_dir chdir project_dir",
        "extends": "base bases inherits inherit include defaults parent",
        "name": "job_name jobname job title run_name experiment exp_name",
        "backend": "scheduler cluster platform launcher executor",
    }
)


def meant(word: str, table: Mapping[str, Iterable[str]], known: Container[str]) -> list[str]:
    """The names among `known` that `word` may mean, after `table`. Empty if the table has no such word."""
    return [name for name in table.get(word.lower().replace("-", "_"), ()) if name in known]


def key_elsewhere(word: str) -> str | None:
    """The key in a section of the job spec that is called `word`, or else one that `word` may mean.

    None if there is no such key. Keys at the top level of the spec are left out, because trainers use
    the same words for arguments (`name`, `output`).
    """
    word = word.lower().replace("-", "_")
    all_keys = dict.fromkeys(key for keys in KEYS.values() for key in keys)
    for key in all_keys:
        if key.endswith(f".{word}"):
            return key
    for key in KEYS.get(word, ()):
        if "." in key:
            return key
    return None


def did_you_mean_one_of(names: list[str]) -> str:
    """The hint `did you mean 'max_length' or 'max_completion_length'?`."""
    return f"did you mean {' or '.join(map(repr, names))}?"
