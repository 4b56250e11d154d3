#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=dlc1-master-0 MASTER_PORT=23456
#= {nodes: 2, nproc_per_node: 8}
#+ {}
# the number of nodes is written, the rank is the platform's
NNODES=2 NODE_RANK=$RANK NPROC_PER_NODE=8 swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
