#!/bin/bash
# style: set -a, and variables without export
set -a
WANDB_MODE=offline
CUDA_VISIBLE_DEVICES=0,1
NPROC_PER_NODE=2
set +a
NOT_EXPORTED=1
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
