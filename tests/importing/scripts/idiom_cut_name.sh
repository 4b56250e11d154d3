#!/bin/bash
# style: a name by cut
MODEL=Qwen/Qwen2.5-7B-Instruct
NAME=$(echo "$MODEL" | cut -d'/' -f2)
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 --run_name "grpo-${NAME}"
