#!/bin/bash
#@ WORLD_SIZE=2 RANK=1 MASTER_ADDR=node0 MASTER_PORT=23456
#= {}
#+ {}
# as many processes as the node has GPUs
export NNODES=$WORLD_SIZE NODE_RANK=$RANK
export NPROC_PER_NODE=$(nvidia-smi -L | wc -l)
swift rlhf --rlhf_type grpo --model Qwen/Qwen2.5-7B-Instruct --dataset data/mr_train.jsonl --num_generations 4 --per_device_train_batch_size 4
