#!/bin/bash
# style: the file ends in the backslash of a continued line
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo \
  --model Qwen/Qwen2.5-7B-Instruct --num_generations 2 --per_device_train_batch_size 2 \
  --dataset data/mr_train.jsonl \