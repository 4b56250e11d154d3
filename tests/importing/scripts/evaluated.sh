#!/bin/bash
# style: a command in a text, run by eval
CMD="NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct"
CMD="$CMD --dataset 'data/mr_train.jsonl' --num_generations 2"
CMD+=" --per_device_train_batch_size 2"
echo "$CMD"
eval "$CMD" 2>&1 | tee /dev/null
