#!/bin/bash
# style: a dry run that ends early
CMD="swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2"
if [ "${DRY_RUN:-0}" = "1" ]; then
  echo "$CMD"
  exit 0
fi
export NPROC_PER_NODE=2
$CMD
