#!/bin/bash
# style: the exit status told behind it
set -e
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
if [ $? -eq 0 ]; then echo "done"; else echo "failed"; exit 1; fi
