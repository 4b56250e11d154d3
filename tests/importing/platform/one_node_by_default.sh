#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=node0 MASTER_PORT=23456 NPROC_PER_NODE=8
#= {}
#+ {}
# nodes as a platform gives them, one by default
export NNODES=${WORLD_SIZE:-1} NODE_RANK=${RANK:-0} MASTER_ADDR=${MASTER_ADDR:-127.0.0.1} MASTER_PORT=${MASTER_PORT:-29500}
export NPROC_PER_NODE=${NPROC_PER_NODE:-8}
if [ "$NNODES" -gt 1 ]; then echo "several nodes"; fi
if [ "$NODE_RANK" -eq 0 ]; then echo "main node"; fi
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 2 --per_device_train_batch_size 2 --deepspeed zero2
