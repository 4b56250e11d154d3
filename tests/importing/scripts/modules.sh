#!/bin/bash
# style: environment modules
module purge
module load cuda/12.4 gcc/12
module load nccl
ulimit -n 65535 2>/dev/null || true
umask 022
NPROC_PER_NODE=2 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2
