#!/bin/bash
# style: several arrays, added to
NGPU=2
MODEL_ARGS=(--model Qwen/Qwen2.5-7B-Instruct --torch_dtype bfloat16)
DATA_ARGS=(--dataset data/mr_train.jsonl)
DATA_ARGS+=(--val_dataset data/mr_val.jsonl)
GRPO_ARGS=("--num_generations" "4")
GRPO_ARGS+=(--per_device_train_batch_size 4 --per_device_eval_batch_size 4)
EXTRA=()
NPROC_PER_NODE=$NGPU swift rlhf --rlhf_type grpo "${MODEL_ARGS[@]}" "${DATA_ARGS[@]}" ${GRPO_ARGS[@]} "${EXTRA[@]}"
