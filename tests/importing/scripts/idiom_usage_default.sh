#!/bin/bash
# style: arguments of the script with defaults
MODEL=${1:-Qwen/Qwen2.5-7B-Instruct}
DATA=${2:-data/mr_train.jsonl}
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model $MODEL --dataset $DATA --num_generations 2 --per_device_train_batch_size 2
