#!/bin/sh
# style: the command as text, split by the shell
BASE="swift rlhf --rlhf_type grpo"
OPTS="--model Qwen/Qwen2.5-7B-Instruct   --dataset data/mr_train.jsonl"
OPTS="$OPTS --num_generations 4
  --per_device_train_batch_size 4"
export NPROC_PER_NODE=1
$BASE $OPTS
