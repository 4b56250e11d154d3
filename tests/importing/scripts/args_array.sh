#!/bin/bash
# style: the arguments in one array, with comments between them
# PRL: PRL_NUM_GENERATIONS=2
export NPROC_PER_NODE=2
ARGS=(
  --rlhf_type grpo              # not dpo
  --model Qwen/Qwen2.5-7B-Instruct
  # the data
  --dataset data/mr_train.jsonl data/mr_val.jsonl
  --system "You are a critic.
Answer briefly."
  --num_generations "${PRL_NUM_GENERATIONS:-4}" --per_device_train_batch_size 4
)

swift rlhf "${ARGS[@]}"
