#!/bin/bash
#@ NNODES=2 NODE_RANK=1 MASTER_ADDR=node0 MASTER_PORT=29500
#= {nproc_per_node: 4}
#+ {}
# ms-swift's variables, set by hand on each machine
nnodes=${NNODES:-1}
nproc_per_node=4
CUDA_VISIBLE_DEVICES=0,1,2,3 \
NNODES=$nnodes \
NODE_RANK=${NODE_RANK:-0} \
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1} \
MASTER_PORT=${MASTER_PORT:-29500} \
NPROC_PER_NODE=$nproc_per_node \
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
