#!/bin/bash
# style: a virtual environment beside the script
source venv/bin/activate || exit 1
export NPROC_PER_NODE=2
exec swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
