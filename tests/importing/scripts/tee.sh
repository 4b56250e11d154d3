#!/bin/bash
# style: all output through tee
set -xeo pipefail
exec 2>&1
TIME=$(date +%s)
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl \
  --num_generations 2 --per_device_train_batch_size 2 2>&1 | tee -a train_$TIME.log
[ ${PIPESTATUS[0]} -eq 0 ] && echo fine
