#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456 NPROC_PER_NODE=8
#= {}
#+ {}
# as ms-swift's example for PAI-DLC: the platform sets NPROC_PER_NODE, MASTER_ADDR and MASTER_PORT itself
NNODES=$WORLD_SIZE \
NODE_RANK=$RANK \
swift rlhf \
    --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
