"""Which keys of a job `resume --set` can change, and why it cannot change the others.

A resumed training reads its weights, its optimizer, its schedule and its position in the data from the
checkpoint. So some arguments have no effect any more, and others would make it another training. The places
named here are those of transformers 5.19 and ms-swift 4.6; transformers has had the same since 4.33.
"""

from __future__ import annotations

#: What each group of arguments and keys does in a resumed training.
_TAKEN: tuple[tuple[str, str], ...] = (
    # Trainer._init_training_state calls TrainerState.init_training_references after it has read the checkpoint's
    # state: that sets max_steps and num_train_epochs anew.
    ("how long it trains", "swift.max_steps swift.num_train_epochs"),
    # Trainer reads these from its arguments at each save and each report.
    (
        "what is kept and reported",
        "swift.save_total_limit swift.log_completions swift.report_to swift.run_name "
        "swift.disable_tqdm swift.push_to_hub swift.hub_model_id swift.hub_strategy "
        "swift.hub_private_repo",
    ),
    # None of these is in a checkpoint, and none changes which numbers are computed.
    (
        "how the memory of the GPUs is used",
        "swift.vllm_gpu_memory_utilization swift.vllm_enforce_eager swift.vllm_max_num_seqs "
        "swift.vllm_enable_prefix_caching swift.sleep_level swift.offload_model "
        "swift.offload_optimizer swift.move_model_batches swift.gradient_checkpointing "
        "swift.vit_gradient_checkpointing swift.torch_empty_cache_steps",
    ),
    (
        "where the vLLM server is",
        "swift.vllm_server_host swift.vllm_server_port swift.vllm_server_base_url "
        "swift.vllm_server_timeout swift.vllm_server_group_port",
    ),
    (
        "how the data is loaded",
        "swift.dataloader_num_workers swift.dataloader_pin_memory "
        "swift.dataloader_prefetch_factor swift.dataloader_persistent_workers "
        "swift.dataset_num_proc swift.load_from_cache_file",
    ),
    ("how long ranks wait for each other", "swift.ddp_timeout"),
    (
        "what the scheduler is asked for",
        "resources.time_limit resources.memory resources.cpus_per_proc resources.shm "
        "resources.gpu_type restarts.max restarts.grace slurm kubernetes local platform",
    ),
    (
        "the environment of the processes",
        "environment.env environment.setup environment.modules environment.secrets",
    ),
)

_LOADED = "the checkpoint has the old value, which the resumed training takes; the new one would be ignored"
_ORDER = "it decides which prompts each step has, so prompts would be trained twice or not at all"
_STATE = "the weights and the optimizer's state in the checkpoint are those of the old value"
_WORLD = "the prompts of a step, and the random states in the checkpoint, are those of the old number of processes"
_PLACE = "the run directory with the checkpoint is in the old place"
_OTHER_SWIFT = (
    "another environment may have another ms-swift, which may read the checkpoint otherwise"
)
_OTHERWISE = "the steps before and after it would not be one training"

#: Why each of these cannot be changed. A key that stands neither here nor above: `_OTHERWISE`.
_REFUSED: tuple[tuple[str, str], ...] = (
    # torch's LambdaLR keeps base_lrs in scheduler.pt; AdamW's groups are in optimizer.pt.
    (
        _LOADED,
        "swift.learning_rate swift.weight_decay swift.adam_beta1 swift.adam_beta2 "
        "swift.adam_epsilon",
    ),
    # DefaultFlowCallback reads these from TrainerState, which comes from trainer_state.json; see
    # compare_trainer_and_checkpoint_args, which only warns.
    (_LOADED, "swift.logging_steps swift.save_steps swift.eval_steps"),
    (
        _ORDER,
        "swift.dataset swift.val_dataset swift.split_dataset_ratio swift.seed swift.data_seed "
        "swift.dataset_shuffle swift.train_dataloader_shuffle swift.streaming swift.max_length "
        "swift.truncation_strategy swift.per_device_train_batch_size "
        "swift.gradient_accumulation_steps swift.generation_batch_size "
        "swift.steps_per_generation swift.num_generations swift.num_iterations "
        "swift.dynamic_sample",
    ),
    (
        _STATE,
        "swift.model swift.model_type swift.template swift.adapters swift.tuner_type "
        "swift.train_type swift.target_modules swift.target_regex swift.lora_rank "
        "swift.lora_alpha swift.lora_dropout swift.torch_dtype swift.optim swift.deepspeed "
        "swift.fsdp swift.ref_model",
    ),
    (_WORLD, "resources.nodes resources.nproc_per_node resources.accelerator"),
    (
        _PLACE,
        "backend workdir output kubernetes.context kubernetes.namespace kubernetes.volumes "
        "kubernetes.output_mount",
    ),
    (
        _OTHER_SWIFT,
        "environment.conda environment.venv environment.container environment.swift_version",
    ),
    ("`resume` chooses the checkpoint", "swift.resume_from_checkpoint swift.resume_only_model"),
    ("the job keeps its name; `prl-submit rename` gives the run one of yours", "name"),
    ("a run is one of a sweep's combinations", "sweep"),
)


def is_taken(key: str) -> bool:
    """True if a resumed training can take another value of this key."""
    return _find(key, _REFUSED) is None and _find(key, _TAKEN) is not None


def why_refused(key: str) -> str:
    """Why a resumed training cannot take another value of this key, in words."""
    return _find(key, _REFUSED) or _OTHERWISE


def taken_keys() -> list[str]:
    """All keys that a resumed training takes; of some sections each key."""
    return [key for _, keys in _TAKEN for key in keys.split()]


def refused_keys() -> list[str]:
    """The keys that are refused for a reason of their own."""
    return [key for _, keys in _REFUSED for key in keys.split()]


def _find(key: str, groups: tuple[tuple[str, str], ...]) -> str | None:
    """The words of the group in which the key, or a section around it, stands."""
    sections = [key[:i] for i, char in enumerate(key) if char == "."]
    for words, keys in groups:
        if not {key, *sections}.isdisjoint(keys.split()):
            return words
    return None
