"""Mistakes people make in a job, what we say of each, and what ms-swift says and when.

Data for `tests/cli/test_faults.py` (ours) and `benchmarks/checks.py` (theirs, measured, into
docs/checks-measured.md). Each is `jobs/mr_cpu.yaml` with a few `--set`, in a folder with `FILES` beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

SPEC = "jobs/mr_cpu.yaml"
SILENT = None


class Fault(NamedTuple):
    """A mistake. `ours`, `theirs`: regular expressions; SILENT: ms-swift trains, and wrongly."""

    name: str
    sets: tuple[str, ...]
    ours: str
    theirs: str | None


#: A training on pairs, which dpo and its like are.
PAIRS = ("swift.dataset=[pairs.jsonl]", "swift.val_dataset=null", "swift.eval_strategy=no")
#: What GRPO alone reads.
NO_GRPO = (
    "swift.reward_funcs=null",
    "swift.reward_weights=null",
    "swift.num_generations=null",
    "swift.external_plugins=null",
    "swift.log_completions=null",
)
NO_EVALUATION = ("swift.val_dataset=null", "swift.eval_strategy=no")
#: vLLM is not for `accelerator: cpu`; nothing of these comes as far as a GPU.
GPU = ("resources.accelerator=gpu",)


def rewards(name: str) -> tuple[str, ...]:
    """Another reward than the two of the job, without their weights."""
    return (f"swift.reward_funcs=[{name}]", "swift.reward_weights=null")


def other(kind: str, *sets: str) -> tuple[str, ...]:
    """A job of another type."""
    return (f"swift.rlhf_type={kind}", *PAIRS, *NO_GRPO, *sets)


FAULTS: tuple[Fault, ...] = (
    # ------------------------------------------------------------------ names and values
    Fault(
        "an argument that there is not",
        ("swift.reward_function=[prl_format]",),
        r"swift\.reward_function: ms-swift .*has no such argument",
        r"remaining_argv: \['--reward_function'",
    ),
    Fault(
        "an argument's old name",
        ("swift.train_type=full",),
        r"swift\.train_type: .*\n.*tuner_type",
        r"remaining_argv: \['--train_type'",
    ),
    Fault(
        "an argument that is gone",
        ("swift.num_infer_workers=2",),
        r"swift\.num_infer_workers: .*\n.*vllm_mode",
        r"remaining_argv: \['--num_infer_workers'",
    ),
    Fault(
        "an argument cut short",
        ("swift.max_grad=0.5",),
        r"swift\.max_grad: is short for max_grad_norm",
        SILENT,
    ),
    Fault(
        "a fraction for a whole number",
        ("swift.num_generations=2.5",),
        r"swift\.num_generations: expected a whole number, found '2\.5'",
        r"invalid int value: '2\.5'",
    ),
    Fault(
        "a word for a number",
        ("swift.learning_rate=fast",),
        r"swift\.learning_rate: expected a number, found 'fast'",
        r"invalid float value: 'fast'",
    ),
    Fault(
        "a word for true or false",
        ("swift.gradient_checkpointing=maybe",),
        r"swift\.gradient_checkpointing: expected true or false, found 'maybe'",
        r"Truthy value expected",
    ),
    Fault(
        "a choice that there is not",
        ("swift.rlhf_type=grop",),
        r"swift\.rlhf_type: expected one of .*; found 'grop'",
        r"invalid choice: 'grop'",
    ),
    Fault(
        "a list for one value",
        ("swift.learning_rate=[1e-6, 1e-5]",),
        r"swift\.learning_rate: expected a number, found '\[1e-6, 1e-5\]'",
        r"invalid float value: '\[1e-6, 1e-5\]'",
    ),
    Fault(
        "JSON that is none",
        ("swift.lr_scheduler_kwargs=min_lr:1e-7",),
        r"swift\.lr_scheduler_kwargs: .*JSON",
        r"JSONDecodeError|Expecting value",
    ),
    Fault(
        "JSON that is broken off",
        ('swift.lr_scheduler_kwargs={"num_cycles": 2',),
        r"swift\.lr_scheduler_kwargs: .*JSON",
        SILENT,
    ),
    # ------------------------------------------------------------------ batches
    Fault(
        "num_generations does not divide the batch",
        ("swift.num_generations=3", *NO_EVALUATION),
        r"swift\.num_generations: 3 does not divide the generation batch 4 = .*",
        r"generation_batch_size \(4\) must be evenly divisible by num_generations \(3\)",
    ),
    Fault(
        "one completion per prompt",
        ("swift.num_generations=1",),
        r"swift\.num_generations: must be greater than 1 for GRPO, found 1",
        r"num_generations must be greater than 1 for GRPO",
    ),
    Fault(
        "a generation batch of no whole batches",
        ("swift.generation_batch_size=6",),
        r"swift\.generation_batch_size: 6 is not a multiple of .* = 4",
        r"generation_batch_size \(6\) must be divisible by the global batch size \(4\)",
    ),
    Fault(
        "two sizes that disagree",
        ("swift.generation_batch_size=8", "swift.steps_per_generation=3"),
        r"swift\.generation_batch_size: 8 is not .* = 12",
        r"generation_batch_size \(8\) must equal",
    ),
    Fault(
        "a batch of none",
        ("swift.per_device_train_batch_size=0",),
        r"swift\.per_device_train_batch_size: must be at least 1, found 0",
        r"batch_size should be a positive integer",
    ),
    Fault(
        "no accumulation steps",
        ("swift.gradient_accumulation_steps=0",),
        r"swift\.gradient_accumulation_steps: must be at least 1, found 0",
        r"steps_per_generation must be > 0",
    ),
    Fault(
        "kto on single rows",
        (
            *other("kto", "swift.per_device_train_batch_size=1"),
            "swift.gradient_accumulation_steps=1",
            "resources.nproc_per_node=1",
        ),
        r"swift\.per_device_train_batch_size: the whole batch is 1",
        r"Batch size is 1 \(too small\)",
    ),
    Fault(
        "kto without gradient_accumulation_steps",
        other("kto"),
        r"swift\.gradient_accumulation_steps: is not set, and ms-swift's kto reads it",
        r"unsupported operand type\(s\) for \*: 'int' and 'NoneType'",
    ),
    # ------------------------------------------------------------------ evaluation and saving
    Fault(
        "num_generations does not divide the evaluation batch",
        ("swift.num_generations=4", "swift.per_device_eval_batch_size=1"),
        r"swift\.num_generations: 4 does not divide the evaluation batch 2",
        r"global eval batch size \(2 x 1\) must be evenly divisible",
    ),
    Fault(
        "fewer rows to evaluate on than one batch takes",
        ("swift.val_dataset=[jobs/data/mr_val.jsonl#1]", "swift.per_device_eval_batch_size=4"),
        r"swift\.val_dataset: has 1 row; one batch takes 4 = ",
        r"eval_dataset size 1 is smaller than total_eval_batch_size 4",
    ),
    Fault(
        "half a step between evaluations",
        ("swift.eval_steps=2.5",),
        r"swift\.eval_steps: must be a whole number if it is above 1, found 2\.5",
        r"--eval_steps must be an integer if bigger than 1",
    ),
    Fault(
        "the best checkpoint, of which some are not evaluated",
        ("swift.load_best_model_at_end=true", "swift.save_steps=4", "swift.eval_steps=3"),
        r"swift\.load_best_model_at_end: needs save_steps to be a multiple of eval_steps",
        r"requires the saving steps to be a round multiple of the evaluation steps",
    ),
    Fault(
        "the best checkpoint, and nothing to evaluate on",
        ("swift.load_best_model_at_end=true", "swift.val_dataset=null"),
        r"swift\.load_best_model_at_end: needs an evaluation at every checkpoint",
        r"requires the save and eval strategy to match",
    ),
    Fault(
        "save_strategy best and no eval_strategy",
        ("swift.save_strategy=best", "swift.eval_strategy=null"),
        r"swift\.eval_strategy: is not set, so ms-swift takes save_strategy best",
        r"best is not a valid IntervalStrategy",
    ),
    Fault(
        "no logging steps",
        ("swift.logging_steps=0",),
        r"swift\.logging_steps: cannot be 0",
        r"requires non-zero --logging_steps",
    ),
    # ------------------------------------------------------------------ vLLM
    Fault(
        "vLLM without saying where",
        (*GPU, "swift.use_vllm=true", "swift.vllm_mode=null"),
        r"swift\.vllm_mode: is required if use_vllm is true",
        r"vllm_mode is required when use_vllm is true",
    ),
    Fault(
        "where vLLM runs, but not that it does",
        ("swift.vllm_mode=colocate",),
        r"swift\.vllm_mode: is set, but use_vllm is false",
        r"vllm_mode is not supported when use_vllm is false",
    ),
    Fault(
        "a vLLM server without an address",
        (*GPU, "swift.use_vllm=true", "swift.vllm_mode=server"),
        r"swift\.vllm_mode: server needs the address of a vLLM server",
        r"AssertionError",
    ),
    Fault(
        "asynchronous generation on the trainer's own GPUs",
        (*GPU, "swift.use_vllm=true", "swift.vllm_mode=colocate", "swift.async_generate=true"),
        r"swift\.async_generate: needs vllm_mode server, found colocate",
        r"async generate require vllm_mode == server",
    ),
    Fault(
        "vLLM on the CPU",
        ("swift.use_vllm=true", "swift.vllm_mode=colocate"),
        r"swift\.use_vllm: vLLM needs a GPU; accelerator is cpu",
        r"vLLM is not available|No module named 'vllm'|vllm",
    ),
    # ------------------------------------------------------------------ rewards
    Fault(
        "a reward misspelt",
        ("swift.reward_funcs=[prl_formt, prl_accuracy]",),
        r"swift\.reward_funcs: prl_formt is not known to ms-swift, .*\n.*prl_format",
        r"reward_function prl_formt is not implemented",
    ),
    Fault(
        "rewards of a plugin that is not given",
        ("swift.external_plugins=null", "swift.reward_funcs=[prl_format, format]"),
        r"swift\.reward_funcs: prl_format is not known to ms-swift, and the job has no plugin",
        r"reward_function prl_format is not implemented",
    ),
    Fault(
        "a plugin that is not there",
        ("swift.external_plugins=[jobs/plugins/prl_reward.py]",),
        r"swift\.external_plugins: plugin jobs/plugins/prl_reward\.py is not here",
        r"No such file or directory",
    ),
    Fault(
        "one weight for two rewards",
        ("swift.reward_weights=[1.0]",),
        r"swift\.reward_weights: has 1 for 2 rewards \(prl_format, prl_accuracy\)",
        r"Number of reward weights \(1\) must match number of reward functions \(2\)",
    ),
    Fault(
        "no reward at all",
        ("swift.reward_funcs=null", "swift.reward_weights=null"),
        r"grpo has no reward: neither reward_funcs nor reward_model",
        SILENT,
    ),
    Fault(
        "a length penalty without its length",
        ("swift.reward_funcs=[prl_format, soft_overlong]",),
        r"swift\.reward_funcs: soft_overlong needs soft_cache_length",
        r"soft_cache_length must be set",
    ),
    Fault(
        "a scheduler for turns that there is not",
        ("swift.multi_turn_scheduler=math_tips",),
        r"swift\.multi_turn_scheduler: math_tips is not known",
        r"AssertionError",
    ),
    # ------------------------------------------------------------------ models and tuners
    Fault(
        "no model",
        ("swift.model=null",),
        r"swift: model is not set",
        r"Please set --model <model_id_or_path>",
    ),
    Fault(
        "a reference model beside a LoRA",
        ("swift.tuner_type=lora", "swift.ref_model=./models/tiny-qwen2"),
        r"swift\.ref_model: is refused with tuner_type lora",
        r"does not require a ref_model",
    ),
    Fault(
        "LoRA's arguments in a full training",
        ("swift.tuner_type=full", "swift.lora_rank=16"),
        r"swift\.lora_rank: does nothing with tuner_type full",
        SILENT,
    ),
    Fault(
        "a LoRA of rank 0",
        ("swift.tuner_type=lora", "swift.lora_rank=0"),
        r"swift\.lora_rank: must be at least 1, found 0",
        r"`r` should be a positive integer",
    ),
    Fault(
        "a tuner misspelt",
        ("swift.tuner_type=lorra",),
        r"swift\.tuner_type: lorra is not known",
        r"Unknown tuner_type: lorra",
    ),
    Fault(
        "an adapter that is none",
        ("swift.tuner_type=lora", "swift.adapters=[./no_adapter]"),
        r"swift\.adapters: \./no_adapter holds no adapter_config\.json",
        r"is not an adapter",
    ),
    Fault(
        "longer positions without saying how long",
        ("swift.rope_scaling=yarn",),
        r"swift\.rope_scaling: needs `factor` or `max_model_len`",
        r"max_model_len must be set",
    ),
    Fault(
        "three bits of bitsandbytes",
        ("swift.quant_method=bnb", "swift.quant_bits=3"),
        r"swift\.quant_bits: bnb cannot use 3 bits",
        r"bnb not support quant_bits: 3",
    ),
    Fault(
        "ppo without a reward model",
        other("ppo"),
        r"swift\.rlhf_type: ppo needs a reward_model",
        r"'NoneType' object has no attribute",
    ),
    Fault(
        "a reward model for dpo",
        other("dpo", "swift.reward_model=[./models/tiny-qwen2]", "swift.reward_model_type=[qwen2]"),
        r"swift\.reward_model: is for ppo and grpo, found rlhf_type dpo",
        r"unexpected keyword argument 'reward_model'",
    ),
    Fault(
        "two teachers",
        other(
            "gkd",
            "swift.teacher_model=./models/tiny-qwen2",
            "swift.teacher_model_type=qwen2",
            "swift.teacher_model_server=http://127.0.0.1:9000",
            "swift.gkd_logits_topk=20",
        ),
        r"swift\.teacher_model_server: and teacher_model are both set",
        r"setting both `teacher_model` and `teacher_model_server` is not supported",
    ),
    Fault(
        "gkd's share above one",
        other("gkd", "swift.lmbda=1.5"),
        r"swift\.lmbda: must be between 0 and 1 for gkd, found 1\.5",
        r"lmbda must be in the range \[0\.0, 1\.0\]",
    ),
    Fault(
        "gkd's old sequences",
        other("gkd", "swift.seq_kd=true"),
        r"swift\.seq_kd: is gone",
        r"seq_kd=True .* is deprecated",
    ),
    # ------------------------------------------------------------------ losses
    Fault(
        "a loss that dpo has not",
        other("dpo", "swift.loss_type=[sigmoidal]"),
        r"swift\.loss_type: sigmoidal is not a loss of dpo",
        r"Unknown loss type",
    ),
    Fault(
        "two losses and one weight",
        other("dpo", "swift.loss_type=[sigmoid, sft]", "swift.loss_weights=[1.0]"),
        r"swift\.loss_weights: has 1 for 2 losses",
        r"Length of loss_weights list",
    ),
    Fault(
        "two losses at once for kto",
        other("kto", "swift.loss_type=[kto, apo_zero_unpaired]"),
        r"swift\.loss_type: has 2 values; only dpo mixes losses",
        r"only supported for DPO",
    ),
    Fault(
        "an argument of another type",
        other("dpo", "swift.num_iterations=4"),
        r"swift\.num_iterations: does nothing with rlhf_type dpo; it is only for grpo",
        SILENT,
    ),
    # ------------------------------------------------------------------ several GPUs
    Fault(
        "a DeepSpeed preset misspelt",
        ("swift.deepspeed=zero-2",),
        r"swift\.deepspeed: zero-2 is neither a preset nor a file here\n.*zero2",
        r"JSONDecodeError|Expecting value",
    ),
    Fault(
        "a DeepSpeed file that is not there",
        ("swift.deepspeed=ds_zero2.json",),
        r"swift\.deepspeed: deepspeed configuration ds_zero2\.json is not here",
        r"JSONDecodeError|Expecting value",
    ),
    Fault(
        "a DeepSpeed file that is no JSON",
        ("swift.deepspeed=ds_broken.json",),
        r"swift\.deepspeed: ds_broken\.json: is not JSON",
        r"JSONDecodeError|Expecting",
    ),
    Fault(
        "DeepSpeed and FSDP",
        ("swift.deepspeed=zero2", "swift.fsdp=fsdp2"),
        r"swift\.fsdp: cannot be combined with deepspeed",
        r"FSDP2 is not compatible with DeepSpeed",
    ),
    Fault(
        "DeepSpeed's argument without DeepSpeed",
        ("swift.zero_hpz_partition_size=2",),
        r"swift\.zero_hpz_partition_size: does nothing without deepspeed",
        SILENT,
    ),
    Fault(
        "the CPU without use_cpu",
        ("swift.use_cpu=false", "swift.ddp_backend=null", *NO_EVALUATION),
        r"swift\.use_cpu: false with accelerator cpu makes each rank train alone",
        SILENT,
    ),
    # ------------------------------------------------------------------ data
    Fault(
        "no data set",
        ("swift.dataset=null",),
        r"swift: dataset is not set",
        r"Please input the training dataset",
    ),
    Fault(
        "a data file that is not there",
        ("swift.dataset=[jobs/data/mr_trian.jsonl]",),
        r"swift\.dataset: dataset jobs/data/mr_trian\.jsonl is not here\n.*mr_train\.jsonl",
        r"mr_trian\.jsonl|Connection|not exist",
    ),
    Fault(
        "fewer rows than one batch takes",
        ("swift.dataset=[jobs/data/mr_train.jsonl#1]",),
        r"swift\.dataset: has 1 row; one batch takes 2 = .* no step would be trained",
        SILENT,
    ),
    Fault(
        "an empty data file",
        ("swift.dataset=[empty.jsonl]", *NO_EVALUATION),
        r"swift\.dataset: empty\.jsonl has no rows",
        r"Error|StopIteration",
    ),
    Fault(
        "columns that ms-swift does not know",
        ("swift.dataset=[other.jsonl]", *NO_EVALUATION),
        r"swift\.dataset: other\.jsonl: the first rows have none of ms-swift's columns, found foo",
        r"ZeroDivisionError|integer division or modulo by zero",
    ),
    Fault(
        "pairs without the worse answer",
        other("dpo", "swift.dataset=[chats.jsonl]"),
        r"swift\.dataset: chats\.jsonl: the first rows have no rejected_response",
        r"TypeError",
    ),
    Fault(
        "streaming without an end",
        ("swift.streaming=true", "swift.max_steps=null", *NO_EVALUATION),
        r"swift\.streaming: needs max_steps",
        r"max_steps has to be specified",
    ),
    Fault(
        "a split for pre-training",
        ("swift.truncation_strategy=split",),
        r"swift\.truncation_strategy: GRPO takes left or delete, found split",
        r"GRPO requires `truncation_strategy 'left' or 'delete'`",
    ),
    Fault(
        "packing without flash attention",
        other("dpo", "swift.packing=true"),
        r"swift\.packing: needs a flash attention, found attn_impl none set",
        r"feature requires a flash attention implementation",
    ),
    Fault(
        "padding_free for a type that cannot",
        other("orpo", "swift.padding_free=true", "swift.attn_impl=flash_attn"),
        r"swift\.padding_free: is only for grpo, dpo, kto and gkd, found rlhf_type orpo",
        r"does not support padding_free/packing",
    ),
    Fault(
        "packing and lazy tokenizing",
        other(
            "dpo",
            "swift.packing=true",
            "swift.attn_impl=flash_attn",
            "swift.lazy_tokenize=true",
        ),
        r"swift\.lazy_tokenize: cannot be combined with packing",
        r"Packing and lazy_tokenize are incompatible",
    ),
    # ------------------------------------------------------------------ resuming
    Fault(
        "resume: true",
        ("swift.resume_from_checkpoint=true",),
        r"swift\.resume_from_checkpoint: checkpoint true is not here",
        r"FileNotFoundError",
    ),
    Fault(
        "a checkpoint without weights",
        ("swift.resume_from_checkpoint=without_weights", *NO_EVALUATION),
        r"swift\.resume_from_checkpoint: holds no weights",
        r"Can't find a valid checkpoint",
    ),
    Fault(
        "weights that are no checkpoint",
        ("swift.resume_from_checkpoint=without_state", *NO_EVALUATION),
        r"swift\.resume_from_checkpoint: has no trainer_state\.json",
        r"Error",
    ),
    # ------------------------------------------------------------------ the training itself
    Fault(
        "two precisions",
        ("swift.bf16=true",),
        r"swift\.bf16: fp16 and bf16 exclude each other, found bf16 true and torch_dtype float32",
        r"At most one of fp16 and bf16 can be True",
    ),
    Fault(
        "two ways to warm up",
        ("swift.warmup_ratio=0.1", "swift.warmup_steps=10"),
        r"swift\.warmup_ratio: 0\.1 and warmup_steps 10 are both set",
        r"`warmup_ratio` and `warmup_steps` cannot be set at the same time",
    ),
    Fault(
        "a schedule misspelt",
        ("swift.lr_scheduler_type=cosin",),
        r"swift\.lr_scheduler_type: .*cosin.*\n?.*cosine",
        r"cosin is not a valid SchedulerType",
    ),
    Fault(
        "prefetching without workers",
        ("swift.dataloader_prefetch_factor=2",),
        r"swift\.dataloader_prefetch_factor: needs dataloader_num_workers above 0, found 0",
        r"--dataloader_prefetch_factor can only be set when",
    ),
    Fault(
        "a tracker misspelt",
        ("swift.report_to=[wandbb]",),
        r"swift\.report_to: wandbb is not known\n.*wandb",
        r"wandbb is not supported, only",
    ),
    Fault(
        "a negative learning rate",
        ("swift.learning_rate=-1e-6",),
        r"swift\.learning_rate: must be at least 0, found -1e-06",
        r"Invalid learning rate",
    ),
    Fault(
        "no tokens to generate",
        ("swift.max_completion_length=0",),
        r"swift\.max_completion_length: must be at least 1, found 0",
        r"must be greater than 0",
    ),
    Fault(
        "temperature 0",
        ("swift.temperature=0",),
        r"swift\.temperature: must be above 0, because",
        SILENT,
    ),
    # ------------------------------------------------------------------ files that arguments name
    Fault(
        "a prompt file that is not there",
        ("swift.system=prompts/judge.txt",),
        r"swift\.system: prompt file prompts/judge\.txt is not here",
        r"self\.system: prompts/judge\.txt",
    ),
    Fault(
        "a prompt in another encoding",
        ("swift.system=latin.txt",),
        r"swift\.system: latin\.txt is not UTF-8 text: byte 4",
        r"'utf-8' codec can't decode byte 0xe9",
    ),
    Fault(
        "special tokens that are not there",
        ("swift.new_special_tokens=[tokens.txt]",),
        r"swift\.new_special_tokens: special tokens file tokens\.txt is not here",
        r"special_tokens_path: tokens\.txt",
    ),
    Fault(
        "a schedule's file that is not there",
        ("swift.lr_scheduler_kwargs=schedule.json",),
        r"swift\.lr_scheduler_kwargs: JSON file schedule\.json is not here",
        r"Expecting value: line 1 column 1",
    ),
    Fault(
        "an accelerator's file that is no JSON",
        ("swift.accelerator_config=ds_broken.json",),
        r"swift\.accelerator_config: ds_broken\.json is not JSON: Input data was truncated",
        r"JSONDecodeError",
    ),
    Fault(
        "a list of data sets that is not there",
        ("swift.custom_dataset_info=[sets.json]",),
        r"swift\.custom_dataset_info: data set list sets\.json is not here",
        r"Expecting value: line 1 column 1",
    ),
    Fault(
        "a plugin that is a folder",
        ("swift.external_plugins=[jobs/plugins]", *rewards("format")),
        r"swift\.external_plugins: plugin jobs/plugins is a folder\n.*name a file in the folder",
        r"Cannot import external file",
    ),
    Fault(
        "the home directory in a configuration's path",
        ("swift.deepspeed=~/ds.json",),
        r"swift\.deepspeed: ~/ds\.json: no shell replaces ~ here",
        r"JSONDecodeError",
    ),
    Fault(
        "a variable in a plugin's path",
        ("swift.external_plugins=[$SCRATCH/p.py]", *rewards("format")),
        r"swift\.external_plugins: \$SCRATCH/p\.py: no shell replaces \$SCRATCH here",
        r"py_dir: .*\$SCRATCH",
    ),
    # ------------------------------------------------------------------ plugins and rewards
    Fault(
        "a syntax error in a plugin",
        ("swift.external_plugins=[broken.py]", *rewards("format")),
        r"swift\.external_plugins: broken\.py:3: expected ':'",
        r"SyntaxError: expected ':'",
    ),
    Fault(
        "a syntax error in what a plugin imports",
        ("swift.external_plugins=[importing.py]", *rewards("format")),
        r"swift\.external_plugins: helping\.py:1: .*, imported by importing\.py",
        r"SyntaxError: ",
    ),
    Fault(
        "a reward without its column",
        ("swift.external_plugins=[rewards.py]", *rewards("needy"), *NO_EVALUATION),
        r"swift\.dataset: .*: the first rows have no target, which the reward needy needs \(rewards\.py:5\)",
        r"missing 1 required positional argument: 'target'",
    ),
    Fault(
        "ms-swift's own reward without its column",
        (*rewards("accuracy"), *NO_EVALUATION),
        r"swift\.dataset: .*: the first rows have no solution, which the reward accuracy needs",
        r"missing 1 required positional argument: 'solution'",
    ),
    Fault(
        "a reward's column that is renamed",
        ('swift.columns={"sentences": "texts"}', *NO_EVALUATION),
        r"swift\.dataset: .*: the reward prl_accuracy needs sentences, which columns renames to texts",
        r"every row needs the columns \('sentences', 'labels'\)",
    ),
    Fault(
        "a reward's column that becomes a message",
        (
            "swift.dataset=[answers.jsonl]",
            "swift.external_plugins=[rewards.py]",
            *rewards("judged"),
            *NO_EVALUATION,
        ),
        r"swift\.dataset: answers\.jsonl: the reward judged needs answer, but ms-swift makes a message from it",
        r"missing 1 required positional argument: 'answer'",
    ),
    Fault(
        "a reward that does not take all columns",
        ("swift.external_plugins=[rewards.py]", *rewards("narrow")),
        r"swift\.reward_funcs: rewards\.py:13: __call__ of narrow has no \*\*kwargs",
        r"got an unexpected keyword argument 'trainer_state'",
    ),
    Fault(
        "a reward that does not take args",
        ("swift.external_plugins=[rewards.py]", *rewards("bare")),
        r"swift\.reward_funcs: rewards\.py:17: __init__ of bare has no args",
        r"got an unexpected keyword argument 'args'",
    ),
    # ------------------------------------------------------------------ rows
    Fault(
        "a row that is no JSON",
        ("swift.dataset=[bad_row.jsonl]", *NO_EVALUATION),
        r"swift\.dataset: bad_row\.jsonl:9: is not JSON: Expecting property name",
        r"DatasetGenerationError|An error occurred while generating the dataset",
    ),
    Fault(
        "a data file that is broken off",
        ("swift.dataset=[cut.jsonl]", *NO_EVALUATION),
        r"swift\.dataset: cut\.jsonl:9: is not JSON: Unterminated string",
        r"DatasetGenerationError|An error occurred while generating the dataset",
    ),
    Fault(
        "a row that is no object",
        ("swift.dataset=[rows.jsonl]", *NO_EVALUATION),
        r"swift\.dataset: rows\.jsonl:9: the row is an array, not a JSON object",
        r"'str' object is not a mapping",
    ),
    Fault(
        "a Git LFS pointer for data",
        ("swift.dataset=[pointer.jsonl]", *NO_EVALUATION),
        r"swift\.dataset: pointer\.jsonl is a Git LFS pointer",
        r"DatasetGenerationError|An error occurred while generating the dataset",
    ),
    Fault(
        "no number of rows",
        ("swift.dataset=[jobs/data/mr_train.jsonl#1k]", *NO_EVALUATION),
        r"swift\.dataset: .*: the number of rows must follow #, found '1k'",
        r"invalid literal for int\(\) with base 10: '1k'",
    ),
    Fault(
        "data in a format without a reader",
        ("swift.dataset=[table.tsv]", *NO_EVALUATION),
        r"swift\.dataset: table\.tsv: ms-swift has no reader for \.tsv",
        r"Couldn't reach 'tsv' on the Hub|tsv",
    ),
    Fault(
        "a vLLM server beside vLLM on the trainer's own GPUs",
        (
            "swift.use_vllm=true",
            "swift.vllm_mode=colocate",
            "swift.vllm_server_host=[127.0.0.1]",
            *GPU,
        ),
        r"swift\.vllm_server_host: is set while vllm_mode is colocate",
        r"vLLM is not installed|Servers not reachable",
    ),
)

#: Rewards that ms-swift 4 cannot call with the rows of jobs/data.
REWARDS = """\
from swift.rewards import ORM, orms

class Needy(ORM):

    def __call__(self, completions, target, **kwargs):
        return [0.0 for _ in completions]

class Judged(ORM):
    def __call__(self, completions, answer, **kwargs):
        return [0.0 for _ in completions]

class Narrow(ORM):
    def __call__(self, completions):
        return [0.0 for _ in completions]

class Bare(ORM):
    def __init__(self):
        self.seen = 0

    def __call__(self, completions, **kwargs):
        return [0.0 for _ in completions]

orms.update(needy=Needy, judged=Judged, narrow=Narrow, bare=Bare)
"""

FILES: dict[str, str] = {
    "other.jsonl": '{"foo": "bar"}\n' * 32,
    "empty.jsonl": "",
    "chats.jsonl": json.dumps(
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    )
    + "\n",
    "pairs.jsonl": "".join(
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"What is {number} plus one?"},
                    {"role": "assistant", "content": f"It is {number + 1}."},
                ],
                "rejected_response": "No.",
                "label": number % 2 == 0,
            }
        )
        + "\n"
        for number in range(32)
    ),
    "ds_broken.json": '{"zero_optimization": ',
    "broken.py": "from swift.rewards import ORM\n\nclass R(ORM)\n    pass\n",
    "importing.py": "import helping\n",
    "helping.py": "def f(:\n",
    "rewards.py": REWARDS,
    "answers.jsonl": '{"query": "What is one plus one?", "answer": "two"}\n' * 32,
    "bad_row.jsonl": '{"messages": [{"role": "user", "content": "hi"}]}\n' * 8 + "{'x': 1}\n",
    "cut.jsonl": '{"messages": [{"role": "user", "content": "hi"}]}\n' * 8
    + '{"messages": [{"role": "us',
    "rows.jsonl": '{"messages": [{"role": "user", "content": "hi"}]}\n' * 8 + "[1, 2]\n",
    "pointer.jsonl": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    "table.tsv": "query\tsolution\nhi\tho\n",
    "no_adapter/config.json": "{}",
    "without_state/model.safetensors": "x",
    "without_weights/trainer_state.json": '{"global_step": 1, "max_steps": 4}',
}


def write_files(folder: Path) -> None:
    """All that faults name, into a folder."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "latin.txt").write_bytes(b"caf\xe9")
