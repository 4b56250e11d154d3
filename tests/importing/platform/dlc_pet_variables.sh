#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456
#= {nproc_per_node: 8}
#+ {}
# torchrun's own variables in place of its options
export PET_NNODES=$WORLD_SIZE PET_NODE_RANK=$RANK
export PET_MASTER_ADDR=$MASTER_ADDR PET_MASTER_PORT=$MASTER_PORT
export PET_NPROC_PER_NODE=8
torchrun -m swift.cli.rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
