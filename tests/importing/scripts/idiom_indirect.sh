#!/bin/bash
# style: a variable named by another
MODEL_7B=Qwen/Qwen2.5-7B-Instruct
SIZE=7B
VAR=MODEL_$SIZE
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model "${!VAR}" --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
