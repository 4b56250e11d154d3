#!/bin/bash
# style: words in a variable that is set only in a way that is not gone
QUICK=0
[[ $QUICK == 1 ]] && LESS="--max_steps 3"
if (( QUICK )); then MANY=(--seed 1); fi
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --dataset data/mr_train.jsonl --num_generations 2 \
  --per_device_train_batch_size 2 --model Qwen/Qwen2.5-7B-Instruct $LESS "${MANY[@]}"
