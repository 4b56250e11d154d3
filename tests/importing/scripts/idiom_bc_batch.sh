#!/bin/bash
# style: a batch by bc
GLOBAL=16; PER=2; N=2
ACC=$(echo "$GLOBAL / $PER / $N" | bc)
NPROC_PER_NODE=$N swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 --gradient_accumulation_steps $ACC
