#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456
#= {nproc_per_node: 8}
#+ {}
# PAI-DLC, exported; the master's address and port are there already
set -ex
export NNODES=${WORLD_SIZE}
export NODE_RANK=${RANK}
export NPROC_PER_NODE=8
echo "node $RANK of $WORLD_SIZE, master $MASTER_ADDR:$MASTER_PORT"
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
