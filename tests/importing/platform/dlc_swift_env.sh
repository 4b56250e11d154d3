#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456
#= {nproc_per_node: 8}
#+ {}
# PAI-DLC, ms-swift's own variables on the training's line
cd "$(dirname "$0")/.."
export NCCL_DEBUG=WARN
NNODES=$WORLD_SIZE NODE_RANK=$RANK NPROC_PER_NODE=8 \
MASTER_ADDR=$MASTER_ADDR MASTER_PORT=$MASTER_PORT \
swift rlhf \
    --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
